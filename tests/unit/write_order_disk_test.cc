// SPDX-License-Identifier: GPL-3.0-or-later
// What writers leave in the indexes of their segments is enough to tell the disk, and to notice what is missing: held against the map
// that the commits tell.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "device/import.h"
#include "segment/object_names.h"
#include "tests/support/assert_ok.h"
#include "tests/support/damage_world.h"
#include "tests/support/memory_image.h"
#include "tests/support/seed.h"
#include "volume/write_order.h"

namespace s3crate {
namespace {

using segment::SegmentIndex;
using test::DamageWorld;
using test::DiskWorld;
using volume::OrderedMap;

constexpr std::uint64_t kDiskBytes = 1 << 20;
constexpr std::uint32_t kBlock = DiskWorld::kBlock;

class WriteOrderDiskTest : public testing::Test {
 protected:
  WriteOrderDiskTest() { open(); }

  void open() { ASSERT_OK(world.open()); }
  void write_some(int n) {
    for (int i = 0; i < n; ++i) {
      const std::uint64_t offset = random() % kDiskBytes & ~(random() % 2 * 4095);
      const std::uint64_t length = std::min<std::uint64_t>(kDiskBytes - offset, random() % 30'000 + 1);
      if (offset + length > world.disk->size()) continue;
      if (random() % 5 == 0) {
        ASSERT_OK(world.disk->discard(offset, length));
        continue;
      }
      Bytes data(length);
      for (auto& byte : data) byte = static_cast<std::uint8_t>(random());
      ASSERT_OK(world.disk->write(offset, data));
      if (random() % 4 == 0) ASSERT_OK(world.disk->sync());
    }
  }

  struct Found {
    segment::ObjectKey key;
    SegmentIndex index;
  };
  // All segments that there are, by LIST alone.
  std::vector<Found> segments(volume::Volume& volume) {
    std::vector<Found> out;
    for (std::string after;;) {
      const auto page = *world.memory().list(std::string(segment::kSegmentsPrefix), after, 1000);
      for (const auto& info : page.objects) {
        const Bytes object = *world.memory().get(info.name, ~std::uint64_t{0});
        const auto header = *segment::decode_segment_header(ByteView(object).first(segment::segment_header_size()));
        const ByteView footer = ByteView(object).last(segment::segment_footer_size());
        const auto tail = *segment::decode_segment_footer(footer, object.size());
        const auto keys = *volume.ring_at(header.keys_generation);
        auto index = segment::open_segment_index(header, ByteView(object).subspan(tail.index_offset, tail.index_length), footer, object.size(),
                                                 *keys->segment_signer(header.writer), **keys->index_opening_key(header.ring), kBlock);
        CHECK(index);
        out.push_back({{0, header.id}, std::move(*index)});
      }
      if (!page.more) return out;
      after = page.objects.back().name;
    }
  }
  static std::vector<volume::IndexedPlace> places_of(const std::vector<Found>& found) {
    std::vector<volume::IndexedPlace> places;
    for (std::size_t i = 0; i < found.size(); ++i) places.push_back(volume::place_of(i, found[i].index, kBlock));
    return places;
  }
  // The map of the newest generation, as the commits have it.
  std::vector<segment::Run> map_of(volume::Volume& volume) {
    auto head = volume.load_head();
    CHECK(head);
    auto view = volume.load_view(*head);
    CHECK(view);
    volume::RunMap out;
    CHECK(volume::map_lookup(volume.pages(), view->map, BlockIndex(0), BlockIndex(kDiskBytes / kBlock), [&](const segment::Run& run) {
      if (!run.hole) out.put(run);
    }));
    for (const segment::Run& run : view->changes.runs())
      if (run.hole) out.erase(run.block, run.end());
      else out.put(run);
    return out.runs();
  }
  // The indexes tell the newest generation, all of it vouched for.
  void expect_told() {
    const auto volume = *volume::Volume::open(system_env(), world.memory(), world.keys(), {});
    const auto wanted = map_of(*volume);
    const auto found = segments(*volume);
    const auto order = volume::order(places_of(found));
    for (const auto& generation : order.line) EXPECT_EQ(generation.gap, "") << "epoch " << generation.epoch << " batch " << generation.first.value;
    ASSERT_EQ(order.prefix, order.line.size());
    OrderedMap map;
    for (const auto& generation : order.line) {
      std::vector<OrderedMap::Segment> parts;
      for (std::size_t which : generation.segments) parts.emplace_back(found[which].key, &found[which].index);
      ASSERT_OK(map.lay(parts, generation.disk_bytes, kBlock));
    }
    ASSERT_EQ(map.map().runs(), wanted);
  }

  const std::uint64_t seed = test::test_seed();
  const testing::ScopedTrace trace{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", seed)};
  std::mt19937_64 random{seed};
  DiskWorld world{kDiskBytes};
};

TEST_F(WriteOrderDiskTest, IndexesOfAllWritersTogetherTellTheNewestGeneration) {
  for (int round = 0; round < 6; ++round) {
    write_some(15);
    if (round == 1) {
      ASSERT_OK(world.disk->resize(kDiskBytes / 2, device::DiscardTail::yes));
      write_some(5);
      ASSERT_OK(world.disk->resize(kDiskBytes, device::DiscardTail::no));
    }
    if (round % 2 == 0) {
      // The process is gone; its journal is played back. What it had put and not committed nobody continues.
      ASSERT_OK(world.disk->flush());
      world.vanish();
    } else {
      write_some(1);
      ASSERT_OK(world.close());
    }
    open();
  }
  // Somebody writes after each of them, and tells thereby where it ended.
  ASSERT_OK(world.disk->write(0, Bytes(kBlock, 1)));
  ASSERT_OK(world.close());
  expect_told();
}

TEST_F(WriteOrderDiskTest, EverySegmentThatIsMissingIsNoticed) {
  write_some(40);
  ASSERT_OK(world.disk->write(0, Bytes(300'000, 7)));
  ASSERT_OK(world.close());
  const auto volume = *volume::Volume::open(system_env(), world.memory(), world.keys(), {});
  ASSERT_OK(volume->load_head());
  const auto found = segments(*volume);
  const auto all = places_of(found);
  const auto whole = volume::order(all);
  ASSERT_EQ(whole.prefix, whole.line.size());
  ASSERT_GT(all.size(), whole.line.size()) << "no generation has two segments";
  for (std::size_t lost = 0; lost < all.size(); ++lost) {
    auto left = all;
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(lost));
    const auto line = std::ranges::find_if(whole.line, [&](const auto& g) { return std::ranges::find(g.segments, lost) != g.segments.end(); });
    ASSERT_EQ(volume::order(left).prefix, static_cast<std::size_t>(line - whole.line.begin()));
  }
}

class WriteOrderImportTest : public WriteOrderDiskTest {
 protected:
  WriteOrderImportTest() {
    DamageWorld::must(world.disk->write(0, Bytes(kBlock, 1)));
    DamageWorld::must(world.close());
    for (auto& byte : image.bytes) byte = static_cast<std::uint8_t>(random());
    how.transfer.piece_bytes = 128 << 10;
  }
  Result<device::ImportReport> import_image() {
    const auto volume = TRY(volume::Volume::open(system_env(), world.memory(), world.keys(), {}));
    return device::import_image(system_env(), io::posix_file_io(), *volume, world.options, image, how);
  }
  void write_behind_it() {
    open();
    DamageWorld::must(world.disk->write(0, Bytes(kBlock, 2)));
    DamageWorld::must(world.close());
  }
  test::MemoryImage image{Bytes(kDiskBytes)};
  device::ImportOptions how;
};

TEST_F(WriteOrderImportTest, ImportIsWholeOnlyWithAllOfItsSegments) {
  ASSERT_OK(import_image());
  write_behind_it();
  expect_told();
  const auto volume = *volume::Volume::open(system_env(), world.memory(), world.keys(), {});
  ASSERT_OK(volume->load_head());
  const auto found = segments(*volume);
  std::size_t parts = 0;
  for (std::size_t lost = 0; lost < found.size(); ++lost) {
    if (found[lost].index.epoch != 2) continue;
    parts++;
    auto left = places_of(found);
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(lost));
    EXPECT_EQ(volume::order(left).prefix, 1u);
  }
  EXPECT_GT(parts, 5u);
}

// Which of the segments of the one before it uses, only its commit says.
TEST_F(WriteOrderImportTest, ImportThatWentOnFromAnotherIsAGap) {
  std::atomic<bool> stop = false;
  how.transfer.stop = &stop;
  how.transfer.progress = [&](const device::TransferProgress& p) { stop = p.done > kDiskBytes / 2; };
  ASSERT_TRUE(is(import_image(), Code::kCancelled));
  stop = false;
  how.transfer.progress = {};
  const auto report = import_image();
  ASSERT_OK(report);
  ASSERT_GT(report->found_bytes, 0u);
  write_behind_it();
  const auto volume = *volume::Volume::open(system_env(), world.memory(), world.keys(), {});
  ASSERT_OK(volume->load_head());
  EXPECT_EQ(volume::order(places_of(segments(*volume))).prefix, 1u);
}

}  // namespace
}  // namespace s3crate
