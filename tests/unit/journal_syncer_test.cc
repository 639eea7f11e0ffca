// SPDX-License-Identifier: GPL-3.0-or-later
// When the journal is synced unasked, who waits for it, and what counts as a failure.
#include "device/journal_syncer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <thread>

namespace s3crate::device {
namespace {

// What is appended to it is not durable until a sync that succeeds; others append while it syncs.
class FakeJournal final : public journal::Journal {
 public:
  std::atomic<std::uint64_t> unsynced{0}, appended_meanwhile{0};
  std::atomic<int> syncs{0}, allowed{std::numeric_limits<int>::max()};
  std::atomic<bool> failing{false};

  void allow(int count) {
    allowed = count;
    allowed.notify_all();
  }

  [[nodiscard]] Result<> sync() override {
    const int number = ++syncs;
    syncs.notify_all();
    for (int seen = allowed; seen < number; seen = allowed) allowed.wait(seen);
    if (failing) return fail(Code::kIo, "no room");
    unsynced = appended_meanwhile.load();
    return {};
  }
  [[nodiscard]] std::uint64_t unsynced_bytes() const override { return unsynced; }

  [[nodiscard]] const journal::Superblock& superblock() const override { return superblock_; }
  [[nodiscard]] bool was_copied() const override { return false; }
  [[nodiscard]] Result<Seq> replay(Seq committed, const KeyOpener&, const std::function<Result<>(Replayed)>&) override { return committed; }
  [[nodiscard]] Result<std::uint64_t> pending_bytes(Seq) override { return 0; }
  [[nodiscard]] Result<> note_intent(std::uint32_t, const segment::Uuid&, Generation, const segment::Hash&) override { return {}; }
  [[nodiscard]] Result<> start_incarnation(Seq, std::uint32_t, const crypto::PublicKey&) override { return {}; }
  [[nodiscard]] Result<journal::RecordPtr> append(Seq, const journal::RecordBody&, journal::SharedBytes) override { return nullptr; }
  [[nodiscard]] Seq durable_through() const override { return Seq(0); }
  [[nodiscard]] Result<> note_commits(const journal::NotedCommits&) override { return {}; }
  [[nodiscard]] Result<> probe() override { return {}; }
  void release(Seq) override {}
  [[nodiscard]] journal::Stats stats() const override { return {}; }
  [[nodiscard]] std::uint64_t max_record_bytes() const override { return 1 << 20; }

 private:
  journal::Superblock superblock_;
};

class JournalSyncerTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kBound = 1000;

  FakeJournal journal_;
  std::atomic<int> troubles_{0};
  JournalSyncer syncer_{thread_executor(), journal_, kBound, [this](const Error&) { ++troubles_; }};
};

TEST_F(JournalSyncerTest, LittleIsNotSynced) {
  journal_.unsynced = kBound / 2;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(syncer_.appended());
  EXPECT_EQ(journal_.syncs, 0);
}

TEST_F(JournalSyncerTest, PastTheBoundItIsWaitedFor) {
  journal_.unsynced = kBound + 1;
  EXPECT_TRUE(syncer_.appended());
  EXPECT_EQ(journal_.unsynced, 0u);
  EXPECT_EQ(journal_.syncs, 1);
}

// However much those append meanwhile who flush.
TEST_F(JournalSyncerTest, OneThatIsBehindHasNotFailed) {
  journal_.unsynced = journal_.appended_meanwhile = 100 * kBound;
  EXPECT_TRUE(syncer_.appended());
  EXPECT_EQ(journal_.syncs, 1);
  EXPECT_EQ(troubles_, 0);
}

TEST_F(JournalSyncerTest, TheOneUnderWayDoesNotCoverWhatCameAfterIt) {
  constexpr auto kMoment = std::chrono::milliseconds(20);  // for what must not happen
  journal_.allow(0);
  journal_.unsynced = kBound;
  EXPECT_TRUE(syncer_.appended());
  journal_.syncs.wait(0);
  journal_.unsynced = journal_.appended_meanwhile = 2 * kBound;
  std::atomic<bool> returned{false};
  const auto waiter = thread_executor().spawn("waiter", [&] {
    EXPECT_TRUE(syncer_.appended());
    returned = true;
    returned.notify_all();
  });
  std::this_thread::sleep_for(kMoment);
  journal_.allow(1);
  journal_.syncs.wait(1);
  std::this_thread::sleep_for(kMoment);
  EXPECT_FALSE(returned);
  journal_.allow(2);
  returned.wait(false);
  EXPECT_EQ(journal_.syncs, 2);
}

TEST_F(JournalSyncerTest, AFailureIsToldAndTheNextOneTriesAgain) {
  journal_.failing = true;
  journal_.unsynced = kBound + 1;
  const auto failed = syncer_.appended();
  EXPECT_TRUE(is(failed, Code::kIo));
  EXPECT_EQ(journal_.syncs, 1);
  EXPECT_EQ(troubles_, 1);
  journal_.failing = false;
  EXPECT_TRUE(syncer_.appended());
  EXPECT_EQ(journal_.unsynced, 0u);
}

}  // namespace
}  // namespace s3crate::device
