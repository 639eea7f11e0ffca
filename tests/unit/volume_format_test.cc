// SPDX-License-Identifier: GPL-3.0-or-later
// The volume object, key slots and grants: round trips, damage, wrong keys, golden bytes.
#include <gtest/gtest.h>

#include "tests/support/format_gen.h"
#include "volume/codec.h"
#include "volume/volume_object.h"
#include "volume/wire_format.h"

namespace s3crate::volume {
namespace {

using test::Gen;

VolumeObject random_volume(Gen& gen, const crypto::Signer& admin) {
  VolumeObject v;
  v.features.compatible = gen.up_to(~std::uint64_t{0});
  v.features.read_only_compatible = gen.up_to(~std::uint64_t{0});
  v.uuid = gen.array<16>();
  v.created = to_time(gen.number());
  v.log2_block = static_cast<std::uint8_t>(12 + gen.below(5));
  v.extent_bytes =
      v.block_size() * static_cast<std::uint32_t>(1 + gen.below(65536 / v.block_size()));
  v.segment_bytes = static_cast<std::uint32_t>(65536 + gen.below((64 << 20) - 65536 + 1));
  v.salt = gen.array<16>();
  v.admin = admin.verify_key();
  v.single_writer = gen.coin();
  for (std::uint64_t n = gen.below(4); n > 0; --n)
    v.origins.push_back({gen.array<32>(), gen.text(2048)});
  v.extensions = gen.extensions();
  return v;
}

TEST(VolumeFormat, VolumeObjectSurvivesARoundTrip) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const crypto::Signer admin{crypto::Secret(gen.random)};
  for (int i = 0; i < 30; ++i) {
    const VolumeObject v = random_volume(gen, admin);
    const auto decoded = decode_volume(encode_volume(v, admin));
    ASSERT_TRUE(decoded) << decoded.error().message();
    ASSERT_EQ(*decoded, v);
  }
}

TEST(VolumeFormat, LargestVolumeObjectFits) {
  Gen gen(1);
  const crypto::Signer admin{crypto::Secret(gen.random)};
  VolumeObject v = random_volume(gen, admin);
  v.origins.assign(kOriginsMax, {gen.array<32>(), std::string(kUrlMax, 'x')});
  EXPECT_EQ(decode_volume(encode_volume(v, admin)).value(), v);
}

TEST(VolumeFormat, DamagedVolumeObjectIsRefused) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const crypto::Signer admin{crypto::Secret(gen.random)};
  VolumeObject v = random_volume(gen, admin);
  v.origins = {{gen.array<32>(), "file:///srv/disk"}};
  check_refused(gen, encode_volume(v, admin), decode_volume);
}

// What is signed may still be nonsense.
TEST(VolumeFormat, SignedNonsenseIsRefusedOrValid) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const crypto::Signer admin{crypto::Secret(gen.random)};
  VolumeObject v = random_volume(gen, admin);
  v.origins = {{gen.array<32>(), "file:///srv/disk"}};
  const Bytes good = encode_volume(v, admin);
  for (std::size_t n = 0; n < good.size() - 64; ++n) {
    if (n >= 88 && n < 120) continue;  // the admin key itself
    Bytes changed(good.begin(), good.end() - 64);
    changed[n] ^= static_cast<std::uint8_t>(1 + gen.below(255));
    const ByteView signed_part = changed;
    const crypto::Signature signature = admin.sign("volume", {&signed_part, 1});
    append(changed, signature);
    const auto decoded = decode_volume(changed);
    if (!decoded) continue;
    ASSERT_EQ(encode_volume(*decoded, admin), changed) << "nobody looks at byte " << n;
  }
}

TEST(VolumeFormat, UnknownFeaturesDecideAsTheirWordSays) {
  Gen gen(1);
  const crypto::Signer admin{crypto::Secret(gen.random)};
  VolumeObject v = random_volume(gen, admin);
  v.features = {1, 2, 0};
  EXPECT_EQ(decode_volume(encode_volume(v, admin)).value().features, v.features);
  v.features.incompatible = 4;
  EXPECT_TRUE(is(decode_volume(encode_volume(v, admin)), Code::kUnsupported));
}

TEST(VolumeFormat, NewerFormatOpensIfItsMinimumReaderAllows) {
  Gen gen(1);
  const crypto::Signer admin{crypto::Secret(gen.random)};
  VolumeObject v = random_volume(gen, admin);
  v.format = 2;
  EXPECT_TRUE(decode_volume(encode_volume(v, admin)));
  v.minimum_reader = 2;
  EXPECT_TRUE(is(decode_volume(encode_volume(v, admin)), Code::kUnsupported));
}

TEST(VolumeFormat, VolumeObjectHasItsGoldenBytes) {
  Gen gen(1);
  const crypto::Signer admin{crypto::Secret(gen.random)};
  VolumeObject v;
  v.features = {1, 2, 0};
  v.uuid.fill(0xaa);
  v.created = to_time(0x1122334455667788);
  v.salt.fill(0xbb);
  v.admin = admin.verify_key();
  v.single_writer = true;
  const Bytes bytes = encode_volume(v, admin);
  ASSERT_EQ(bytes.size(), 120u + 2 + 64);
  EXPECT_EQ(to_hex(ByteView(bytes).first(122)),
            "533343422d564f4c010001000c010000"
            "010000000000000002000000000000000000000000000000"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "88776655443322110000010000008000"
            "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" +
                to_hex(admin.verify_key()) + "0000");
}

