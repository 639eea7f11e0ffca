// SPDX-License-Identifier: GPL-3.0-or-later
// The journal on a real file and with real threads; crashes and faults are in
// tests/sim/journal_*_test.cc.
#include "journal/journal.h"

#include <gtest/gtest.h>

#include <atomic>

#include "crypto/crypto.h"
#include "tests/support/step_file_io.h"
#include "tests/support/temp_dir.h"

namespace s3crate::journal {
namespace {

class JournalOnDisk : public ::testing::Test {
 protected:
  JournalOnDisk() {
    EXPECT_TRUE(crypto::initialise());
    keys_ = crypto::box_key_pair(env_.random);
    options_.path = dir_ / "journal";
    options_.slot_bytes = 64 << 10;
    options_.file_bytes = kSlotsOffset + 256 * (64 << 10);
    options_.boot[0] = 1;
  }

  Result<std::unique_ptr<Journal>> create() {
    return Journal::create(env_, io::posix_file_io(), options_, vid_, home_);
  }
  Result<std::unique_ptr<Journal>> open() {
    return Journal::open(env_, io::posix_file_io(), options_);
  }
  std::unique_ptr<Journal> started() {
    auto journal = create();
    EXPECT_TRUE(journal) << journal.error().message();
    EXPECT_TRUE((*journal)->start_incarnation(Seq(1), 1, keys_.public_key));
    return std::move(*journal);
  }
  static RecordBody body(std::uint8_t value, std::size_t size) {
    RecordBody body;
    body.disk_bytes = 1 << 20;
    body.patches.push_back({BlockIndex(value), 0, Bytes(size, value)});
    return body;
  }
  Journal::KeyOpener opener() {
    return [this](std::uint32_t, const SealedSecret& sealed) -> Result<crypto::Secret> {
      Bytes secret;
      TRY(crypto::box_open(keys_.secret, sealed, secret));
      return crypto::Secret::copy_of(secret);
    };
  }

