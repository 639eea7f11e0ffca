// SPDX-License-Identifier: GPL-3.0-or-later
// Past generations beside the live disk: each reads as it was, whatever the live disk does; names, bounds and what is shared.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/history.h"
#include "segment/object_names.h"
#include "store/metered_store.h"
#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/seed.h"

namespace s3crate::device {
namespace {

using test::DiskWorld;
using testing::Contains;
using testing::Not;

class PastTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kDiskBytes = 1 << 20;

  void SetUp() override {
    world_.options.page_bytes = 4096;
    world_.options.history_age_max = Duration::zero();
    world_.options.delta_runs_max = 4'000;
    ASSERT_OK(world_.open());
  }
  History& history() { return *world_.disk->history(); }

  // A few writes and discards, and what the generation behind them holds.
  void write_some() {
    for (std::uint64_t i = 1 + random_() % 6; i > 0; --i) {
      const std::uint64_t offset = random_() % now_.size() & ~(random_() % 2 * 4095);
      const std::uint64_t length = std::min<std::uint64_t>(now_.size() - offset, random_() % 40'000 + 1);
      if (random_() % 5 == 0) {
        ASSERT_OK(world_.disk->discard(offset, length));
        std::memset(now_.data() + offset, 0, length);
        continue;
      }
      Bytes data(length);
      for (auto& byte : data) byte = static_cast<std::uint8_t>(random_());
      ASSERT_OK(world_.disk->write(offset, data));
      std::memcpy(now_.data() + offset, data.data(), length);
    }
    const auto generation = world_.disk->sync();
    ASSERT_OK(generation);
    model_[*generation] = now_;
  }
  void resize() {
    const std::uint64_t bytes = (random_() % 128 + 128) * 4096;
    const auto generation = world_.disk->resize(bytes, DiscardTail::yes);
    if (is(generation, Code::kBadArgument)) return;  // it has that size
    ASSERT_OK(generation);
    now_.resize(bytes);
    model_[*generation] = now_;
  }
  void expect_reads(Readable& past, const Bytes& wanted) {
    ASSERT_EQ(past.size(), wanted.size());
    Bytes got(wanted.size());
    ASSERT_OK(past.read(0, got));
    const auto differ = std::ranges::mismatch(got, wanted);
    if (got == wanted) return expect_odd_reads(past, wanted);
    std::string like;
    for (const auto& [generation, bytes] : model_)
      if (bytes == got) like += fmt::format(" {}", generation);
    FAIL() << "at " << differ.in1 - got.begin() << ": " << int{*differ.in1} << ", not " << int{*differ.in2} << "; that is generation" << like;
  }
  void expect_odd_reads(Readable& past, const Bytes& wanted) {
    Bytes odd(777);
    ASSERT_OK(past.read(wanted.size() / 2 - 5, odd));
    ASSERT_TRUE(equal(odd, ByteView(wanted).subspan(wanted.size() / 2 - 5, odd.size())));
    EXPECT_TRUE(is(past.read(wanted.size() - 1, MutableByteView(odd).first(2)), Code::kBadArgument));
  }
  // What it calls a hole is zeros, and the rest is what it says that it has.
  static void expect_occupancy(Readable& past, const Bytes& wanted) {
    std::uint64_t data = 0;
    for (std::uint64_t at = 0; at < past.size();) {
      const auto from = past.seek(at, false);
      ASSERT_OK(from);
      for (std::uint64_t i = at; i < *from; ++i) ASSERT_EQ(wanted[i], 0) << i;
      if (*from == past.size()) break;
      const auto to = past.seek(*from, true);
      ASSERT_OK(to);
      ASSERT_GT(*to, *from);
      data += *to - *from;
      at = *to;
    }
    EXPECT_EQ(past.allocated_bytes().value(), data);
  }
  void expect_all_as_they_were() {
    for (const auto& [generation, wanted] : model_) {
      const auto past = history().open(generation);
      ASSERT_OK(past);
      ASSERT_NO_FATAL_FAILURE(expect_reads(**past, wanted)) << generation.value;
      ASSERT_NO_FATAL_FAILURE(expect_occupancy(**past, wanted)) << generation.value;
      EXPECT_EQ(history().allocated_bytes(generation).value(), (*past)->allocated_bytes().value());
      EXPECT_EQ(history().at(generation)->disk_bytes, wanted.size());
    }
  }
  // By another party.
  void tag(const std::string& name, Generation generation) {
    auto volume = volume::Volume::open(system_env(), world_.memory(), world_.keys(), {});
    ASSERT_OK(volume);
    for (int tries = 0; tries < 100; ++tries) {
      const auto head = (*volume)->load_head();
      ASSERT_OK(head);
      const auto keys = (*volume)->keys();
      volume::Commit tag;
      tag.header = {.vid = (*volume)->vid(), .generation = head->header.generation.next(), .parent = head->hash,
                    .keys_generation = volume::keys_after(*head), .ring = keys->ring(), .writer = keys->writer()};
      tag.body.kind = volume::CommitKind::tag;
      tag.body.epoch = head->body.epoch;
      tag.body.time = system_clock().wall_now();
      tag.body.disk_bytes = head->body.disk_bytes;
      tag.body.committed = head->body.committed;
      tag.body.term = head->body.term;
      tag.body.checkpoint = head->body.checkpoint;
      tag.body.delta_base = volume::newest_change(*head);
      tag.body.tags = {{name, generation}};
      const auto bytes = seal_commit(tag, keys->commit_sealing_key(), *keys->signer(), system_env().random);
      ASSERT_OK(bytes);
      const auto put = world_.memory().put(segment::commit_name(tag.header.generation), *bytes);
      if (put) return;
      ASSERT_TRUE(is(put, Code::kExists));  // the writer was faster
    }
    FAIL();
  }
  std::vector<std::string> listed() {
    std::vector<std::string> out;
    const auto names = history().list();
    EXPECT_TRUE(names);
    for (const PastName& name : *names) out.push_back(name.name);
    return out;
  }

  std::mt19937_64 random_{test::test_seed()};
  testing::ScopedTrace trace_{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", test::test_seed())};
  DiskWorld world_{kDiskBytes};
  Bytes now_ = Bytes(kDiskBytes);
  std::map<Generation, Bytes> model_;
};

TEST_F(PastTest, EveryGenerationReadsAsItWasBesideTheLiveDisk) {
  std::vector<std::pair<std::shared_ptr<Readable>, const Bytes*>> kept;
  for (int round = 0; round < 26; ++round) {
    if (round % 9 == 5) {
      ASSERT_NO_FATAL_FAILURE(resize());
    }
    ASSERT_NO_FATAL_FAILURE(write_some());
    const auto& [generation, bytes] = *model_.rbegin();
    if (round % 6 == 0) {
      auto past = history().open(generation);
      ASSERT_OK(past);
      kept.emplace_back(std::move(*past), &bytes);
    }
    // Writes that are on their way are in none of them.
    const std::uint64_t offset = random_() % 100 * 4096;
    ASSERT_OK(world_.disk->write(offset, Bytes(4096, 1)));
    std::memset(now_.data() + offset, 1, 4096);
    if (round % 13 == 12) {
      ASSERT_OK(world_.disk->discard(0, now_.size()));
      std::memset(now_.data(), 0, now_.size());
    }
    const auto& [old, wanted] = *std::next(model_.begin(), static_cast<std::ptrdiff_t>(random_() % model_.size()));
    const auto past = history().open(old);
    ASSERT_OK(past);
    ASSERT_NO_FATAL_FAILURE(expect_reads(**past, wanted)) << old.value;
    for (const auto& [disk, bytes_then] : kept) ASSERT_NO_FATAL_FAILURE(expect_reads(*disk, *bytes_then));
  }
  // One comes in the background, sooner or later.
  for (int more = 0; world_.disk->stats().checkpoints == 0 && more < 1000; ++more) ASSERT_NO_FATAL_FAILURE(write_some());
  EXPECT_GE(world_.disk->stats().checkpoints, 1u);
  kept.clear();
  ASSERT_NO_FATAL_FAILURE(expect_all_as_they_were());
  // And after a mount, of a writer and of readers.
  ASSERT_OK(world_.close());
  ASSERT_OK(world_.open());
  ASSERT_NO_FATAL_FAILURE(expect_all_as_they_were());
  ASSERT_OK(world_.close());
  world_.options.read_only = true;
  ASSERT_OK(world_.open());
  ASSERT_NO_FATAL_FAILURE(expect_all_as_they_were());
  world_.vanish();
  for (const auto& [generation, wanted] : model_) {
    if (random_() % 4 != 0) continue;
    world_.options.point = generation;
    ASSERT_OK(world_.open());
    EXPECT_EQ(world_.disk->stats().generation, generation);
    ASSERT_NO_FATAL_FAILURE(expect_reads(*world_.disk, wanted));
    world_.vanish();
  }
}

TEST_F(PastTest, NamesAreGenerationsTagsAndTimes) {
  ASSERT_NO_FATAL_FAILURE(write_some());
  const Generation first = model_.begin()->first;
  ASSERT_NO_FATAL_FAILURE(write_some());
  ASSERT_NO_FATAL_FAILURE(tag("nightly", first));
  EXPECT_EQ(history().find("nightly")->generation, first);
  EXPECT_FALSE(history().find("nightly")->fixed);
  EXPECT_THAT(listed(), Contains("nightly"));
  EXPECT_THAT(listed(), Contains(fmt::format("{}", first)));
  ASSERT_NO_FATAL_FAILURE(tag("nightly", model_.rbegin()->first));  // moved
  EXPECT_EQ(history().find("nightly")->generation, model_.rbegin()->first);
  EXPECT_EQ(history().find(fmt::format("{}", first))->generation, first);
  EXPECT_TRUE(history().find(fmt::format("{}", first))->fixed);
  EXPECT_GE(history().find("0s ago")->generation, model_.rbegin()->first);
  EXPECT_FALSE(history().find("0s ago")->fixed);
  // The writer goes on above the tags, and its new generations have names.
  ASSERT_NO_FATAL_FAILURE(write_some());
  EXPECT_EQ(history().find(fmt::format("{}", model_.rbegin()->first))->disk_bytes, kDiskBytes);
  for (const char* name : {"0", "99999", "weekly", "1999-12-31", "99999999999999999999", "..", ""}) {
    const auto found = history().find(name);
    EXPECT_TRUE(is(found, Code::kNotFound) || is(found, Code::kBadArgument)) << name;
  }
  EXPECT_TRUE(is(history().open(Generation(99999)), Code::kNotFound));
  EXPECT_TRUE(is(history().at(Generation(0)), Code::kNotFound));
  // A tag whose name reads as a generation is not found by it, so it is not shown.
  ASSERT_NO_FATAL_FAILURE(tag("000", first));
  EXPECT_THAT(listed(), Not(Contains("000")));
}

TEST_F(PastTest, ListingIsBounded) {
  for (std::size_t i = 0; i < History::kListedGenerations + 5; ++i) ASSERT_NO_FATAL_FAILURE(write_some());
  const auto names = listed();
  ASSERT_EQ(names.size(), History::kListedGenerations);
  const std::uint64_t newest = std::stoull(names.front());
  EXPECT_GE(newest, model_.rbegin()->first.value);
  for (std::size_t i = 0; i < names.size(); ++i) EXPECT_EQ(names[i], fmt::format("{}", newest - i));
}

TEST_F(PastTest, ReaderShowsNewGenerationsOnlyIfItFollows) {
  ASSERT_NO_FATAL_FAILURE(write_some());
  const Generation before = model_.rbegin()->first;
  for (const bool follow : {false, true}) {
    auto volume = volume::Volume::open(system_env(), world_.memory(), world_.keys(), {});
    ASSERT_OK(volume);
    DiskOptions options = world_.options;
    options.read_only = true;
    options.follow = follow;
    auto reader = Disk::open(system_env(), io::posix_file_io(), **volume, options);
    ASSERT_OK(reader);
    const Bytes shown = now_;
    ASSERT_NO_FATAL_FAILURE(write_some());
    ASSERT_NO_FATAL_FAILURE(tag(follow ? "second" : "first", before));
    const auto name = fmt::format("{}", model_.rbegin()->first);
    const auto found = (*reader)->history()->find(name);
    EXPECT_EQ(found.has_value(), follow);
    EXPECT_EQ((*reader)->history()->find("second").has_value(), follow);
    if (follow) {
      auto past = (*reader)->history()->open(found->generation);
      ASSERT_OK(past);
      ASSERT_NO_FATAL_FAILURE(expect_reads(**past, now_));
    }
    ASSERT_NO_FATAL_FAILURE(expect_reads(**reader, shown));  // what is open never changes
  }
}

TEST_F(PastTest, OpenPastsAreBounded) {
  world_.vanish();
  world_.options.history_open_max = 3;
  ASSERT_OK(world_.open());
  for (int i = 0; i < 6; ++i) ASSERT_NO_FATAL_FAILURE(write_some());
  std::vector<std::shared_ptr<Readable>> open;
  auto next = model_.begin();
  for (; open.size() < 3; ++next) {
    auto past = history().open(next->first);
    ASSERT_OK(past);
    open.push_back(std::move(*past));
  }
  EXPECT_TRUE(is(history().open(next->first), Code::kNoSpace));
  EXPECT_TRUE(is(history().allocated_bytes(next->first), Code::kNoSpace));
  EXPECT_TRUE(history().open(model_.begin()->first));  // the same again is no other one
  open.pop_back();
  EXPECT_TRUE(history().open(next->first));
  // The last one is open still, for whoever comes back; it is in nobody's way.
  EXPECT_TRUE(history().open(std::next(next)->first));
  EXPECT_EQ(open.size(), 2u);
}

TEST_F(PastTest, ChangesInMemoryAreBounded) {
  world_.vanish();
  world_.options.checkpoint_runs = 100'000;  // all stays above the checkpoint
  world_.options.delta_runs_max = 1'000;
  ASSERT_OK(world_.open());
  for (std::uint64_t i = 0; i < 128; ++i) ASSERT_OK(world_.disk->write(i * 8192, Bytes(4096, 9)));
  std::vector<Generation> made;
  for (int i = 0; i < 12; ++i) {
    ASSERT_OK(world_.disk->write(static_cast<std::uint64_t>(i) * 4096, Bytes(4096, 8)));
    made.push_back(*world_.disk->sync());
  }
  std::vector<std::shared_ptr<Readable>> open;
  Result<std::shared_ptr<Readable>> past;
  for (const Generation generation : made) {
    past = history().open(generation);
    if (!past) break;
    open.push_back(*past);
  }
  EXPECT_TRUE(is(past, Code::kNoSpace));
  EXPECT_GE(open.size(), 4u);
  EXPECT_LE(open.size(), 9u);
}

TEST_F(PastTest, ReadsShareTheCacheOfTheLiveDisk) {
  ASSERT_OK(world_.disk->write(0, Bytes(64 << 10, 5)));
  ASSERT_OK(world_.disk->sync());
  Bytes got(64 << 10);
  ASSERT_OK(world_.disk->read(0, got));
  const auto generation = world_.disk->sync();
  const auto past = history().open(*generation);
  ASSERT_OK(past);
  const std::uint64_t before = world_.disk->stats().block_cache_misses;
  ASSERT_OK((*past)->read(0, got));
  EXPECT_EQ(got, Bytes(64 << 10, 5));
  EXPECT_EQ(world_.disk->stats().block_cache_misses, before);
}

TEST_F(PastTest, DamageThatReadsMeetIsTold) {
  ASSERT_OK(world_.disk->write(0, Bytes(64 << 10, 5)));
  const auto generation = world_.disk->sync();
  ASSERT_OK(generation);
  ASSERT_OK(world_.close());
  const auto segments = world_.memory().list(std::string(segment::kSegmentsPrefix), "", 1000);
  ASSERT_OK(segments);
  ASSERT_FALSE(segments->objects.empty());
  for (const auto& object : segments->objects) ASSERT_OK(world_.memory().remove(object.name));
  ASSERT_OK(world_.open());
  ASSERT_OK(world_.disk->write(0, Bytes(64 << 10, 6)));
  ASSERT_OK(world_.disk->sync());
  EXPECT_EQ(world_.disk->stats().health, "ok");
  Bytes got(4096);
  ASSERT_OK(world_.disk->read(8192, got));
  const auto past = history().open(*generation);
  ASSERT_OK(past);
  EXPECT_TRUE((*past)->read(1 << 19, got));
  EXPECT_EQ(world_.disk->stats().damaged_reads, 0u);
  for (int i = 0; i < 2; ++i) EXPECT_FALSE((*past)->read(8192, got));
  EXPECT_EQ(world_.disk->stats().damaged_reads, 2u);
  EXPECT_EQ(world_.disk->stats().health, "damaged");
  EXPECT_THAT(world_.disk->stats().health_reason, testing::HasSubstr(fmt::format("a read of generation {} at 8192 met damage", *generation)));
}

// ThreadSanitizer and the annotations look at this.
TEST_F(PastTest, ManyReadersBesideAWriter) {
  for (int i = 0; i < 8; ++i) ASSERT_NO_FATAL_FAILURE(write_some());
  const auto model = model_;
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::vector<std::unique_ptr<Task>> readers;
  for (int reader = 0; reader < 3; ++reader) {
    readers.push_back(thread_executor().spawn("reader", [&, reader] {
      std::mt19937_64 random(static_cast<std::uint64_t>(reader));
      for (int i = 0; i < 15 && !stop; ++i) {
        const auto& [generation, wanted] = *std::next(model.begin(), static_cast<std::ptrdiff_t>(random() % model.size()));
        const auto past = history().open(generation);
        Bytes got(wanted.size());
        if (!past || !(*past)->read(0, got) || got != wanted || !history().list()) ++wrong;
      }
    }));
  }
  for (int i = 0; i < 8; ++i) write_some();
  readers.clear();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace s3crate::device