struct SlotWorld {
  explicit SlotWorld(std::uint64_t seed)
      : gen(seed), key(gen.random), identity(make_identity(gen.random)) {}
  SlotHeader header(SlotKind kind) {
    SlotHeader h;
    h.vid = gen.array<32>();
    h.slot = gen.array<16>();
    h.kind = kind;
    if (kind == SlotKind::passphrase)
      h.cost = {2 + static_cast<std::uint32_t>(gen.below(15)),
                65536 + static_cast<std::uint32_t>(gen.below(2'031'617))};
    h.identity = identity.id();
    h.extensions = gen.extensions();
    return h;
  }
  Gen gen;
  crypto::Secret key;
  Identity identity;
};

TEST(SlotFormat, EveryKindSurvivesARoundTrip) {
  SEEDED_TEST(seed);
  SlotWorld world(seed);
  for (SlotKind kind : {SlotKind::passphrase, SlotKind::key_file, SlotKind::public_slot}) {
    SlotHeader header = world.header(kind);
    const CommitRef anchor{Generation(world.gen.number()), world.gen.array<32>()};
    const Bytes object = seal_slot(header, world.key, world.identity, anchor, world.gen.random);
    EXPECT_LE(object.size(), kSlotObjectMax);
    const SlotHeader parsed = parse_slot(object).value();
    header.check = parsed.check;
    EXPECT_EQ(parsed, header);
    const auto opened = open_slot(object, world.key);
    ASSERT_TRUE(opened) << opened.error().message();
    EXPECT_EQ(opened->identity.id(), world.identity.id());
    EXPECT_EQ(opened->identity.box.public_key, world.identity.box.public_key);
    EXPECT_EQ(opened->identity.signer.verify_key(), world.identity.signer.verify_key());
    EXPECT_TRUE(crypto::same(opened->identity.box.secret.view(), world.identity.box.secret.view()));
    EXPECT_EQ(opened->anchor, anchor);
  }
}

TEST(SlotFormat, AnotherKeyIsToldFromDamage) {
  SEEDED_TEST(seed);
  SlotWorld world(seed);
  const SlotHeader header = world.header(SlotKind::key_file);
  const Bytes object = seal_slot(header, world.key, world.identity, {}, world.gen.random);
  EXPECT_TRUE(is(open_slot(object, crypto::Secret(world.gen.random)), Code::kBadKey));
  for (std::size_t n = 0; n < object.size(); ++n) {
    Bytes changed = object;
    changed[n] ^= static_cast<std::uint8_t>(1 + world.gen.below(255));
    const auto opened = open_slot(changed, world.key);
    ASSERT_FALSE(opened) << n;
    // vid, slot id and check are what the check is made of.
    const bool in_check = (n >= 16 && n < 64) || (n >= 80 && n < 96);
    if (n >= 112 + 1) {
      EXPECT_NE(opened.error().code(), Code::kBadKey) << n;
    }
    if (in_check) {
      EXPECT_EQ(opened.error().code(), Code::kBadKey) << n;
    }
  }
  check_refused(world.gen, object, [&](ByteView b) { return open_slot(b, world.key); });
}

TEST(SlotFormat, CostsOutOfBoundsAreRefused) {
  SlotWorld world(3);
  const Bytes good = seal_slot(world.header(SlotKind::passphrase), world.key, world.identity, {},
                               world.gen.random);
  ASSERT_TRUE(parse_slot(good));
  const auto with = [&](std::uint32_t operations, std::uint32_t memory_kib) {
    Bytes bytes = good;
    const Le32 values[] = {operations, memory_kib};
    std::memcpy(bytes.data() + 96, values, sizeof values);
    return parse_slot(bytes);
  };
  EXPECT_TRUE(with(2, 65536));
  EXPECT_TRUE(with(16, 2 << 20));
  for (auto [operations, memory] : {std::pair<std::uint32_t, std::uint32_t>{1, 65536},
                                    {17, 65536},
                                    {0, 0},
                                    {3, 65535},
                                    {3, (2 << 20) + 1},
                                    {3, 0xffffffff},
                                    {0xffffffff, 65536}})
    EXPECT_TRUE(is(with(operations, memory), Code::kCorrupt)) << operations << " " << memory;
}

TEST(SlotFormat, SlotOfAKeyFileNamesNoCost) {
  SlotWorld world(3);
  Bytes bytes =
      seal_slot(world.header(SlotKind::key_file), world.key, world.identity, {}, world.gen.random);
  EXPECT_TRUE(all_zero(ByteView(bytes).subspan(96, 8)));
  bytes[96] = 3;
  EXPECT_FALSE(parse_slot(bytes));
}

