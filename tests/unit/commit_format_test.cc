// SPDX-License-Identifier: GPL-3.0-or-later
// Commits: round trips of every kind, damage, signatures, what must fit together, golden bytes,
// size.
#include <gtest/gtest.h>

#include "tests/support/commit_gen.h"
#include "volume/codec.h"
#include "volume/commit.h"
#include "volume/wire_format.h"

namespace s3crate::volume {
namespace {

using segment::ObjectKind;
using test::Gen;

constexpr std::uint32_t kBlock = 4096;
using test::kOwn;
using test::random_body;
using test::random_info;
using test::random_keys;

struct World {
  explicit World(std::uint64_t seed)
      : gen(seed),
        key(crypto::Secret(gen.random)),
        signer(crypto::Secret(gen.random)),
        vid(gen.array<32>()) {}
  Commit commit(CommitKind kind, std::size_t size) {
    Commit c;
    c.header = {.vid = vid,
                .generation = kOwn,
                .parent = gen.array<32>(),
                .keys_generation = Generation(1 + gen.below(999)),
                .ring = gen.u32(),
                .writer = kind == CommitKind::keys ? kAdminWriter : gen.u32()};
    c.body = random_body(gen, kind, size);
    if (kind == CommitKind::keys) c.keys = random_keys(gen, size);
    if (kind == CommitKind::data && gen.coin()) add_inline(c, 1 + gen.below(3000));
    return c;
  }
  void add_inline(Commit& c, std::size_t bytes) {
    c.inline_extents = gen.bytes(bytes);
    ObjectInfo info =
        random_info(gen, {64, ObjectId::of(ObjectId::kEpochMax, ObjectId::kCounterMax)},
                    ObjectKind::inline_extents, kOwn);
    info.born = kOwn;
    info.length = bytes;
    c.body.objects.push_back(info);
  }
  Result<Commit> open(ByteView object) const { return open(object, signer.verify_key()); }
  Result<Commit> open(ByteView object, const crypto::VerifyKey& verify_key) const {
    auto parsed = TRY(parse_commit(Bytes(object.begin(), object.end()), vid, kOwn));
    TRY(verify_commit(parsed, verify_key));
    return open_commit(parsed, key.opening_key(), kBlock);
  }
  Gen gen;
  crypto::SealingKey key;
  crypto::Signer signer;
  Vid vid;
};

TEST(CommitFormat, EveryKindSurvivesARoundTrip) {
  SEEDED_TEST(seed);
  World world(seed);
  for (int round = 0; round < 10; ++round) {
    for (std::uint8_t kind = 1; kind <= 17; ++kind) {
      Commit commit = world.commit(CommitKind{kind}, world.gen.below(30));
      const auto sealed = seal_commit(commit, world.key, world.signer, world.gen.random);
      ASSERT_TRUE(sealed) << sealed.error().message();
      EXPECT_EQ(commit.hash, crypto::blake2b(*sealed));
      const auto opened = world.open(*sealed);
      ASSERT_TRUE(opened) << opened.error().message();
      EXPECT_EQ(opened->header, commit.header);
      EXPECT_EQ(opened->keys, commit.keys);
      EXPECT_EQ(opened->body, commit.body);
      EXPECT_EQ(opened->inline_extents, commit.inline_extents);
      EXPECT_EQ(opened->hash, commit.hash);
    }
  }
}

TEST(CommitFormat, EveryDamageIsRefused) {
  SEEDED_TEST(seed);
  World world(seed);
  for (CommitKind kind : {CommitKind::data, CommitKind::keys}) {
    Commit commit = world.commit(kind, 2);
    const Bytes sealed = seal_commit(commit, world.key, world.signer, world.gen.random).value();
    check_refused(world.gen, sealed, [&](ByteView b) { return world.open(b); });
  }
}

TEST(CommitFormat, DamagedPlainBodyIsRefusedOrValid) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (CommitKind kind :
       {CommitKind::data, CommitKind::checkpoint, CommitKind::close, CommitKind::tag}) {
    check_damage(
        gen, encode_body(random_body(gen, kind, 4)),
        [](ByteView b) { return decode_body(b, kBlock); }, encode_body);
  }
  check_garbage(gen, 2000, [](ByteView b) { return decode_body(b, kBlock); });
}

TEST(CommitFormat, DamagedKeysPartIsRefusedOrValid) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  check_damage(gen, encode_keys_part(random_keys(gen, 3)), decode_keys_part, encode_keys_part);
  check_garbage(gen, 2000, decode_keys_part);
}

