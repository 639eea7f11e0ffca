// SPDX-License-Identifier: GPL-3.0-or-later
// Objects that are not what was stored: every byte flipped, cut off anywhere, deleted, in each
// other's places, replaced by what is older or by another volume's. Each read of the newest disk
// and of older ones is right or fails, exactly as the plain model says; a check names the objects
// and the blocks; and nothing is shown as the newest that is not.
//
// Many bytes are flipped in one trial, one in each object of a kind: what fails and what is named
// must be exactly their sum. What a volume does not open without is changed alone.
//
// In builds with sanitizers with larger strides. S3CRATE_TAMPER=all: every byte, every length,
// every pair, and every generation each time.
#include <cstdlib>

#include "tests/support/seed.h"
#include "tests/support/tamper_trial.h"

namespace s3crate::test {
namespace {

#if defined(__SANITIZE_ADDRESS__)
#define S3CRATE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define S3CRATE_SANITIZED 1
#endif
#endif

struct Strides {
  std::size_t plain = 1, sealed = 16, pair = 3;
  bool all = false;
};
const Strides& strides() {
  static const Strides strides = [] {
    const char* all = std::getenv("S3CRATE_TAMPER");
    if (all != nullptr && std::string_view(all) == "all") return Strides{1, 1, 1, true};
#ifdef S3CRATE_SANITIZED
    return Strides{8, 128, 24, false};
#endif
    return Strides{};
  }();
  return strides;
}

// Sealed, at the end of a slot.
constexpr std::size_t kSlotSecretBytes = 136 + crypto::kSealOverhead;

class TamperTest : public TamperTrial {
 protected:
  void flip(const std::string& name, std::size_t at) {
    Bytes bytes = *now_.at(name);
    bytes.at(at) ^= static_cast<std::uint8_t>(1u << at % 8);
    change(name, std::move(bytes));
  }
  [[nodiscard]] bool opens_with(const std::string& name) const {
    Shelf without = world_.shelf();
    without.erase(name);
    return !world_.model(world_.newest(), without);
  }
  // Bytes of an object that are flipped one after the other.
  struct Lane {
    std::string name;
    std::vector<std::size_t> positions;
  };
  // Lanes whose bytes can be flipped together without hiding each other: extents; what else is in
  // segments, and commits, keys; pages.
  [[nodiscard]] std::vector<std::vector<Lane>> groups() const {
    std::vector<Lane> extents, maps, rest;
    for (const std::string& name : names()) {
      if (opens_with(name)) continue;
      auto outside = positions(name);
      for (const Span& span : world_.spans_of(name)) {
        if (kind_of(name) != segment::kSegmentsPrefix || !world_.holds_blocks(span)) continue;
        extents.push_back({name, {}});
        for (std::size_t at = span.from; at < span.to; at += strides().sealed)
          extents.back().positions.push_back(at);
        std::erase_if(outside, [&](std::size_t at) { return at >= span.from && at < span.to; });
      }
      (kind_of(name) == segment::kMapPrefix ? maps : rest).push_back({name, std::move(outside)});
    }
    return {std::move(extents), std::move(maps), std::move(rest)};
  }
  // Which bytes of it are flipped.
  [[nodiscard]] std::vector<std::size_t> positions(const std::string& name) const {
    const std::size_t size = stored(name).size();
    std::set<std::size_t> out;
    for (const auto& [from, to] : plain_parts(name))
      for (std::size_t at = from; at < to; at += strides().plain) out.insert(at);
    for (std::size_t at = 0; at < size; at += strides().sealed) out.insert(at);
    return {out.begin(), out.end()};
  }
  // Where headers, footers, plain parts and signatures are.
  [[nodiscard]] std::vector<std::pair<std::size_t, std::size_t>> plain_parts(
      const std::string& name) const {
    const Bytes& bytes = stored(name);
    const std::size_t size = bytes.size();
    if (name == segment::kVolumeName) return {{0, size}};
    if (segment::parse_slot_name(name)) return {{0, size - kSlotSecretBytes}};
    auto number = segment::parse_commit_name(name);
    if (!number) number = segment::parse_keys_copy_name(name);
    if (number) {
      const auto parsed = volume::parse_commit(bytes, world_.disk_world().vid, *number);
      return {{0, volume::commit_inline_offset() + parsed->plain.size()},
              {size - sizeof(crypto::Signature), size}};
    }
    if (kind_of(name) == segment::kSegmentsPrefix)
      return {{0, segment::segment_header_size()}, {size - segment::segment_footer_size(), size}};
    std::vector<std::pair<std::size_t, std::size_t>> out = {{0, volume::map_object_header_size()}};
    for (const Span& page : world_.spans_of(name))
      if (!page.whole) out.emplace_back(page.from, page.from + 4);  // its ring
    return out;
  }
  // To which it is cut off, or made longer.
  [[nodiscard]] std::vector<std::size_t> lengths(const std::string& name) const {
    const std::size_t size = stored(name).size();
    std::set<std::size_t> out = {0, size / 2, size - 1, size + 1, size + 100};
    const auto add = [&](std::size_t boundary) {
      for (const std::size_t length : {boundary - 1, boundary, boundary + 1})
        if (length < size) out.insert(length);
    };
    for (const auto& [from, to] : plain_parts(name)) add(from), add(to);
    for (const Span& span : world_.spans_of(name)) add(span.from), add(span.to);
    for (std::size_t length = 0; strides().all && length < size; ++length) out.insert(length);
    return {out.begin(), out.end()};
  }

