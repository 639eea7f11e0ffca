// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/store_contract.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "tests/support/seed.h"

namespace s3crate::test {

TEST_P(StoreContract, WhatWasPutIsThere) {
  put("volume", "parameters");
  put("segments/1", "");
  std::vector<ByteView> parts = {as_bytes("one "), as_bytes(""), as_bytes("two")};
  ASSERT_TRUE(store().put("a/b/c/d", parts));
  EXPECT_EQ(get("volume"), "parameters");
  EXPECT_EQ(get("segments/1"), "");
  EXPECT_EQ(get("a/b/c/d"), "one two");
  EXPECT_EQ(store().head("a/b/c/d")->size, 7u);
  EXPECT_EQ(store().head("a/b/c/d")->name, "a/b/c/d");
}

TEST_P(StoreContract, WhatIsMissingIsNotFound) {
  put("segments/1", "x");
  Bytes byte(1);
  for (const char* name : {"volume", "segments", "segments/2", "segments/1/x", "none/below"}) {
    EXPECT_TRUE(is(store().get(name, 100), Code::kNotFound)) << name;
    EXPECT_TRUE(is(store().get_range(name, 0, byte), Code::kNotFound)) << name;
    EXPECT_TRUE(is(store().head(name), Code::kNotFound)) << name;
    EXPECT_TRUE(store().remove(name)) << name;
  }
  EXPECT_EQ(get("segments/1"), "x");
}

TEST_P(StoreContract, ATakenNameStaysAsItIs) {
  put("commits/1", "winner");
  EXPECT_TRUE(is(store().put("commits/1", as_bytes("loser")), Code::kExists));
  EXPECT_TRUE(is(store().put("commits/1", as_bytes("winner")), Code::kExists));
  EXPECT_EQ(get("commits/1"), "winner");
}

TEST_P(StoreContract, GetRangeGivesExactlyThatOrNothing) {
  put("object", "0123456789");
  EXPECT_EQ(get_range("object", 0, 10), "0123456789");
  EXPECT_EQ(get_range("object", 3, 4), "3456");
  EXPECT_EQ(get_range("object", 9, 1), "9");
  EXPECT_EQ(get_range("object", 0, 11), "corrupt");
  EXPECT_EQ(get_range("object", 8, 3), "corrupt");
  EXPECT_EQ(get_range("object", 10, 1), "corrupt");
  EXPECT_EQ(get_range("object", ~0ull, 2), "corrupt");
}

TEST_P(StoreContract, GetIsBounded) {
  put("object", "0123456789");
  EXPECT_TRUE(store().get("object", 10));
  EXPECT_TRUE(is(store().get("object", 9), Code::kCorrupt));
  EXPECT_TRUE(is(store().get("object", 0), Code::kCorrupt));
}

TEST_P(StoreContract, RemovedIsGoneAndTheNameIsFree) {
  put("keys/1", "old");
  put("keys/2", "other");
  ASSERT_TRUE(store().remove("keys/1"));
  EXPECT_EQ(get("keys/1"), "not_found");
  EXPECT_EQ(list(""), Names{"keys/2"});
  ASSERT_TRUE(store().remove("keys/1"));
  put("keys/1", "new");
  EXPECT_EQ(get("keys/1"), "new");
}

TEST_P(StoreContract, BadNamesAreRefused) {
  Bytes byte(1);
  for (const char* name : {"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a b", "a\n",
                           "a+b", "\xc3\xa9", ".tmp+/x", "*"}) {
    EXPECT_TRUE(is(store().put(name, as_bytes("x")), Code::kBadArgument)) << name;
    EXPECT_TRUE(is(store().get(name, 100), Code::kBadArgument)) << name;
    EXPECT_TRUE(is(store().get_range(name, 0, byte), Code::kBadArgument)) << name;
    EXPECT_TRUE(is(store().head(name), Code::kBadArgument)) << name;
    EXPECT_TRUE(is(store().remove(name), Code::kBadArgument)) << name;
  }
  EXPECT_EQ(list(""), Names{});
}

TEST_P(StoreContract, LongNamesWork) {
  std::string name =
      std::string(250, 'a') + "/" + std::string(250, 'b') + "/" + std::string(10, 'c');
  ASSERT_EQ(name.size(), 512u);
  put(name, "long");
  EXPECT_EQ(get(name), "long");
  EXPECT_EQ(list(""), Names{name});
  EXPECT_TRUE(is(store().put(name + "c", as_bytes("x")), Code::kBadArgument));
}

TEST_P(StoreContract, ListsInByteOrderOfWholeNames) {
  // '-' and '.' sort before '/', '0' after it.
  const Names names = {"A", "a-b", "a.b", "a/b", "a/b0", "a/c/d", "a0", "b", "b~", "c/~"};
  for (auto it = names.rbegin(); it != names.rend(); ++it) put(*it, *it);
  EXPECT_EQ(list(""), names);
  for (std::size_t max_keys = 1; max_keys <= names.size() + 1; ++max_keys) {
    EXPECT_EQ(list("", "", max_keys), names) << max_keys;
  }
  auto page = store().list("a/", "", 2);
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->more);
  EXPECT_EQ(page->objects.at(1).name, "a/b0");
  EXPECT_EQ(page->objects.at(1).size, 4u);
  EXPECT_FALSE(store().list("a/", "", 3)->more);
  EXPECT_EQ(list("a"), (Names{"a-b", "a.b", "a/b", "a/b0", "a/c/d", "a0"}));
  EXPECT_EQ(list("a/"), (Names{"a/b", "a/b0", "a/c/d"}));
  EXPECT_EQ(list("a/b"), (Names{"a/b", "a/b0"}));
  EXPECT_EQ(list("", "a/b"), (Names{"a/b0", "a/c/d", "a0", "b", "b~", "c/~"}));
  EXPECT_EQ(list("", "a/bz"), (Names{"a/c/d", "a0", "b", "b~", "c/~"}));
  EXPECT_EQ(list("a/", "a"), (Names{"a/b", "a/b0", "a/c/d"}));
  EXPECT_EQ(list("a/", "b"), Names{});
  EXPECT_EQ(list("none/"), Names{});
  EXPECT_EQ(list("b~", "b"), Names{"b~"});
  for (const char* strange : {"/", "..", "../", "a/../", "//", "+"})
    EXPECT_EQ(list(strange), Names{});
}