  Env env_ = system_env();
  test::TempDir dir_;
  crypto::BoxKeyPair keys_;
  Options options_;
  Vid vid_{{1, 2, 3}};
  Hash home_{{4, 5, 6}};
};

TEST_F(JournalOnDisk, OpensWhatWasMade) {
  EXPECT_TRUE(is(open(), Code::kNotFound));
  {
    auto made = create();
    ASSERT_TRUE(made) << made.error().message();
    EXPECT_TRUE(is(create(), Code::kExists));
    EXPECT_TRUE(is(open(), Code::kExists)) << "it is locked";
  }
  auto opened = open();
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ((*opened)->superblock().vid, vid_);
  EXPECT_EQ((*opened)->superblock().home, home_);
  EXPECT_FALSE((*opened)->was_copied());
  auto entries = io::posix_file_io().list(dir_.path());
  ASSERT_TRUE(entries);
  EXPECT_EQ(entries->size(), 1u);
}

TEST_F(JournalOnDisk, SizesOutOfBoundsAreRefused) {
  const Options good = options_;
  options_.slot_bytes = kSlotBytesMin / 2;
  EXPECT_TRUE(is(create(), Code::kBadArgument));
  options_.slot_bytes = kSlotBytesMax * 2;
  EXPECT_TRUE(is(create(), Code::kBadArgument));
  options_.slot_bytes = 100'000;
  EXPECT_TRUE(is(create(), Code::kBadArgument));
  options_ = good;
  options_.file_bytes = kSlotsOffset + kSlotsMin * options_.slot_bytes - 1;
  EXPECT_TRUE(is(create(), Code::kBadArgument));
  options_.file_bytes = kFileBytesMax + 1;
  EXPECT_TRUE(is(create(), Code::kBadArgument));
  EXPECT_TRUE(is(open(), Code::kNotFound)) << "nothing was left behind";
}

TEST_F(JournalOnDisk, FileWithoutASuperblockIsCorrupt) {
  { ASSERT_TRUE(create()); }
  auto file = io::posix_file_io().open(options_.path, io::OpenMode::read_write);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write_at(0, Bytes(2 * kSectorBytes, 0xee)));
  file->reset();
  EXPECT_TRUE(is(open(), Code::kCorrupt));
}

TEST_F(JournalOnDisk, TheLargestBatchFitsAndNoLargerOne) {
  auto journal = started();
  RecordBody one = body(1, 100);
  const std::size_t overhead = encode_record_body(one).size();
  const std::size_t most = journal->max_record_bytes() - overhead;
  EXPECT_TRUE(is(journal->append(Seq(1), one, std::make_shared<Bytes>(most + 1)), Code::kBadArgument));
  EXPECT_TRUE(journal->append(Seq(1), one, std::make_shared<Bytes>(most)));
  EXPECT_TRUE(journal->sync());
}

TEST_F(JournalOnDisk, FileGrowsAsItFills) {
  auto journal = started();
  const auto size = [&] {
    return *(*io::posix_file_io().open(options_.path, io::OpenMode::read_only))->size();
  };
  ASSERT_TRUE(journal->append(Seq(1), body(1, 100), {}));
  EXPECT_EQ(size(), kSlotsOffset + options_.slot_bytes);
  EXPECT_EQ(journal->stats().used_bytes, options_.slot_bytes);
  EXPECT_EQ(journal->stats().capacity_bytes, 256 * options_.slot_bytes);
}

// Once for each place, when nothing in it is needed any more.
TEST_F(JournalOnDisk, WhatIsReleasedDoesNotStayInThePageCache) {
  test::StepFileIo files(io::posix_file_io(), dir_.path());
  auto journal = Journal::create(env_, files, options_, vid_, home_);
  ASSERT_TRUE(journal);
  ASSERT_TRUE((*journal)->start_incarnation(Seq(1), 1, keys_.public_key));
  for (std::uint64_t seq = 1; seq <= 6; ++seq) {  // two to a place
    ASSERT_TRUE((*journal)->append(Seq(seq), body(static_cast<std::uint8_t>(seq), 25'000), {}));
    ASSERT_TRUE((*journal)->sync());
  }
  static_cast<void>(files.take_steps());
  const auto drop = [&](std::uint64_t slot) {
    return fmt::format("drop {}+{}", kSlotsOffset + slot * options_.slot_bytes, options_.slot_bytes);
  };
  const auto steps = [&] {  // without the file's name, which it was made under
    auto taken = files.take_steps();
    for (std::string& step : taken) step.resize(step.find(" of "));
    return taken;
  };
  (*journal)->release(Seq(1));
  EXPECT_EQ(steps(), std::vector<std::string>{});
  (*journal)->release(Seq(5));
  EXPECT_EQ(steps(), (std::vector<std::string>{drop(0), drop(1)}));
  (*journal)->release(Seq(5));
  (*journal)->release(Seq(6));
  EXPECT_EQ(steps(), std::vector<std::string>{drop(2)});
}

TEST_F(JournalOnDisk, PendingBytesAreCountedWithoutKeys) {
  std::uint64_t third = 0;
  {
    auto journal = started();
    for (std::uint8_t i = 1; i <= 3; ++i) {
      const std::uint64_t before = journal->stats().append_bytes;
      ASSERT_TRUE(journal->append(Seq(i), body(i, 1000u * i), {}));
      third = journal->stats().append_bytes - before;
    }
    ASSERT_TRUE(journal->sync());
  }
  auto journal = open();
  ASSERT_TRUE(journal);
  EXPECT_EQ(*(*journal)->pending_bytes(Seq(2)), third);
  EXPECT_EQ(*(*journal)->pending_bytes(Seq(3)), 0u);
  EXPECT_GT(*(*journal)->pending_bytes(Seq(0)), third);
}

TEST_F(JournalOnDisk, WrongKeyEndsReplay) {
  {
    auto journal = started();
    ASSERT_TRUE(journal->append(Seq(1), body(1, 10), {}));
    ASSERT_TRUE(journal->sync());
  }
  auto journal = open();
  ASSERT_TRUE(journal);
  const auto no_key = [](std::uint32_t, const SealedSecret&) -> Result<crypto::Secret> {
    return fail(Code::kBadKey, "no");
  };
  const auto each = [](Journal::Replayed) { return Result<>(); };
  EXPECT_TRUE(is((*journal)->replay(Seq(0), no_key, each), Code::kBadKey));
  EXPECT_TRUE(is((*journal)->start_incarnation(Seq(1), 1, keys_.public_key), Code::kBadArgument))
      << "not replayed yet";
  auto last = (*journal)->replay(Seq(0), opener(), each);
  ASSERT_TRUE(last);
  EXPECT_EQ(*last, Seq(1));
}

TEST_F(JournalOnDisk, OneDatasyncCoversManyCallers) {
  constexpr int kThreads = 8;
  constexpr int kEach = 40;
  std::uint64_t syncs = 0;
  {
    auto journal = started();
    Mutex appending;  // appends come in order of seq
    Seq next{1};
    std::atomic<bool> failed = false;
    std::vector<std::unique_ptr<Task>> tasks;
    for (int t = 0; t < kThreads; ++t) {
      tasks.push_back(env_.executor.spawn("caller", [&] {
        for (int i = 0; i < kEach; ++i) {
          Seq mine;
          RecordPtr record;
          {
            MutexLock lock(appending);
            mine = next;
            next = next.next();
            auto appended =
                journal->append(mine, body(static_cast<std::uint8_t>(mine.value % 250), 200), {});
            if (!appended) failed = true;
          }
          if (!journal->sync() || journal->durable_through() < mine) failed = true;
          if (mine.value % 7 == 0) journal->release(Seq(mine.value / 2));
        }
      }));
    }
    tasks.clear();
    EXPECT_FALSE(failed);
    EXPECT_EQ(journal->unsynced_bytes(), 0u);
    syncs = journal->stats().syncs;
    EXPECT_EQ(journal->stats().appends, std::uint64_t{kThreads * kEach});
    EXPECT_LE(syncs, std::uint64_t{kThreads * kEach});
  }
  auto journal = open();
  ASSERT_TRUE(journal);
  Seq seen{200};
  auto last = (*journal)->replay(seen, opener(), [&](Journal::Replayed one) -> Result<> {
    EXPECT_EQ(one.seq, seen.next());
    EXPECT_EQ(one.body, body(static_cast<std::uint8_t>(one.seq.value % 250), 200));
    seen = one.seq;
    return {};
  });
  ASSERT_TRUE(last) << last.error().message();
  EXPECT_EQ(*last, Seq(kThreads * kEach));
}

}  // namespace
}  // namespace s3crate::journal