TEST(CommitFormat, CountsFarTooLargeAreRefusedBeforeAllocating) {
  Gen gen(1);
  const auto attack = [&](const Bytes& empty, std::size_t first, const auto& decode) {
    for (std::size_t at = first; at < empty.size(); ++at) {
      for (std::uint64_t count :
           {std::uint64_t{1} << 20, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
        Bytes bytes(empty.begin(), empty.begin() + static_cast<std::ptrdiff_t>(at));
        append(bytes, test::varint_bytes(count));
        append(bytes, gen.bytes(200));
        EXPECT_FALSE(decode(bytes)) << at;
      }
    }
  };
  const Bytes body = encode_body({});
  ASSERT_EQ(body.size(), sizeof(wire::BodyHead) + 14);
  attack(body, sizeof(wire::BodyHead), [](ByteView b) { return decode_body(b, kBlock); });
  const Bytes keys = encode_keys_part({});
  ASSERT_EQ(keys.size(), sizeof(wire::KeysHead) + 6);
  attack(keys, sizeof(wire::KeysHead), decode_keys_part);
}

TEST(CommitFormat, CommitOfAnotherVolumeOrGenerationIsRefused) {
  World world(2);
  Commit commit = world.commit(CommitKind::data, 3);
  const Bytes sealed = seal_commit(commit, world.key, world.signer, world.gen.random).value();
  EXPECT_TRUE(parse_commit(sealed, world.vid, kOwn));
  EXPECT_TRUE(is(parse_commit(sealed, world.gen.array<32>(), kOwn), Code::kCorrupt));
  EXPECT_TRUE(is(parse_commit(sealed, world.vid, kOwn.next()), Code::kCorrupt));
}

TEST(CommitFormat, NewerVersionIsUnsupported) {
  World world(2);
  Commit commit = world.commit(CommitKind::data, 3);
  Bytes sealed = seal_commit(commit, world.key, world.signer, world.gen.random).value();
  sealed[8] = 2;
  EXPECT_TRUE(is(parse_commit(sealed, world.vid, kOwn), Code::kUnsupported));
}

TEST(CommitFormat, CriticalExtensionOfABodyIsUnsupported) {
  World world(2);
  Commit commit = world.commit(CommitKind::stores, 0);
  commit.body.extensions = {{3, true, {1}}};
  const Bytes sealed = seal_commit(commit, world.key, world.signer, world.gen.random).value();
  EXPECT_TRUE(is(world.open(sealed), Code::kUnsupported));
}

TEST(CommitFormat, SignatureOfAnotherKeyIsRefused) {
  World world(2);
  Commit commit = world.commit(CommitKind::data, 3);
  const Bytes sealed = seal_commit(commit, world.key, world.signer, world.gen.random).value();
  const crypto::Signer stranger{crypto::Secret(world.gen.random)};
  EXPECT_TRUE(is(world.open(sealed, stranger.verify_key()), Code::kCorrupt));
}

TEST(CommitFormat, BodyOpensOnlyUnderItsHeaderAndPlainPart) {
  World world(2);
  Commit commit = world.commit(CommitKind::keys, 2);
  Bytes sealed = seal_commit(commit, world.key, world.signer, world.gen.random).value();
  const auto open = [&](const Bytes& object) -> Result<Commit> {
    const auto parsed = TRY(parse_commit(object, world.vid, kOwn));
    return open_commit(parsed, world.key.opening_key(), kBlock);
  };
  ASSERT_TRUE(open(sealed));
  Bytes changed = sealed;
  changed[sizeof(wire::CommitHead)] ^= 1;  // next admin key
  EXPECT_FALSE(open(changed));
  changed = sealed;
  changed[96] ^= 1;  // ring
  EXPECT_FALSE(open(changed));
}

TEST(CommitFormat, WhatDoesNotFitTogetherIsNotSealed) {
  World world(4);
  const auto refused = [&](Commit commit) {
    return is(seal_commit(commit, world.key, world.signer, world.gen.random), Code::kBadArgument);
  };
  Commit commit = world.commit(CommitKind::tag, 0);
  EXPECT_FALSE(refused(commit));
  commit.body.runs = {
      segment::Run{.block = BlockIndex(1), .count = 1, .hole = true, .first = 0, .extent = {}}};
  EXPECT_TRUE(refused(commit)) << "a guest with changes";

  commit = world.commit(CommitKind::data, 1);
  commit.keys = random_keys(world.gen, 1);
  EXPECT_TRUE(refused(commit)) << "a data commit with keys";
  commit = world.commit(CommitKind::keys, 1);
  commit.keys.reset();
  EXPECT_TRUE(refused(commit)) << "a keys commit without";
  commit = world.commit(CommitKind::keys, 1);
  commit.header.writer = 0;
  EXPECT_TRUE(refused(commit)) << "keys not by the admin";
  commit = world.commit(CommitKind::data, 0);
  commit.body.pending = PendingClose{1, Seq(1)};
  EXPECT_TRUE(refused(commit)) << "pending in a data commit";
  commit = world.commit(CommitKind::data, 0);
  commit.inline_extents = Bytes(10);
  commit.body.objects.clear();
  EXPECT_TRUE(refused(commit)) << "inline extents of no object";
  world.add_inline(commit, 10);
  commit.inline_extents.pop_back();
  EXPECT_TRUE(refused(commit)) << "inline extents of the wrong length";
  commit = world.commit(CommitKind::data, 0);
  commit.body.delta_base = {kOwn, {}};
  EXPECT_TRUE(refused(commit)) << "a delta base that is not below";
  commit = world.commit(CommitKind::data, 0);
  commit.body.tags = {{"x", kOwn.next()}};
  EXPECT_TRUE(refused(commit)) << "a tag of the future";
  commit = world.commit(CommitKind::data, 0);
  commit.body.voids = {kOwn};
  EXPECT_TRUE(refused(commit)) << "a commit that voids itself";
  commit = world.commit(CommitKind::checkpoint, 0);
  commit.body.roots[0].page.hash[0] ^= 1;
  EXPECT_TRUE(refused(commit)) << "roots of another hash";
  commit = world.commit(CommitKind::data, 0);
  commit.header.parent = {};
  EXPECT_TRUE(refused(commit)) << "no parent";
  commit = world.commit(CommitKind::data, 0);
  commit.header.keys_generation = kOwn;
  EXPECT_TRUE(refused(commit)) << "keys of the future";
}

TEST(CommitFormat, TooLargeACommitIsNotSealed) {
  World world(4);
  Commit commit = world.commit(CommitKind::data, 0);
  commit.body.objects.clear();
  world.add_inline(commit, kInlineBytesMax + 1);
  commit.body.objects.clear();
  EXPECT_FALSE(seal_commit(commit, world.key, world.signer, world.gen.random));
  commit = world.commit(CommitKind::data, 0);
  commit.inline_extents.clear();
  commit.body.objects.clear();
  commit.body.disk_bytes = segment::kDiskBytesMax;
  commit.body.runs = world.gen.runs(700'000, segment::kDiskBlocksMax, false);
  EXPECT_TRUE(is(seal_commit(commit, world.key, world.signer, world.gen.random), Code::kNoSpace));
  // More objects than a reader takes, though they would fit.
  commit.body.runs.clear();
  segment::ObjectInfo info;
  info.kind = segment::ObjectKind::map;
  for (std::uint64_t i = 1; i <= (1 << 16) + 1; ++i) {
    info.key.id = {i};
    info.born = commit.header.generation;
    commit.body.objects.push_back(info);
  }
  EXPECT_TRUE(is(seal_commit(commit, world.key, world.signer, world.gen.random), Code::kNoSpace));
}

TEST(CommitFormat, TagNamesThatAreNoFileNamesAreRefused) {
  for (const char* bad : {"", ".", "..", "a/b", "a\nb", "\x7f"}) {
    CommitBody body;
    body.tags = {{"x", Generation(1)}};
    Bytes bytes = encode_body(body);
    // host, roots, objects, run objects, runs, voids, abandoned: then the count of tags and the
    // name.
    const std::size_t at = sizeof(wire::BodyHead) + 7;
    ASSERT_EQ(bytes[at], 1);
    ASSERT_EQ(bytes[at + 2], 'x');
    bytes.erase(bytes.begin() + at + 1, bytes.begin() + at + 3);
    const std::string name = bad;
    bytes.insert(bytes.begin() + at + 1, name.begin(), name.end());
    bytes.insert(bytes.begin() + at + 1, static_cast<std::uint8_t>(name.size()));
    EXPECT_FALSE(decode_body(bytes, kBlock)) << bad;
  }
}

TEST(CommitFormat, RunsOutsideOfTheDiskAreRefusedHolesAreNot) {
  CommitBody body;
  body.disk_bytes = 100 * kBlock;
  Gen gen(1);
  body.runs = {segment::Run{
      .block = BlockIndex(99), .count = 1, .hole = false, .first = 0, .extent = gen.extent_ref()}};
  EXPECT_TRUE(decode_body(encode_body(body), kBlock));
  Bytes bytes = encode_body(body);
  bytes[72 + 1] = 0;  // the disk is empty
  bytes[72 + 2] = 0;
  EXPECT_FALSE(decode_body(bytes, kBlock));
  body.runs = {segment::Run{
      .block = BlockIndex(100), .count = 1000, .hole = true, .first = 0, .extent = {}}};
  EXPECT_TRUE(decode_body(encode_body(body), kBlock));
}

TEST(CommitFormat, HeaderHasItsGoldenBytes) {
  World world(9);
  Commit commit;
  commit.header = {.vid = world.vid,
                   .generation = kOwn,
                   .parent = {},
                   .keys_generation = Generation(2),
                   .ring = 3,
                   .writer = 4};
  commit.header.parent.fill(0xcc);
  world.add_inline(commit, 0x123);
  commit.body.kind = CommitKind::data;
  const Bytes sealed = seal_commit(commit, world.key, world.signer, world.gen.random).value();
  const std::size_t body = sealed.size() - 120 - 0x123 - 64;
  ASSERT_LT(body, 0x10000u);
  EXPECT_EQ(to_hex(ByteView(sealed).first(120)),
            "533343422d434f4d0100000000000000" + to_hex(world.vid) + "e803000000000000" +
                to_hex(commit.header.parent) + "02000000000000000300000004000000" +
                "0000000023010000" + fmt::format("{:02x}{:02x}0000", body & 255, body >> 8) +
                "00000000");
  EXPECT_TRUE(
      equal(ByteView(sealed).subspan(commit_inline_offset(), 0x123), commit.inline_extents));
}

TEST(CommitFormat, RandomBlocksCostAboutFortyBytesEach) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  CommitBody body;
  body.disk_bytes = std::uint64_t{1} << 40;
  std::vector<std::uint64_t> blocks =
      gen.ascending<std::uint64_t>(2000, [&] { return gen.below(1 << 28); });
  std::vector<std::uint32_t> place(blocks.size());
  for (std::uint32_t i = 0; i < place.size(); ++i) place[i] = i;
  for (std::size_t i = place.size() - 1; i > 0; --i) std::swap(place[i], place[gen.below(i + 1)]);
  std::size_t in_pages = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    segment::Run run{
        .block = BlockIndex(blocks[i]), .count = 1, .hole = false, .first = 0, .extent = {}};
    run.extent = {
        {0, ObjectId::of(7, 50'000)}, place[i], 72 + place[i] * 4144, 4144, gen.array<16>()};
    body.runs.push_back(run);
    in_pages += encode_run(run).value.size();
  }
  EXPECT_LE(encode_body(body).size() / blocks.size(), 32u);
  EXPECT_LE(in_pages / blocks.size(), 32u);
}

TEST(CommitFormat, HintOfTheBasesReadsBack) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (std::size_t size : {0, 1, 45, 256, 400}) {
    CommitBody body = random_body(gen, CommitKind::tag, 0);
    body.extensions = {{4, false, {1}}, {5, false, {9}}, {6, false, {2}}};
    body.delta_base.generation = Generation(1'000'000);
    std::vector<Generation> bases;
    Generation at = body.delta_base.generation;
    for (std::size_t i = 0; i < size; ++i)
      bases.push_back(at = Generation(at.value - 1 - gen.below(2000)));
    put_bases_hint(body, bases);
    EXPECT_EQ(body.extensions.size(), size == 0 ? 2u : 3u);
    bases.resize(std::min(size, kBasesHintMax));
    EXPECT_EQ(bases_hint(body), bases);
    const auto decoded = decode_body(encode_body(body), segment::kBlockSizeMin);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(bases_hint(*decoded), bases);
    body.delta_base.generation = Generation(3);  // of another base: no more than makes sense
    for (Generation base : bases_hint(body)) EXPECT_LT(base, Generation(3));
  }
}

TEST(CommitKinds, CapabilitiesAreThoseOfThePage) {
  for (std::uint8_t kind = 1; kind <= 17; ++kind) {
    const CommitKind k{kind};
    int signers = 0;
    for (std::uint32_t capability : {kAppend, kChange, kMaintain})
      signers += may_sign(capability, k) ? 1 : 0;
    const bool admin_only =
        k == CommitKind::keys || k == CommitKind::stores || k == CommitKind::config;
    EXPECT_EQ(signers, admin_only ? 0 : 1) << kind_name(k);
    EXPECT_FALSE(may_sign(0, k));
    EXPECT_NE(kind_name(k), "unknown");
  }
  EXPECT_FALSE(is_guest(CommitKind::open));
  EXPECT_FALSE(is_guest(CommitKind::checkpoint));
  EXPECT_TRUE(is_guest(CommitKind::keys));
  EXPECT_TRUE(is_guest(CommitKind::hold));
}

}  // namespace
}  // namespace s3crate::volume
