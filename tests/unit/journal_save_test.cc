// SPDX-License-Identifier: GPL-3.0-or-later
// A journal whose writes the volume never got, because another writer took it over: a fork where they go on, and nothing of what came
// in between.
#include "device/journal_save.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/read_generation.h"
#include "tests/support/seed.h"
#include "volume/fork.h"
#include "volume/guest.h"

namespace s3crate {
namespace {

using test::DiskWorld;
using test::open_volume;
using testing::HasSubstr;

constexpr std::uint64_t kBlock = DiskWorld::kBlock;
constexpr std::uint64_t kBlocks = 96;

class JournalSaveTest : public testing::Test {
 protected:
  void write_some(int n) {
    for (; n > 0; --n) {
      // Parts of blocks, too.
      const std::uint64_t at = random() % (now.size() - 1), length = 1 + random() % std::min<std::uint64_t>(30'000, now.size() - at);
      Bytes data(length);
      const bool zeros = random() % 5 == 0;
      if (!zeros) for (auto& byte : data) byte = static_cast<std::uint8_t>(random());
      ASSERT_OK(zeros ? world.disk->discard(at, length) : world.disk->write(at, data));
      std::copy(data.begin(), data.end(), now.begin() + static_cast<std::ptrdiff_t>(at));
      if (random() % 3 == 0) ASSERT_OK(world.disk->flush());
    }
  }
  // Somebody else's machine: its writes are none of ours.
  void others_take_over() {
    const std::string own = std::exchange(world.options.state_dir, world.options.state_dir + "-other");
    world.options.take_over = true;
    ASSERT_OK(world.open());
    ASSERT_OK(world.disk->write(0, Bytes(20 * kBlock, 0xee)));
    ASSERT_OK(world.close());
    world.options.take_over = false;
    world.options.state_dir = own;
  }
  std::unique_ptr<journal::Journal> open_journal() {
    journal::Options options;
    options.path = fmt::format("{}/{}/journal", world.options.state_dir, to_hex(world.vid));
    auto journal = journal::Journal::open(system_env(), io::posix_file_io(), options);
    CHECK(journal);
    return std::move(*journal);
  }
  // As the command does.
  Result<Bytes> save(journal::Journal& journal) {
    const auto origin = open_volume(stores, world);
    const auto head = TRY(origin->load_head());
    auto point = TRY(device::journal_point(*origin, head, journal.superblock()));
    if (!point) return fail(Code::kNotFound, "no point");
    fork_stores.attach_all_of(stores, "the origin");
    const auto put_guest = [&](const volume::CommitBody& body) -> Result<> {
      volume::Guest guest(system_env(), *origin, {}, [](const Error&) {});
      TRY(guest.append(TRY(origin->load_head()), body, [](const volume::Commit&) -> Result<> { return {}; }));
      return {};
    };
    const auto slot = fork.slot();
    volume::ForkOptions options;
    options.origin_url = "memory://origin";
    fork.vid = TRY(volume::fork(system_env(), *origin, *point, fork_stores, options, {&slot, 1}, put_guest)).vid;
    TRY(fork.open());
    const auto played = TRY(device::play_into(journal, point->body.committed, *origin->keys(), *fork.disk, nullptr));
    EXPECT_GT(played.batches, 0u);
    TRY(fork.disk->sync());
    Bytes read(fork.disk->size());
    TRY(fork.disk->read(0, read));
    TRY(fork.close());
    return read;
  }

  const std::uint64_t seed = test::test_seed();
  const testing::ScopedTrace trace{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", seed)};
  std::mt19937_64 random{seed};
  store::MemoryStore memory, fork_memory;
  store::OriginStores stores{memory}, fork_stores{fork_memory};
  DiskWorld world{kBlocks * kBlock, &stores};
  DiskWorld fork{fork_stores, DiskWorld::Existing()};
  Bytes now = Bytes(kBlocks * kBlock);
};

TEST_F(JournalSaveTest, AForkHasAllThatWasFlushedAndNothingOfTheOtherWriter) {
  ASSERT_OK(world.open());
  write_some(10);
  ASSERT_OK(world.close());
  world.options.upload_delay = std::chrono::hours(1);
  world.options.segment_bytes = 4 << 20;  // nor is it sent because a segment is full
  for (int mount = 0; mount < 3; ++mount) {  // incarnations of one journal
    ASSERT_OK(world.open());
    write_some(6);
    ASSERT_OK(world.disk->flush());
    world.vanish();
  }
  others_take_over();
  const auto refused = world.open();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("journal save"));
  const auto journal = open_journal();
  const auto read = save(*journal);
  ASSERT_OK(read);
  EXPECT_TRUE(*read == now);
  // It is as it was, for another time.
  const auto pending = journal->pending_bytes(Seq(0));
  ASSERT_OK(pending);
  EXPECT_GT(*pending, 0u);
}

TEST_F(JournalSaveTest, APlayThatWasStoppedIsDoneAgain) {
  world.options.upload_delay = std::chrono::hours(1);
  world.options.segment_bytes = 4 << 20;  // nor is it sent because a segment is full
  ASSERT_OK(world.open());
  write_some(12);
  ASSERT_OK(world.disk->flush());
  world.vanish();
  others_take_over();
  {
    const auto journal = open_journal();
    const auto origin = open_volume(stores, world);
    int batches = 0;
    const auto stopped = journal->replay(Seq(0), [&](std::uint32_t ring, const segment::SealedSecret& sealed) { return origin->keys()->open_data_box(ring, sealed); },
                                         [&](const journal::Journal::Replayed&) -> Result<> {
                                           return ++batches == 2 ? Result<>(fail(Code::kCancelled, "stopped")) : Result<>();
                                         });
    ASSERT_TRUE(is(stopped, Code::kCancelled));
  }
  const auto journal = open_journal();
  const auto read = save(*journal);
  ASSERT_OK(read);
  EXPECT_TRUE(*read == now);
}

TEST_F(JournalSaveTest, OfANewestWriterThereIsAPointAndOfAStrangerNone) {
  world.options.upload_delay = std::chrono::hours(1);
  world.options.segment_bytes = 4 << 20;  // nor is it sent because a segment is full
  ASSERT_OK(world.open());
  write_some(3);
  ASSERT_OK(world.disk->flush());
  world.vanish();
  const auto journal = open_journal();
  const auto origin = open_volume(stores, world);
  const auto head = origin->load_head();
  ASSERT_OK(head);
  const auto own = device::journal_point(*origin, *head, journal->superblock());
  ASSERT_OK(own);
  ASSERT_TRUE(own->has_value());
  EXPECT_EQ((*own)->hash, head->hash);
  journal::Superblock stranger = journal->superblock();
  stranger.journal = {1, 2, 3};
  const auto none = device::journal_point(*origin, *head, stranger);
  ASSERT_OK(none);
  EXPECT_FALSE(none->has_value());
}

}  // namespace
}  // namespace s3crate
