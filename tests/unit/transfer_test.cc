// SPDX-License-Identifier: GPL-3.0-or-later
// Generations out of a volume as images, images held against them, and what changed between them: against arrays of bytes.
#include "device/transfer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "device/in_order.h"
#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/fault_store.h"
#include "tests/support/memory_image.h"
#include "tests/support/seed.h"
#include "volume/map_diff.h"

namespace s3crate {
namespace {

using device::ByteRange;
using device::OnDamage;
using test::DiskWorld;
using test::MemoryImage;
using test::MemorySink;

constexpr std::uint64_t kMi = 1 << 20;
constexpr std::uint64_t kBlock = DiskWorld::kBlock;

device::TransferOptions small_pieces() {
  device::TransferOptions options;
  options.piece_bytes = 64 << 10;
  options.workers = 3;
  return options;
}

// A volume, read only, and its generations.
class Reading {
 public:
  explicit Reading(DiskWorld& world, store::ObjectStore* store = nullptr)
      : volume_(*volume::Volume::open(system_env(), store != nullptr ? *store : world.memory(), world.keys(), {})) {
    CHECK(volume_->load_head());
  }
  volume::Volume& volume() { return *volume_; }
  volume::View view(Generation at) { return *volume_->load_view(*volume_->load_commit(at)); }
  std::unique_ptr<device::ViewReader> at(Generation at) {
    return std::make_unique<device::ViewReader>(system_env(), *volume_, view(at), kMi);
  }

 private:
  std::unique_ptr<volume::Volume> volume_;
};

std::vector<bool> blocks_of(const std::vector<ByteRange>& ranges, std::uint64_t bytes) {
  std::vector<bool> out(bytes / kBlock);
  for (const ByteRange& range : ranges)
    for (std::uint64_t at = range.offset; at < range.offset + range.length; at += kBlock) out.at(at / kBlock) = true;
  return out;
}

TEST(TransferTest, EveryGenerationIsExportedComparedAndToldApartAsItWas) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  const auto any = [&](std::uint64_t below) { return random() % below; };
  DiskWorld world(kMi);
  ASSERT_OK(world.open());
  Bytes model(kMi);
  std::map<Generation, Bytes> kept;
  for (int step = 0; step < 14; ++step) {
    for (std::uint64_t writes = any(12); writes > 0; --writes) {
      const std::uint64_t offset = any(model.size());
      Bytes data(std::min(model.size() - offset, 1 + any(any(3) == 0 ? 200'000 : 9'000)));
      if (any(4) == 0) {
        ASSERT_OK(world.disk->discard(offset, data.size()));
      } else {
        std::ranges::generate(data, [&] { return static_cast<std::uint8_t>(random()); });
        ASSERT_OK(world.disk->write(offset, data));
      }
      std::memcpy(model.data() + offset, data.data(), data.size());
    }
    if (any(6) == 0) {
      model.resize((1 + any(512)) * kBlock);
      ASSERT_OK(world.disk->resize(model.size(), device::DiscardTail::yes));
    }
    const auto generation = world.disk->sync();
    ASSERT_OK(generation);
    kept[*generation] = model;
  }
  ASSERT_OK(world.close());

