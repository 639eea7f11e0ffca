// SPDX-License-Identifier: GPL-3.0-or-later
// The primitives against published vectors and against libsodium, and what they must refuse.
#include "crypto/crypto.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include <random>

#include "crypto/chacha.h"

namespace s3crate::crypto {
namespace {

Bytes hex(std::string_view digits) {
  Bytes out(digits.size() / 2);
  EXPECT_TRUE(from_hex(digits, out));
  return out;
}

Bytes text(std::string_view s) { return {s.begin(), s.end()}; }

template <std::size_t N>
std::array<std::uint8_t, N> fixed(ByteView from) {
  std::array<std::uint8_t, N> out{};
  EXPECT_EQ(from.size(), N);
  std::copy_n(from.begin(), std::min(N, from.size()), out.begin());
  return out;
}

class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  void fill(MutableByteView out) override {
    for (std::uint8_t& b : out) b = static_cast<std::uint8_t>(engine_());
  }

 private:
  std::mt19937_64 engine_;
};

Bytes random_bytes(Random& random, std::size_t size) {
  Bytes out(size);
  random.fill(out);
  return out;
}

class CryptoTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const Result<> ready = initialise();
    ASSERT_TRUE(ready) << ready.error().message();
  }

  static constexpr std::uint64_t kSeed = 20261120;
  SeededRandom random_{kSeed};
};

class HashTest : public CryptoTest {};
class AeadTest : public CryptoTest {};
class BoxTest : public CryptoTest {};
class SignTest : public CryptoTest {};