  // On a machine that knows the newest generation.
  bool mounts_for_writing() {
    constexpr std::uint64_t kAt = 2 * TamperWorld::kBlock;
    const auto model = world_.model(world_.newest(), now_);
    store::MemoryStore store;
    put_all(now_, store);
    TempDir dir;
    device::DiskOptions options = world_.disk_world().options;
    options.state_dir = dir / "state";
    remember(options.state_dir, world_.seen());
    auto volume = volume::Volume::open(system_env(), store, world_.disk_world().keys(), {});
    if (!volume) return false;
    auto disk = device::Disk::open(system_env(), io::posix_file_io(), **volume, options);
    if (!disk) {
      EXPECT_TRUE(is(disk, Code::kCorrupt) || is(disk, Code::kExists)) << disk.error().message();
      return false;
    }
    EXPECT_TRUE(model);
    Bytes content = world_.content(world_.newest());
    const Bytes fresh(TamperWorld::kBlock, 7);
    std::memcpy(content.data() + kAt, fresh.data(), fresh.size());
    EXPECT_TRUE((*disk)->write(kAt, fresh));
    EXPECT_TRUE((*disk)->sync());
    Bytes block(TamperWorld::kBlock);
    for (std::uint64_t at = 0; model && at < content.size(); at += block.size()) {
      const auto read = (*disk)->read(at, block);
      EXPECT_EQ(!read, at != kAt && (*model)[at / block.size()]) << at;
      if (read) {
        EXPECT_TRUE(equal(block, ByteView(content).subspan(at, block.size()))) << at;
      }
    }
    EXPECT_TRUE((*disk)->close(std::chrono::minutes(1)));
    return true;
  }
};

TEST_F(TamperTest, SoundVolumeHoldsEveryKindOfObject) {
  expect_right_or_told();
  std::map<std::string, std::size_t> count;
  std::set<volume::CommitKind> kinds;
  std::size_t bytes = 0, inlined = 0;
  ShelfStore store(world_.shelf());
  auto volume = volume::Volume::open(world_.env(), store, world_.disk_world().keys(), {});
  ASSERT_TRUE(volume);
  for (const auto& [name, object] : world_.shelf()) {
    bytes += object->size();
    count[kind_of(name)]++;
    const auto g = segment::parse_commit_name(name);
    if (!g) continue;
    const auto commit = (*volume)->load_commit(*g);
    ASSERT_TRUE(commit);
    kinds.insert(commit->body.kind);
    inlined += commit->inline_extents.empty() ? 0 : 1;
  }
  using enum volume::CommitKind;
  EXPECT_EQ(kinds, (std::set{keys, open, data, checkpoint, tag, resize, close}));
  EXPECT_EQ(count["keys/"], 6u);  // four slots, two copies
  EXPECT_EQ(count["segments/"], 6u);
  EXPECT_EQ(inlined, 2u) << "commits with extents";  // what was flushed, and a block that is lost
  EXPECT_GE(count["map/"], 2u);
  EXPECT_LE(bytes, 96u << 10);
  EXPECT_GE(bytes, 48u << 10);
}

TEST_F(TamperTest, EachObjectIsMissedWhenItIsDeleted) {
  for (const std::string& name : names()) {
    SCOPED_TRACE(name);
    change(name, std::nullopt);
    expect_right_or_told();
    restore();
  }
}

TEST_F(TamperTest, FlippedByteOfWhatTheVolumeOpensWithIsNoticed) {
  for (const std::string& name : names()) {
    if (!opens_with(name)) continue;
    for (const std::size_t at : positions(name)) {
      SCOPED_TRACE(fmt::format("byte {} of {}", at, name));
      flip(name, at);
      expect_right_or_told();
      restore();
    }
  }
}

TEST_F(TamperTest, FlippedBytesElsewhereAreNoticed) {
  for (const std::vector<Lane>& group : groups()) {
    for (std::size_t i = 0;; ++i) {
      std::string what;
      for (const Lane& lane : group) {
        if (i >= lane.positions.size()) continue;
        flip(lane.name, lane.positions[i]);
        what += fmt::format("byte {} of {}\n", lane.positions[i], lane.name);
      }
      if (what.empty()) break;
      SCOPED_TRACE(what);
      expect_right_or_told();
      restore();
    }
  }
}

TEST_F(TamperTest, ObjectOfAnotherLengthIsNoticed) {
  for (const std::string& name : names()) {
    const Bytes& whole = stored(name);
    for (const std::size_t length : lengths(name)) {
      SCOPED_TRACE(fmt::format("{} of {} bytes of {}", length, whole.size(), name));
      Bytes bytes(whole.begin(),
                  whole.begin() + static_cast<std::ptrdiff_t>(std::min(length, whole.size())));
      bytes.resize(length, 1);
      change(name, std::move(bytes));
      expect_right_or_told();
      restore();
    }
  }
}

TEST_F(TamperTest, ObjectsThatChangedPlacesAreNoticed) {
  const auto all = names();
  std::size_t pair = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = i + 1; j < all.size(); ++j) {
      if (pair++ % strides().pair != 0 && kind_of(all[i]) != kind_of(all[j])) continue;
      SCOPED_TRACE(fmt::format("{} and {}", all[i], all[j]));
      change(all[i], stored(all[j]));
      change(all[j], stored(all[i]));
      expect_right_or_told();
      restore();
    }
  }
}

