// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/index_fingerprints.h"

#include <algorithm>

#include "base/check.h"
#include "volume/codec.h"
#include "volume/key_ring.h"

namespace s3crate::volume {
namespace {

constexpr std::uint16_t kFingerprints = 5;  // type of the extension
constexpr std::size_t kItemSizeMin = 1 + sizeof(crypto::Fingerprint);

crypto::Secret key_of(const KeyRing& keys) { return crypto::derive(*keys.fingerprint_key(), "segment fingerprints", {keys.vid()}); }

}  // namespace

void put_fingerprints(segment::SegmentIndex& index, std::span<const ExtentFingerprint> fingerprints, const KeyRing& keys, Random& random) {
  CHECK(fingerprints.size() <= kIndexFingerprintsMax);
  Bytes plain;
  ByteWriter writer(plain);
  writer.varint(fingerprints.size());
  std::uint32_t next = 0;
  for (const ExtentFingerprint& one : fingerprints) {
    CHECK(one.extent >= next);
    writer.varint(one.extent - next);
    writer.raw(one.fingerprint);
    next = one.extent + 1;
  }
  segment::Extension extension{kFingerprints, false, {}};
  crypto::SealingKey(key_of(keys)).seal(random, plain, index.sealed_secret, extension.value);
  segment::replace_extension(index.extensions, std::move(extension));
}

std::vector<ExtentFingerprint> fingerprints_in(const segment::SegmentIndex& index, const KeyRing& keys) {
  const auto extension = std::ranges::find(index.extensions, kFingerprints, &segment::Extension::type);
  if (extension == index.extensions.end() || keys.fingerprint_key() == nullptr) return {};
  Bytes plain;
  if (!crypto::OpeningKey(key_of(keys)).open(extension->value, index.sealed_secret, plain)) return {};
  ByteReader reader(plain);
  std::vector<ExtentFingerprint> out;
  std::uint64_t next = 0;
  for (std::size_t n = get_count(reader, kItemSizeMin, kIndexFingerprintsMax); n > 0 && reader.ok(); --n) {
    const std::uint64_t extent = get_above(reader, next, segment::kExtentsPerSegmentMax);
    out.push_back({static_cast<std::uint32_t>(extent), reader.array<sizeof(crypto::Fingerprint)>()});
    next = extent + 1;
  }
  return reader.done() ? out : std::vector<ExtentFingerprint>();
}

}  // namespace s3crate::volume
