// SPDX-License-Identifier: GPL-3.0-or-later
// Good and bad names of objects.
#include "segment/object_names.h"

#include <gtest/gtest.h>

#include "tests/support/format_gen.h"

namespace s3crate::segment {
namespace {

const Uuid kId = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                  0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

TEST(ObjectNames, AreSpelledAsThePageSays) {
  EXPECT_EQ(commit_name(Generation(1)), "commits/fffffffffffffffe");
  EXPECT_EQ(commit_name(Generation(0x1234)), "commits/ffffffffffffedcb");
  EXPECT_EQ(keys_copy_name(Generation(1)), "keys/cfffffffffffffffe");
  EXPECT_EQ(slot_name(kId), "keys/00112233445566778899aabbccddeeff");
  EXPECT_EQ(object_name(ObjectKind::segment, ObjectId::of(3, 42), kId),
            "segments/000003000000002a.00112233445566778899aabbccddeeff");
  EXPECT_EQ(object_name(ObjectKind::map, ObjectId::of(0xffffff, 1), kId),
            "map/ffffff0000000001.00112233445566778899aabbccddeeff");
}

TEST(ObjectNames, NewerCommitsComeFirst) {
  EXPECT_LT(commit_name(Generation(2)), commit_name(Generation(1)));
  EXPECT_LT(commit_name(Generation(256)), commit_name(Generation(255)));
  EXPECT_LT(commit_name(Generation(kNumberMax)), commit_name(Generation(kNumberMax - 1)));
}

TEST(ObjectNames, ParseToWhatTheyWereMadeOf) {
  SEEDED_TEST(seed);
  test::Gen gen(seed);
  for (int i = 0; i < 200; ++i) {
    const Generation generation(std::max<std::uint64_t>(1, gen.number()));
    EXPECT_EQ(parse_commit_name(commit_name(generation)), generation);
    EXPECT_EQ(parse_keys_copy_name(keys_copy_name(generation)), generation);
    const Uuid uuid = gen.array<16>();
    EXPECT_EQ(parse_slot_name(slot_name(uuid)), uuid);
    const ObjectKind kind = gen.coin() ? ObjectKind::segment : ObjectKind::map;
    const ObjectId id = gen.object_id();
    const auto parsed = parse_object_name(object_name(kind, id, uuid));
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->kind, kind);
    EXPECT_EQ(parsed->id, id);
    EXPECT_EQ(parsed->nonce, uuid);
  }
}

TEST(ObjectNames, BadOnesAreNobodys) {
  for (const char* bad : {
           "",
           "volume",
           "volume/",
           "commits",
           "commits/",
           "keys/",
           "keys/c",
           "segments/",
           "map/",
           "commits/fffffffffffffff",
           "commits/fffffffffffffffee",
           "commits/FFFFFFFFFFFFFFFE",
           "commits/ffffffffffffffff",  // generation 0
           "commits/0000000000000000",  // past the largest
           "commits/7fffffffffffffff",  // generation 2^63
           "commits/fffffffffffffff ",
           "commits/0xfffffffffffffe",
           "commit/fffffffffffffffe",
           "/commits/fffffffffffffffe",
           "commits//fffffffffffffffe",
           "keys/fffffffffffffffe",
           "keys/cffffffffffffffff",
           "keys/Cfffffffffffffffe",
           "keys/00112233445566778899aabbccddeef",
           "keys/00112233445566778899aabbccddeeff0",
           "keys/00112233445566778899AABBCCDDEEFF",
           "keys/00112233445566778899aabbccddeefg",
           "segments/000003000000002a",
           "segments/000003000000002a.",
           "segments/000003000000002a.00112233445566778899aabbccddeef",
           "segments/000003000000002a.00112233445566778899aabbccddeeff0",
           "segments/000003000000002a-00112233445566778899aabbccddeeff",
           "segments/000003000000002A.00112233445566778899aabbccddeeff",
           "segments/0000030000000000.00112233445566778899aabbccddeeff",  // counter 0
           "segments/3000000000002a.00112233445566778899aabbccddeeff",
           "maps/000003000000002a.00112233445566778899aabbccddeeff",
           "tmp/000003000000002a.00112233445566778899aabbccddeeff",
       }) {
    SCOPED_TRACE(bad);
    EXPECT_FALSE(parse_commit_name(bad));
    EXPECT_FALSE(parse_keys_copy_name(bad));
    EXPECT_FALSE(parse_slot_name(bad));
    EXPECT_FALSE(parse_object_name(bad));
  }
  EXPECT_FALSE(parse_commit_name(std::string_view("commits/fffffffffffffff\0", 24)));
}

}  // namespace
}  // namespace s3crate::segment