TEST_F(TamperTest, ObjectUnderTheNameOfItsSiblingIsNoticed) {
  const auto all = names();
  for (const std::string& name : all) {
    for (const std::string& older : all) {
      if (name == older || kind_of(name) != kind_of(older)) continue;
      SCOPED_TRACE(fmt::format("{} holds {}", name, older));
      change(name, stored(older));
      expect_right_or_told();
      restore();
    }
  }
}

TEST_F(TamperTest, ManyChangesAtOnceAreNoticed) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  const auto all = names();
  for (int round = 0; round < 60; ++round) {
    for (std::size_t n = 2 + random() % 5; n > 0; --n) {
      const std::string& name = all[random() % all.size()];
      if (opens_with(name)) continue;
      Bytes bytes = stored(name);
      switch (random() % 3) {
        case 0:
          change(name, std::nullopt);
          break;
        case 1:
          bytes.resize(random() % bytes.size()), change(name, bytes);
          break;
        default:
          for (int i = 0; i < 3; ++i) bytes[random() % bytes.size()] ^= 0x10;
          change(name, bytes);
      }
    }
    const auto seen = world_.look(now_, TamperWorld::Trust::seen);
    EXPECT_EQ(seen.wrong, "");
    EXPECT_EQ(seen.blocks, world_.model(world_.newest(), now_));
    ASSERT_TRUE(seen.report && seen.blocks);
    EXPECT_EQ(seen.report->damaged_ranges(), ranges_of(*seen.blocks));
    restore();
  }
}

// A writer is let in or refused; he neither hangs nor falls, nor is shown wrong bytes, and what he
// writes is there.
TEST_F(TamperTest, ChangedVolumeIsMountedForWritingOrRefused) {
  std::size_t mounted = 0;
  for (const bool deleted : {false, true}) {
    for (const std::string& name : names()) {
      SCOPED_TRACE(fmt::format("{} is {}", name, deleted ? "deleted" : "flipped"));
      if (deleted) {
        change(name, std::nullopt);
      } else {
        flip(name, stored(name).size() / 2);
      }
      mounted += mounts_for_writing() ? 1 : 0;
      restore();
    }
  }
  EXPECT_GT(mounted, world_.shelf().size());
}

}  // namespace
}  // namespace s3crate::test
