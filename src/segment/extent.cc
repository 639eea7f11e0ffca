// SPDX-License-Identifier: GPL-3.0-or-later
#include "segment/extent.h"

#include <algorithm>

#include "base/check.h"
#include "segment/codec.h"
#include "segment/wire_format.h"

namespace s3crate::segment {
namespace {

crypto::Secret extent_key(const crypto::Secret& secret, const Vid& vid) {
  return crypto::derive(secret, "extent", {vid});
}

bool is_raw_length(std::size_t length, std::uint32_t block_size) {
  return length != 0 && length <= kExtentBytesMax && length % block_size == 0;
}

std::size_t seal_parts(const crypto::SealingKey& key, Random& random, std::uint32_t number, const wire::ExtentHead& head,
                       ByteView data, MutableByteView out) {
  const ByteView parts[] = {wire_bytes(head), data};
  const Le32 additional(number);
  const std::size_t size = sizeof head + data.size() + crypto::kSealOverhead;
  CHECK(size <= out.size() && size <= kSealedExtentMax);
  key.seal(random, parts, wire_bytes(additional), out.first(size));
  return size;
}

}  // namespace

crypto::SealingKey extent_sealing_key(const crypto::Secret& fresh_secret, const Vid& vid) {
  return crypto::SealingKey(extent_key(fresh_secret, vid));
}

crypto::OpeningKey extent_opening_key(const crypto::Secret& secret, const Vid& vid) {
  return crypto::OpeningKey(extent_key(secret, vid));
}

std::size_t seal_extent(const crypto::SealingKey& key, Random& random, std::uint32_t number, ByteView raw,
                        std::uint32_t block_size, int compression_level, MutableByteView out) {
  CHECK(is_raw_length(raw.size(), block_size));
  Bytes packed;
  const compress::Codec codec = compress::compress(raw, compression_level, packed);
  wire::ExtentHead head;
  head.codec = static_cast<std::uint8_t>(codec);
  head.blocks = static_cast<std::uint16_t>(raw.size() / block_size);
  head.raw_length = static_cast<std::uint32_t>(raw.size());
  const std::size_t size = seal_parts(key, random, number, head, codec == compress::Codec::none ? raw : ByteView(packed), out);
#ifndef NDEBUG
  const ByteView stored = out.first(size);
  const auto opened =
      open_extent(key.opening_key(), number, crypto::digest(stored), stored, block_size);
  CHECK(opened && equal(*opened, raw));
#endif
  return size;
}

void seal_lost_extent(const crypto::SealingKey& key, Random& random, std::uint32_t number, std::uint16_t blocks,
                      std::uint32_t block_size, Bytes& out) {
  CHECK(is_raw_length(std::size_t{blocks} * block_size, block_size));
  wire::ExtentHead head;
  head.codec = wire::kLostCodec;
  head.blocks = blocks;
  head.raw_length = blocks * block_size;
  static constexpr std::uint8_t kNothing[1] = {};  // as no extent is shorter
  const std::size_t start = out.size();
  out.resize(start + sealed_extent_max(sizeof kNothing));
  CHECK(start + seal_parts(key, random, number, head, kNothing, MutableByteView(out).subspan(start)) == out.size());
}

namespace {

Result<Blob> open_matching(const crypto::OpeningKey& key, std::uint32_t number, const Digest& digest, const Digest& found, ByteView stored,
                           std::uint32_t block_size) {
  if (stored.size() < kSealedExtentMin || stored.size() > kSealedExtentMax)
    return fail(Code::kCorrupt, "an extent of {} bytes", stored.size());
  if (found != digest)
    return fail(Code::kCorrupt, "an extent is not what its digest says");
  const Le32 additional(number);
  const auto memory = Blob::fresh(stored.size() - crypto::kSealOverhead);
  const MutableByteView plain(memory.get(), stored.size() - crypto::kSealOverhead);
  TRY(key.open(stored, wire_bytes(additional), plain));
  ByteReader reader(plain);
  const auto head = reader.wire<wire::ExtentHead>();
  if (!is_raw_length(head.raw_length, block_size) || head.reserved != 0 ||
      head.blocks != head.raw_length / block_size)
    return fail(Code::kCorrupt, "an extent with a malformed head");
  if (head.codec == wire::kLostCodec)
    return fail(Code::kLost, "lost when a part of it was written, because the rest was damaged");
  switch (compress::Codec{head.codec}) {
    case compress::Codec::none:
      if (reader.rest().size() != head.raw_length) break;
      return Blob(memory, reader.rest());
    case compress::Codec::zstd: {
      const auto raw = Blob::fresh(head.raw_length);
      TRY(compress::decompress(reader.rest(), {raw.get(), head.raw_length}));
      return Blob(raw, {raw.get(), head.raw_length});
    }
  }
  return fail(Code::kCorrupt, "an extent of unknown codec or wrong length");
}

}  // namespace

Result<Blob> open_extent(const crypto::OpeningKey& key, std::uint32_t number, const Digest& digest,
                         ByteView stored, std::uint32_t block_size) {
  return open_matching(key, number, digest, crypto::digest(stored), stored, block_size);
}

void open_extents(const crypto::OpeningKey& key, std::span<const StoredExtent> extents, std::uint32_t block_size,
                  std::span<Result<Blob>> answers) {
  CHECK(extents.size() <= crypto::kDigestsAtOnce && extents.size() == answers.size());
  std::array<ByteView, crypto::kDigestsAtOnce> stored;
  std::ranges::transform(extents, stored.begin(), &StoredExtent::stored);
  std::array<Digest, crypto::kDigestsAtOnce> found;
  crypto::digests(std::span(stored).first(extents.size()), std::span(found).first(extents.size()));
  for (std::size_t i = 0; i < extents.size(); ++i)
    answers[i] = open_matching(key, extents[i].number, extents[i].digest, found[i], stored[i], block_size);
}

}  // namespace s3crate::segment
