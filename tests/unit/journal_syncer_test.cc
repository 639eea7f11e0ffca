// SPDX-License-Identifier: GPL-3.0-or-later
// When the journal is synced unasked, who waits for it, and what counts as a failure.
#include "device/journal_syncer.h"

#include <gtest/gtest.h>

#include <atomic>

namespace s3crate::device {
namespace {

// What is appended to it is not durable until a sync that succeeds; others append while it syncs.
class FakeJournal final : public journal::Journal {
 public:
  std::atomic<std::uint64_t> unsynced{0}, appended_meanwhile{0};
  std::atomic<int> syncs{0};
  std::atomic<bool> failing{false}, held{false};

  [[nodiscard]] Result<> sync() override {
    ++syncs;
    syncs.notify_all();
    held.wait(true);
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
  journal_.held = true;
  journal_.unsynced = kBound;
  EXPECT_TRUE(syncer_.appended());
  journal_.syncs.wait(0);
  journal_.unsynced = journal_.appended_meanwhile = 2 * kBound;
  const auto release = thread_executor().spawn("release", [this] {
    journal_.held = false;
    journal_.held.notify_all();
  });
  EXPECT_TRUE(syncer_.appended());
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