TEST(SlotFormat, SlotMayGrowByExtensions) {
  SlotWorld world(3);
  SlotHeader header = world.header(SlotKind::key_file);
  header.extensions = {{1, false, {1, 2}}};
  EXPECT_EQ(parse_slot(seal_slot(header, world.key, world.identity, {}, world.gen.random))
                .value()
                .extensions,
            header.extensions);
  header.extensions[0].critical = true;
  EXPECT_TRUE(is(parse_slot(seal_slot(header, world.key, world.identity, {}, world.gen.random)),
                 Code::kUnsupported));
}

TEST(SlotFormat, SlotHeaderHasItsGoldenBytes) {
  SlotWorld world(3);
  SlotHeader header;
  header.vid.fill(0xaa);
  header.slot.fill(0xbb);
  header.identity = world.identity.id();
  header.cost = {3, 65536};
  const Bytes bytes = seal_slot(header, world.key, world.identity, {}, world.gen.random);
  ASSERT_EQ(bytes.size(), 112u + 1 + 176);
  const Uuid check = parse_slot(bytes).value().check;
  EXPECT_EQ(to_hex(ByteView(bytes).first(113)), "533343422d534c5401000100b0000000" +
                                                    to_hex(header.vid) + to_hex(header.slot) +
                                                    to_hex(header.identity) + to_hex(check) +
                                                    "03000000000001000100000000000000" + "00");
}

GrantSecrets random_grant(Gen& gen, Role role) {
  GrantSecrets s;
  s.vid = gen.array<32>();
  s.role = role;
  s.capabilities = static_cast<std::uint32_t>(gen.below(8));
  s.ring = gen.u32();
  s.metadata_key = crypto::Secret(gen.random);
  if (role != Role::blind && role != Role::maintainer) s.data_secret = crypto::Secret(gen.random);
  if (role == Role::owner || role == Role::writer || role == Role::blind)
    s.fingerprint_key = crypto::Secret(gen.random);
  if (role == Role::owner) s.admin_seed = crypto::Secret(gen.random);
  s.anchor = {Generation(gen.number()), gen.array<32>()};
  s.extensions = gen.extensions();
  return s;
}

bool same_secret(const crypto::Secret& a, const crypto::Secret& b) {
  return a.empty() == b.empty() && (a.empty() || crypto::same(a.view(), b.view()));
}

TEST(GrantFormat, EveryRoleSurvivesARoundTrip) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const crypto::BoxKeyPair to = crypto::box_key_pair(gen.random);
  for (std::uint8_t role = 1; role <= 6; ++role) {
    const GrantSecrets s = random_grant(gen, Role{role});
    const auto opened = open_grant(seal_grant(s, to.public_key, gen.random), to.secret);
    ASSERT_TRUE(opened) << opened.error().message();
    EXPECT_EQ(opened->vid, s.vid);
    EXPECT_EQ(opened->role, s.role);
    EXPECT_EQ(opened->capabilities, s.capabilities);
    EXPECT_EQ(opened->ring, s.ring);
    EXPECT_EQ(opened->anchor, s.anchor);
    EXPECT_EQ(opened->extensions, s.extensions);
    EXPECT_TRUE(same_secret(opened->metadata_key, s.metadata_key));
    EXPECT_TRUE(same_secret(opened->data_secret, s.data_secret));
    EXPECT_TRUE(same_secret(opened->fingerprint_key, s.fingerprint_key));
    EXPECT_TRUE(same_secret(opened->admin_seed, s.admin_seed));
  }
}

TEST(GrantFormat, DamageAndOtherIdentitiesAreRefused) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const crypto::BoxKeyPair to = crypto::box_key_pair(gen.random);
  const Bytes sealed = seal_grant(random_grant(gen, Role::owner), to.public_key, gen.random);
  check_refused(gen, sealed, [&](ByteView b) { return open_grant(b, to.secret); });
  EXPECT_FALSE(open_grant(sealed, crypto::Secret(gen.random)));
}

// Anyone can make a box to a public key.
TEST(GrantFormat, ForgedPlaintextIsRefusedOrHarmless) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const crypto::BoxKeyPair to = crypto::box_key_pair(gen.random);
  Bytes plain;
  ASSERT_TRUE(crypto::box_open(
      to.secret, seal_grant(random_grant(gen, Role::writer), to.public_key, gen.random), plain));
  const auto open = [&](const Bytes& b) {
    return open_grant(crypto::box_seal(gen.random, to.public_key, b), to.secret);
  };
  ASSERT_TRUE(open(plain));
  for (std::size_t n = 0; n < plain.size(); ++n)
    ASSERT_FALSE(open(Bytes(plain.begin(), plain.begin() + static_cast<std::ptrdiff_t>(n))));
  Bytes bad = plain;
  bad[33] |= 8;  // an admin seed for a writer
  EXPECT_FALSE(open(bad));
  bad = plain;
  bad[33] &= 0xfe;  // no metadata key
  EXPECT_FALSE(open(bad));
  bad = plain;
  bad[32] = 7;  // no such role
  EXPECT_FALSE(open(bad));
  bad = plain;
  bad[37] = 1;  // no such capability
  EXPECT_FALSE(open(bad));
}

}  // namespace
}  // namespace s3crate::volume