TEST_F(HashTest, Blake2bMatchesKnownValues) {
  EXPECT_EQ(to_hex(blake2b(ByteView{})),
            "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
  EXPECT_EQ(to_hex(blake2b(as_bytes("abc"))),
            "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

TEST_F(HashTest, PartsHashLikeTheWhole) {
  const Bytes whole = random_bytes(random_, 1000);
  for (std::size_t cut : {0, 1, 127, 128, 129, 999, 1000}) {
    const ByteView parts[] = {ByteView(whole).first(cut), ByteView(whole).subspan(cut)};
    EXPECT_EQ(blake2b(parts), blake2b(ByteView(whole))) << cut;
  }
}

TEST_F(HashTest, DigestIsTheFirstHalfOfSha256) {
  EXPECT_EQ(to_hex(digest(as_bytes("abc"))), "ba7816bf8f01cfea414140de5dae2223");
  EXPECT_EQ(to_hex(digest({})), "e3b0c44298fc1c149afbf4c8996fb924");
  EXPECT_EQ(to_hex(digest(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "248d6a61d20638b8e5c026930c3e6039");
}

// Lengths around the blocks of 64 bytes, and where the length no longer fits behind the rest; each beside each, and extents.
TEST_F(HashTest, DigestsOfSeveralAreThoseOfEach) {
  std::vector<std::size_t> sizes = {0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 129, 4096, 65536, 65584};
  std::vector<Bytes> data;
  for (std::size_t a : sizes)
    for (std::size_t b : sizes) {
      data.push_back(random_bytes(random_, a));
      data.push_back(random_bytes(random_, b));
    }
  data.push_back(random_bytes(random_, 1000));  // an odd one
  const std::vector<ByteView> views(data.begin(), data.end());
  std::vector<Digest> found(views.size());
  digests(views, found);
  for (std::size_t i = 0; i < views.size(); ++i) ASSERT_EQ(found[i], digest(views[i])) << i << ": " << views[i].size() << " bytes";
  digests({}, {});
}

// FIPS 180-4, RFC 1321 and RFC 4231.
TEST_F(HashTest, WhatS3AsksForMatchesKnownValues) {
  const std::vector<ByteView> abc = {as_bytes("a"), as_bytes(""), as_bytes("bc")};
  EXPECT_EQ(to_hex(sha256(abc)), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256(ByteView{})),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(md5(abc)), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(to_hex(md5({})), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(to_hex(hmac_sha256(as_bytes("Jefe"), as_bytes("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(to_hex(hmac_sha256(Bytes(131, 0xaa),
                               as_bytes("Test Using Larger Than Block-Size Key - Hash Key First"))),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST_F(HashTest, DerivationIsKeyedBlake2bOverPrefixedParts) {
  Bytes key(32);
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i);
  const Secret secret = Secret::copy_of(key);
  // Computed with Python's hashlib.blake2b(lp("s3crate-blk/1 extent") + ..., key=, digest_size=32).
  EXPECT_EQ(to_hex(derive(secret, "extent", {as_bytes("vid"), ByteView{}}).view()),
            "52935a14d95e29bde191de3dcbef8ecac3437046ead785079a0ac49c458b2b72");
  EXPECT_EQ(to_hex(derive(secret, "extent", {}).view()),
            "cddac9e4d8ddb984b5ac286dd431eef50cd62f471584cf32ac4b078e3d01c9b5");
}

TEST_F(HashTest, DerivationSeparatesKeysPurposesAndContexts) {
  const Secret key(random_);
  const Secret other(random_);
  const ByteView ab = as_bytes("ab");
  const ByteView a = as_bytes("a");
  const ByteView b = as_bytes("b");
  std::vector<Secret> all;
  all.push_back(derive(key, "commit", {ab}));
  all.push_back(derive(key, "commit", {a, b}));
  all.push_back(derive(key, "commit", {ab, {}}));
  all.push_back(derive(key, "commitab", {}));
  all.push_back(derive(key, "extent", {ab}));
  all.push_back(derive(other, "commit", {ab}));
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_FALSE(same(all[i].view(), all[j].view())) << i << " and " << j;
    }
  }
  EXPECT_TRUE(same(all[0].view(), derive(key, "commit", {ab}).view()));
}

TEST_F(HashTest, SameComparesContentAndLength) {
  const Bytes a = text("secret");
  EXPECT_TRUE(same(a, text("secret")));
  EXPECT_FALSE(same(a, text("secreT")));
  EXPECT_FALSE(same(a, text("secre")));
  EXPECT_FALSE(same(a, {}));
  EXPECT_TRUE(same({}, {}));
}

constexpr std::string_view kSunscreen =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    "sunscreen would be it.";
constexpr std::string_view kVectorKey =
    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
constexpr std::string_view kVectorAdditional = "50515253c0c1c2c3c4c5c6c7";

// RFC 8439, 2.8.2.
TEST_F(AeadTest, ChaCha20Poly1305MatchesRfc8439) {
  const Bytes key = hex(kVectorKey);
  const Bytes nonce = hex("070000004041424344454647");
  const Bytes additional = hex(kVectorAdditional);
  const std::string expected =
      "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92"
      "728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b"
      "4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691";
  const ByteView plaintext = as_bytes(kSunscreen);
  Bytes sealed(plaintext.size() + kTagSize);
  internal::chacha20_poly1305_seal(key, nonce, {&plaintext, 1}, additional, sealed);
  EXPECT_EQ(to_hex(sealed), expected);
  Bytes opened(plaintext.size());
  EXPECT_TRUE(internal::chacha20_poly1305_open(key, nonce, sealed, additional, opened));
  EXPECT_EQ(opened, text(kSunscreen));
}

// RFC 8439, 2.5.2; whatever the pieces.
TEST_F(AeadTest, Poly1305MatchesRfc8439) {
  const Bytes once = hex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b");
  const ByteView message = as_bytes("Cryptographic Forum Research Group");
  for (std::size_t cut = 0; cut <= message.size(); ++cut) {
    const ByteView parts[] = {message.first(cut), message.subspan(cut)};
    std::array<std::uint8_t, kTagSize> tag;
    internal::poly1305(once, parts, tag);
    EXPECT_EQ(to_hex(tag), "a8061dc1305136c6c22b8baf0c0127a9") << cut;
  }
}

// draft-irtf-cfrg-xchacha-03, A.3.1.
TEST_F(AeadTest, XChaCha20Poly1305MatchesTheDraft) {
  const std::string nonce = "404142434445464748494a4b4c4d4e4f5051525354555657";
  const OpeningKey key(Secret::copy_of(hex(kVectorKey)));
  const Bytes sealed = hex(
      nonce +
          "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f"
          "4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f"
          "76b2383565d3fff921f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49");
  Bytes opened;
  ASSERT_TRUE(key.open(sealed, hex(kVectorAdditional), opened));
  EXPECT_EQ(opened, text(kSunscreen));
}

TEST_F(AeadTest, LibsodiumOpensWhatWeSealAndTheOtherWayRound) {
  SCOPED_TRACE(kSeed);
  for (std::size_t size : {0, 1, 15, 16, 17, 63, 64, 65, 255, 4096, 65536, 65543}) {
    const Bytes plaintext = random_bytes(random_, size);
    const Bytes additional = random_bytes(random_, size % 37);
    const Bytes raw_key = random_bytes(random_, kSecretSize);
    const SealingKey key(Secret::copy_of(raw_key));

    Bytes ours;
    key.seal(random_, plaintext, additional, ours);
    ASSERT_EQ(ours.size(), size + kSealOverhead);
    Bytes opened(size);
    unsigned long long length = 0;
    ASSERT_EQ(
        crypto_aead_xchacha20poly1305_ietf_decrypt(
            opened.data(), &length, nullptr, ours.data() + kNonceSize, ours.size() - kNonceSize,
            additional.data(), additional.size(), ours.data(), raw_key.data()),
        0)
        << size;
    EXPECT_EQ(opened, plaintext);

    Bytes theirs = random_bytes(random_, kNonceSize);
    theirs.resize(size + kSealOverhead);
    crypto_aead_xchacha20poly1305_ietf_encrypt(
        theirs.data() + kNonceSize, &length, plaintext.data(), size, additional.data(),
        additional.size(), nullptr, theirs.data(), raw_key.data());
    Bytes out = text("before ");
    ASSERT_TRUE(key.opening_key().open(theirs, additional, out)) << size;
    Bytes expected = text("before ");
    append(expected, plaintext);
    EXPECT_EQ(out, expected);
  }
}

TEST_F(AeadTest, PartsSealLikeTheWhole) {
  SCOPED_TRACE(kSeed);
  const SealingKey key{Secret(random_)};
  for (int round = 0; round < 200; ++round) {
    const Bytes whole = random_bytes(random_, random_.u64() % 700);
    std::vector<ByteView> parts;
    for (ByteView rest = whole; !rest.empty();) {
      const std::size_t n = std::min<std::size_t>(random_.u64() % 150, rest.size());
      parts.push_back(rest.first(n));
      rest = rest.subspan(n);
    }
    SeededRandom first(1);
    SeededRandom second(1);
    Bytes one;
    Bytes many;
    key.seal(first, whole, as_bytes("x"), one);
    key.seal(second, parts, as_bytes("x"), many);
    ASSERT_EQ(one, many) << "round " << round;
  }
}

// Two copies of a machine go on with one state of the kernel's generator, if nothing tells the kernel.
TEST_F(AeadTest, ClonedGeneratorGivesOtherContentAnotherNonce) {
  const SealingKey key{Secret(random_)};
  const auto nonce = [&](std::string_view plaintext, std::string_view additional) {
    SeededRandom clone(1);
    Bytes sealed;
    key.seal(clone, as_bytes(plaintext), as_bytes(additional), sealed);
    sealed.resize(kNonceSize);
    return sealed;
  };
  EXPECT_EQ(nonce("content", "place"), nonce("content", "place"));
  EXPECT_NE(nonce("content", "place"), nonce("Content", "place"));
  EXPECT_NE(nonce("content", "place"), nonce("content", "plac"));
  EXPECT_NE(nonce("content", "place"), nonce("econtent", "plac")) << "the same bytes, otherwise divided";
  EXPECT_NE(nonce("", "place"), nonce("place", ""));
}

// What one copy shows to all (the name of an object) may be what the other one draws for a key.
TEST_F(AeadTest, SecretIsNotWhatTheGeneratorAnswered) {
  SeededRandom one(1), clone(1);
  const Secret secret(one);
  EXPECT_FALSE(equal(secret.view(), random_bytes(clone, kSecretSize)));
}

TEST_F(AeadTest, EverySealTakesAFreshNonce) {
  const SealingKey key{Secret(random_)};
  Bytes out = text("kept");
  key.seal(random_, as_bytes("same"), {}, out);
  const std::size_t length = out.size();
  key.seal(random_, as_bytes("same"), {}, out);
  EXPECT_EQ(as_chars(ByteView(out).first(4)), "kept");
  const ByteView first = ByteView(out).subspan(4, length - 4);
  const ByteView second = ByteView(out).subspan(length);
  ASSERT_EQ(first.size(), second.size());
  EXPECT_FALSE(equal(first.first(kNonceSize), second.first(kNonceSize)));
  EXPECT_FALSE(equal(first.subspan(kNonceSize), second.subspan(kNonceSize)));
}

TEST_F(AeadTest, AnyChangedBitIsRefusedAndTheOutputUntouched) {
  const SealingKey key{Secret(random_)};
  const OpeningKey opening = key.opening_key();
  const Bytes additional = text("extent 7");
  Bytes sealed;
  key.seal(random_, as_bytes(kSunscreen), additional, sealed);
  Bytes out = text("untouched");
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes damaged = sealed;
      damaged[i] ^= static_cast<std::uint8_t>(1 << bit);
      ASSERT_TRUE(is(opening.open(damaged, additional, out), Code::kCorrupt)) << i << "." << bit;
    }
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    ASSERT_TRUE(is(opening.open(ByteView(sealed).first(size), additional, out), Code::kCorrupt))
        << size;
  }
  Bytes longer = sealed;
  longer.push_back(0);
  EXPECT_TRUE(is(opening.open(longer, additional, out), Code::kCorrupt));
  EXPECT_EQ(out, text("untouched"));
  EXPECT_TRUE(opening.open(sealed, additional, out));
}

TEST_F(AeadTest, OtherKeyOrAdditionalDataIsRefused) {
  const SealingKey key{Secret(random_)};
  const SealingKey other{Secret(random_)};
  Bytes sealed;
  key.seal(random_, as_bytes("content"), as_bytes("extent 7"), sealed);
  Bytes out;
  const OpeningKey opening = key.opening_key();
  EXPECT_TRUE(is(opening.open(sealed, as_bytes("extent 8"), out), Code::kCorrupt));
  EXPECT_TRUE(is(opening.open(sealed, as_bytes("extent "), out), Code::kCorrupt));
  EXPECT_TRUE(is(opening.open(sealed, {}, out), Code::kCorrupt));
  EXPECT_TRUE(is(other.opening_key().open(sealed, as_bytes("extent 7"), out), Code::kCorrupt));
  EXPECT_TRUE(out.empty());
  // A refusal leaves nothing behind in the thread's context.
  EXPECT_TRUE(opening.open(sealed, as_bytes("extent 7"), out));
  EXPECT_EQ(out, text("content"));
}

// RFC 7748, 6.1.
TEST_F(BoxTest, PublicKeyMatchesRfc7748) {
  const Secret alice =
      Secret::copy_of(hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  const Secret bob =
      Secret::copy_of(hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  EXPECT_EQ(to_hex(box_public_key(alice)),
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(to_hex(box_public_key(bob)),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
}

TEST_F(BoxTest, LibsodiumOpensWhatWeSealAndTheOtherWayRound) {
  const BoxKeyPair pair = box_key_pair(random_);
  const ByteView secret = pair.secret.view();
  for (std::size_t size : {0, 1, 32, 80, 1000}) {
    const Bytes plaintext = random_bytes(random_, size);
    const Bytes ours = box_seal(random_, pair.public_key, plaintext);
    ASSERT_EQ(ours.size(), size + kBoxOverhead);
    Bytes opened(size);
    ASSERT_EQ(crypto_box_seal_open(opened.data(), ours.data(), ours.size(), pair.public_key.data(),
                                   secret.data()),
              0);
    EXPECT_EQ(opened, plaintext);

    Bytes theirs(size + kBoxOverhead);
    ASSERT_EQ(crypto_box_seal(theirs.data(), plaintext.data(), size, pair.public_key.data()), 0);
    Bytes out = text("before ");
    ASSERT_TRUE(box_open(pair.secret, theirs, out));
    EXPECT_TRUE(equal(ByteView(out).subspan(7), plaintext));
  }
}

TEST_F(BoxTest, TheSameRandomnessGivesTheSameBox) {
  SeededRandom first(1);
  SeededRandom second(1);
  SeededRandom third(2);
  const PublicKey to = box_key_pair(random_).public_key;
  const Bytes box = box_seal(first, to, as_bytes("secret"));
  EXPECT_EQ(box, box_seal(second, to, as_bytes("secret")));
  EXPECT_NE(box, box_seal(third, to, as_bytes("secret")));
  EXPECT_NE(box, box_seal(first, to, as_bytes("secret")));
  SeededRandom clone(1);
  Bytes other = box_seal(clone, to, as_bytes("Secret"));
  EXPECT_FALSE(equal(ByteView(other).first(32), ByteView(box).first(32))) << "two plaintexts under one ephemeral key";
}

TEST_F(BoxTest, AnyChangedByteOrOtherKeyIsRefusedAndTheOutputUntouched) {
  const BoxKeyPair pair = box_key_pair(random_);
  const BoxKeyPair other = box_key_pair(random_);
  const Bytes sealed =
      box_seal(random_, pair.public_key, as_bytes("a key of 32 bytes, or the like"));
  Bytes out = text("untouched");
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    Bytes damaged = sealed;
    damaged[i] ^= 0x04;
    ASSERT_TRUE(is(box_open(pair.secret, damaged, out), Code::kCorrupt)) << i;
    ASSERT_TRUE(is(box_open(pair.secret, ByteView(sealed).first(i), out), Code::kCorrupt)) << i;
  }
  EXPECT_TRUE(is(box_open(other.secret, sealed, out), Code::kCorrupt));
  EXPECT_EQ(out, text("untouched"));
}

TEST_F(BoxTest, DegenerateKeysAreRecognised) {
  EXPECT_TRUE(is_box_key(box_key_pair(random_).public_key));
  PublicKey key{};
  EXPECT_FALSE(is_box_key(key));
  key[0] = 1;
  EXPECT_FALSE(is_box_key(key));
  // A point of order 8.
  EXPECT_FALSE(is_box_key(
      fixed<32>(hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"))));
  EXPECT_DEATH((void)box_seal(random_, PublicKey{}, as_bytes("x")), "internal error");
}

// RFC 8032, 7.1, tests 1 and 2; the signatures of our prefixed messages are from Python's
// cryptography.
TEST_F(SignTest, MatchesEd25519) {
  const struct {
    const char *seed, *verify_key, *signature;
  } vectors[] = {
      {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
       "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
       "ff4a0dc4cf2aa8c4c6b56288c5a2858dd62aee34e26dde980cb903e1c4268c2d"
       "a22cdbb5a8c64b66fb19456ab890d1c957dc1383ec41177177426d02f2da9709"},
      {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
       "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
       "8da1329ac490898d20d09fb41c2b52834d61bd36076780a6d6bd4e73582537e3"
       "216210cf7a21fd674d3d680574a683c788d5852675a1946677322d47c286a405"},
  };
  const ByteView parts[] = {as_bytes("header"), as_bytes("body")};
  for (const auto& v : vectors) {
    const Signer signer(Secret::copy_of(hex(v.seed)));
    EXPECT_EQ(to_hex(signer.verify_key()), v.verify_key);
    EXPECT_EQ(to_hex(signer.sign("commit", parts)), v.signature);
    EXPECT_TRUE(verify(signer.verify_key(), "commit", parts, fixed<64>(hex(v.signature))));
  }
}

TEST_F(SignTest, OtherTypeMessageKeyOrSignatureIsRefused) {
  const Signer signer{Secret(random_)};
  const Signer other{Secret(random_)};
  Bytes message = text("plain header and sealed body");
  const ByteView parts[] = {message};
  const Signature signature = signer.sign("commit", parts);
  EXPECT_TRUE(verify(signer.verify_key(), "commit", parts, signature));
  EXPECT_TRUE(is(verify(signer.verify_key(), "segment", parts, signature), Code::kCorrupt));
  EXPECT_TRUE(is(verify(other.verify_key(), "commit", parts, signature), Code::kCorrupt));
  EXPECT_TRUE(is(verify(VerifyKey{}, "commit", parts, signature), Code::kCorrupt));
  for (std::size_t i = 0; i < signature.size(); ++i) {
    Signature damaged = signature;
    damaged[i] ^= 0x10;
    EXPECT_TRUE(is(verify(signer.verify_key(), "commit", parts, damaged), Code::kCorrupt)) << i;
  }
  for (std::uint8_t& byte : message) {
    byte ^= 1;
    EXPECT_TRUE(is(verify(signer.verify_key(), "commit", parts, signature), Code::kCorrupt));
    byte ^= 1;
  }
}

}  // namespace
}  // namespace s3crate::crypto