  Reading reading(world);
  std::vector<Generation> generations;
  for (const auto& [at, bytes] : kept) {
    generations.push_back(at);
    const auto reader = reading.at(at);
    MemorySink sink;
    const auto exported = device::export_view(system_env(), *reader, sink, OnDamage::stop, small_pieces());
    ASSERT_OK(exported);
    ASSERT_EQ(sink.bytes, bytes) << "generation " << at.value;
    EXPECT_EQ(exported->disk_bytes, bytes.size());
    EXPECT_EQ(exported->damaged.bytes, 0u);

    Bytes other = bytes;
    other.resize(bytes.size() + any(3) * 1000 + (any(2) == 0 ? 0 : 3 * kBlock));  // zeros behind the end are none
    if (any(2) == 0 && other.size() == bytes.size()) other.resize(other.size() - std::min(other.size(), any(kBlock)));
    MemoryImage same(other);
    for (int i = 0; i < 3; ++i) other[any(other.size())] ^= 1;
    MemoryImage changed(other);
    const auto equal_report = device::compare_view(system_env(), *reader, same, small_pieces());
    ASSERT_OK(equal_report);
    std::vector<bool> expected((std::max(bytes.size(), other.size()) + kBlock - 1) / kBlock);
    const auto differ = [&, &bytes = bytes](const Bytes& image) {
      for (std::size_t b = 0; b < expected.size(); ++b) {
        bool differs = false;
        for (std::size_t i = b * kBlock; i < (b + 1) * kBlock; ++i)
          differs = differs || (i < bytes.size() ? bytes[i] : 0) != (i < image.size() ? image[i] : 0);
        expected[b] = differs;
      }
    };
    differ(same.bytes);
    EXPECT_EQ(equal_report->same(), std::ranges::count(expected, true) == 0);
    const auto report = device::compare_view(system_env(), *reader, changed, small_pieces());
    ASSERT_OK(report);
    differ(other);
    ASSERT_EQ(blocks_of(report->different.ranges, expected.size() * kBlock), expected);
  }
  // No block whose bytes differ is called unchanged; and one that is called changed was written in between.
  for (int i = 0; i < 20; ++i) {
    const Generation a = generations[any(generations.size())], b = generations[any(generations.size())];
    const Bytes &old = kept[a], &now = kept[b];
    std::vector<ByteRange> changed;
    ASSERT_OK(volume::map_diff(reading.volume().pages(), reading.view(a), reading.view(b), kBlock, [&](BlockIndex from, BlockIndex to) -> Result<> {
      changed.push_back({from.value * kBlock, (to - from) * kBlock});
      return {};
    }));
    EXPECT_TRUE(a != b || changed.empty());
    const std::uint64_t end = std::max(old.size(), now.size());
    const auto blocks = blocks_of(changed, end);
    for (std::uint64_t at = 0; at < end; ++at)
      ASSERT_TRUE(blocks[at / kBlock] || (at < old.size() ? old[at] : 0) == (at < now.size() ? now[at] : 0)) << "byte " << at;
  }
}

TEST(TransferTest, HolesAreNeitherReadNorWrittenWhateverTheirSize) {
  DiskWorld world(std::uint64_t{1} << 50);
  ASSERT_OK(world.open());
  const Bytes data(kBlock, 7);
  const std::uint64_t at = (std::uint64_t{1} << 49) + 3 * kBlock;
  ASSERT_OK(world.disk->write(at, data));
  const auto generation = world.disk->sync();
  ASSERT_OK(generation);
  ASSERT_OK(world.close());
  Reading reading(world);
  const auto reader = reading.at(*generation);
  test::CountingSink sink;
  ASSERT_OK(device::export_view(system_env(), *reader, sink, OnDamage::stop, {}));
  EXPECT_EQ(sink.data_bytes, kBlock);
  EXPECT_EQ(sink.zero_bytes, (std::uint64_t{1} << 50) - kBlock);
  EXPECT_EQ(sink.first_data, at);
}

// One object at a time is lost: what is told is exactly what then is zeros, and all else is there.
TEST(TransferTest, DamageIsToldExactlyAndTheRestIsExported) {
  DiskWorld world(kMi);
  world.options.checkpoint_runs = 10;
  ASSERT_OK(world.open());
  std::mt19937_64 random(1);
  Bytes model(kMi);
  for (int i = 0; i < 40; ++i) {
    const std::uint64_t offset = random() % 200 * kBlock;
    Bytes data((1 + random() % 20) * kBlock);
    std::ranges::generate(data, [&] { return static_cast<std::uint8_t>(1 + random() % 255); });
    ASSERT_OK(world.disk->write(offset, data));
    std::memcpy(model.data() + offset, data.data(), data.size());
    if (i % 5 == 0) ASSERT_OK(world.disk->sync());
  }
  const auto generation = world.disk->sync();
  ASSERT_OK(generation);
  ASSERT_OK(world.close());
  std::set<std::string> objects;
  for (const char* prefix : {"segments/", "map/"}) {
    const auto page = world.memory().list(prefix, "", 1000);
    ASSERT_OK(page);
    for (const auto& object : page->objects) objects.insert(object.name);
  }
  std::size_t damaged = 0, with_map = 0;
  for (const std::string& lost : objects) {
    test::FaultStore faults(world.memory());
    faults.lose(lost);
    Reading reading(world, &faults);
    const auto reader = reading.at(*generation);
    MemorySink sink;
    const auto report = device::export_view(system_env(), *reader, sink, OnDamage::go_on, small_pieces());
    ASSERT_OK(report);
    const auto bad = blocks_of(report->damaged.ranges, kMi);
    for (std::uint64_t at = 0; at < kMi; at += kBlock) {
      const ByteView got = ByteView(sink.bytes).subspan(at, kBlock);
      const Bytes zeros(kBlock);
      ASSERT_TRUE(equal(got, bad[at / kBlock] ? ByteView(zeros) : ByteView(model).subspan(at, kBlock))) << lost << ": " << at;
    }
    if (report->damaged.bytes == 0) continue;
    damaged++;
    with_map += lost.starts_with("map/") ? 1 : 0;
    MemoryImage image(model);
    const auto compared = device::compare_view(system_env(), *reader, image, small_pieces());
    ASSERT_OK(compared);
    EXPECT_EQ(compared->different.bytes, 0u);
    EXPECT_EQ(compared->damaged.ranges, report->damaged.ranges);
    MemorySink strict;
    EXPECT_TRUE(is(device::export_view(system_env(), *reader, strict, OnDamage::stop, small_pieces()), Code::kCorrupt));
    EXPECT_LE(strict.bytes.size(), report->damaged.ranges[0].offset);
  }
  EXPECT_GT(damaged, 3u);
  EXPECT_GT(with_map, 0u);
}

TEST(TransferTest, StopEndsIt) {
  DiskWorld world(kMi);
  ASSERT_OK(world.open());
  ASSERT_OK(world.disk->write(0, Bytes(kMi, 3)));
  const auto generation = world.disk->sync();
  ASSERT_OK(generation);
  ASSERT_OK(world.close());
  Reading reading(world);
  const auto reader = reading.at(*generation);
  std::atomic<bool> stop = false;
  auto options = small_pieces();
  options.stop = &stop;
  options.progress = [&](const device::TransferProgress& p) { stop = p.done >= kMi / 2; };
  MemorySink sink;
  EXPECT_TRUE(is(device::export_view(system_env(), *reader, sink, OnDamage::stop, options), Code::kCancelled));
  EXPECT_LT(sink.bytes.size(), kMi);
}

TEST(InOrderTest, WorksSideBySideFinishesInOrderAndEndsWithTheFirstError) {
  for (const int bad : {-1, 0, 40}) {
    int made = 0;
    std::vector<int> finished;
    const device::InOrder<int> line = {[&]() -> Result<std::optional<int>> { return made < 100 ? std::optional(made++) : std::nullopt; },
                                       [&](int& n) -> Result<> { return n == bad ? Result<>(fail(Code::kIo, "bad")) : Result<>(); },
                                       [&](int& n) -> Result<> {
                                         finished.push_back(n);
                                         return {};
                                       }};
    const auto done = device::in_order(thread_executor(), 7, line);
    EXPECT_EQ(done.has_value(), bad < 0);
    EXPECT_LE(finished.size(), bad < 0 ? 100u : static_cast<std::size_t>(bad));
    EXPECT_TRUE(bad >= 0 || finished.size() == 100u);
    EXPECT_TRUE(std::ranges::is_sorted(finished));
    for (std::size_t i = 0; i < finished.size(); ++i) EXPECT_EQ(finished[i], static_cast<int>(i));
  }
}

}  // namespace
}  // namespace s3crate