TEST_P(StoreContract, ListsAreBounded) {
  EXPECT_TRUE(is(store().list("", "", 0), Code::kBadArgument));
  EXPECT_TRUE(is(store().list("", "", 1001), Code::kBadArgument));
  EXPECT_EQ(list(""), Names{});
}

TEST_P(StoreContract, OneOfManyRacingPutsWins) {
  constexpr int kThreads = 8, kRounds = 20;
  for (int round = 0; round < kRounds; ++round) {
    std::string name = fmt::format("commits/{}", round);
    std::atomic<int> winners = 0, losers = 0, winner = -1, ready = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::string text(1000 + static_cast<std::size_t>(t), static_cast<char>('a' + t));
        ++ready;
        while (ready < kThreads) std::this_thread::yield();
        auto done = store().put(name, as_bytes(text));
        if (done) {
          ++winners;
          winner = t;
        } else if (is(done, Code::kExists)) {
          ++losers;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(winners, 1);
    ASSERT_EQ(losers, kThreads - 1);
    auto t = static_cast<std::size_t>(winner.load());
    ASSERT_EQ(get(name), std::string(1000 + t, static_cast<char>('a' + t)));
  }
}

// Readers see an object whole or not at all.
TEST_P(StoreContract, NobodySeesHalfAnObject) {
  constexpr std::size_t kSize = 200000;
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0, seen = 0;
  std::thread reader([&] {
    while (!stop) {
      for (int i = 0; i < 20; ++i) {
        auto data = store().get(fmt::format("segments/{}", i), 1 << 20);
        if (data && *data != Bytes(kSize, static_cast<std::uint8_t>(i))) ++wrong;
        if (!data && !is(data, Code::kNotFound)) ++wrong;
        if (data) ++seen;
      }
      auto page = store().list("segments/", "", 1000);
      if (!page) ++wrong;
      if (!page) continue;
      for (const auto& info : page->objects) {
        if (info.size != kSize) ++wrong;
      }
    }
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(
        store().put(fmt::format("segments/{}", i), Bytes(kSize, static_cast<std::uint8_t>(i))));
  }
  while (seen == 0 && wrong == 0) std::this_thread::yield();
  stop = true;
  reader.join();
  EXPECT_EQ(wrong, 0);
}

TEST_P(StoreContract, RandomCallsMatchAMap) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  std::map<std::string, std::string> model;
  auto name = [&] {
    static const char* const kDirs[] = {"", "x/", "y-/", "y/", "y/z/", "y0/"};
    return fmt::format("{}o{}", kDirs[random() % 6], random() % 12);
  };
  for (int step = 0; step < 600; ++step) {
    std::string n = name();
    auto found = model.find(n);
    switch (random() % 5) {
      case 0: {
        std::string text(random() % 300, static_cast<char>('a' + random() % 26));
        auto done = store().put(n, as_bytes(text));
        ASSERT_EQ(done.has_value(), found == model.end()) << n;
        if (done) model[n] = text;
        break;
      }
      case 1:
        ASSERT_EQ(get(n), found == model.end() ? "not_found" : found->second);
        break;
      case 2: {
        std::size_t offset = random() % 200, length = 1 + random() % 200;
        std::string expected = "not_found";
        if (found != model.end()) {
          bool fits = offset + length <= found->second.size();
          expected = fits ? found->second.substr(offset, length) : "corrupt";
        }
        ASSERT_EQ(get_range(n, offset, length), expected) << n;
        break;
      }
      case 3: {
        std::string after = random() % 2 != 0 ? name() : "";
        std::string prefix = random() % 2 != 0 ? n.substr(0, random() % n.size()) : "";
        Names expected;
        for (const auto& [key, value] : model) {
          if (key > after && key.starts_with(prefix)) expected.push_back(key);
        }
        ASSERT_EQ(list(prefix, after, 1 + random() % 5), expected) << prefix << " after " << after;
        break;
      }
      default:
        if (random() % 3 != 0) break;
        ASSERT_TRUE(store().remove(n));
        model.erase(n);
    }
  }
}

}  // namespace s3crate::test
