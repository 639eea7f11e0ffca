// SPDX-License-Identifier: GPL-3.0-or-later
// Volumes are found wherever they are, at a price that does not grow with them.
#include "volume/find.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "segment/object_names.h"
#include "store/memory_store.h"
#include "tests/support/disk_world.h"

namespace s3crate::volume {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class FindTest : public ::testing::Test {
 protected:
  void put(const std::string& name) { ASSERT_TRUE(store_.put(name, as_bytes("x"))) << name; }
  // The names of a volume, with so many of each kind.
  void put_volume(const std::string& place, std::uint64_t objects) {
    const auto below = place.empty() ? place : place + "/";
    put(below + "volume");
    for (std::uint64_t i = 1; i <= objects; ++i) {
      put(below + segment::commit_name(Generation(i)));
      put(below + segment::keys_copy_name(Generation(i)));
      put(below +
          segment::object_name(segment::ObjectKind::segment, segment::ObjectId::of(1, i), {}));
      put(below + segment::object_name(segment::ObjectKind::map, segment::ObjectId::of(1, i), {}));
    }
  }
  FoundVolumes find(const FindOptions& options = {}) {
    auto found = find_volumes(store_, options);
    EXPECT_TRUE(found);
    return found ? *found : FoundVolumes{};
  }
  store::MemoryStore store_;
};

TEST_F(FindTest, NoneIsNoError) {
  EXPECT_THAT(find().places, IsEmpty());
  put("volumes");
  put("a/volume.txt");
  put("a/my-volume");
  EXPECT_THAT(find().places, IsEmpty());
  EXPECT_TRUE(find().complete);
}

TEST_F(FindTest, VolumesMayBeBesideAndWithinEachOther) {
  put_volume("", 3);
  put_volume("a", 3);
  put_volume("a/b/c", 3);
  put_volume("map", 3);
  put_volume("segments", 3);
  put_volume("zz", 3);
  for (std::size_t page : {1, 2, 3, 7, 1000}) {
    const auto found = find({.list_page = page});
    EXPECT_TRUE(found.complete);
    EXPECT_THAT(found.places,
                testing::UnorderedElementsAre("", "a", "a/b/c", "map", "segments", "zz"))
        << page;
  }
}

TEST_F(FindTest, ALargeVolumeCostsAFewRequests) {
  put_volume("a/large", 500);
  put_volume("b", 2);
  const auto found = find({.list_page = 10});
  EXPECT_THAT(found.places, ElementsAre("a/large", "b"));
  EXPECT_LE(found.lists, 8u);
  EXPECT_TRUE(found.complete);
}

TEST_F(FindTest, WhatLiesTooDeepIsPassedOver) {
  for (int i = 0; i < 300; ++i) put(fmt::format("1/2/3/{:04}", i));
  put("1/2/3/volume");
  put("1/2/volume");
  const auto found = find({.depth_max = 2, .list_page = 5});
  EXPECT_THAT(found.places, ElementsAre("1/2"));
  EXPECT_LE(found.lists, 3u);
}

TEST_F(FindTest, OtherObjectsAreGoneThroughUpToABound) {
  for (int i = 0; i < 100; ++i) put(fmt::format("photos/{:04}", i));
  put("volume");
  EXPECT_THAT(find({.lists_max = 11, .list_page = 10}).places, ElementsAre(""));
  const auto cut = find({.lists_max = 9, .list_page = 10});
  EXPECT_FALSE(cut.complete);
  EXPECT_EQ(cut.lists, 9u);
  EXPECT_THAT(cut.places, IsEmpty());
}

TEST_F(FindTest, NoMoreThanSoManyVolumes) {
  for (const char* place : {"a", "b", "c"}) put_volume(place, 1);
  const auto found = find({.volumes_max = 2});
  EXPECT_THAT(found.places, ElementsAre("a", "b"));
  EXPECT_FALSE(found.complete);
}

TEST_F(FindTest, FormatTakesNoNoticeOfTheProofs) {
  const auto name = std::string(segment::kProofName);
  put(name);
  put(std::string(segment::kChecksumProofName));
  put(std::string(segment::kCrc32cProofName));
  test::DiskWorld world(4 << 20, &store_);  // CHECKs that a volume can be made
  EXPECT_THAT(find().places, ElementsAre(""));
  store::MemoryStore taken;
  ASSERT_TRUE(taken.put(name, as_bytes("x")));
  ASSERT_TRUE(taken.put(std::string(segment::kChecksumProofName), as_bytes("x")));
  ASSERT_TRUE(taken.put("other", as_bytes("x")));
  CreateOptions options;
  options.disk_bytes = 1 << 20;
  SlotRequest slot;
  slot.key_file = crypto::Secret(system_random());
  const auto made = create(system_env(), taken, options, {&slot, 1});
  EXPECT_TRUE(is(made, Code::kExists));
  EXPECT_THAT(made.error().message(), testing::HasSubstr("it holds other"));
}

}  // namespace
}  // namespace s3crate::volume
