// SPDX-License-Identifier: GPL-3.0-or-later
// Extents: compressed and sealed as one unit. Stored form: nonce[24] | ciphertext | tag[16]; the plaintext begins
// {codec:u8, flags:u8, blocks:u16, raw length:u32}. s3crate-blk-format(5), "Extents".
#pragma once

#include "base/blob.h"
#include "base/random.h"
#include "base/result.h"
#include "compress/compress.h"
#include "segment/types.h"

namespace s3crate::segment {

// The key of all extents of one segment: KDF(secret, "extent", vid of the volume that sealed it).
[[nodiscard]] crypto::SealingKey extent_sealing_key(const crypto::Secret& fresh_secret, const Vid& vid);
[[nodiscard]] crypto::OpeningKey extent_opening_key(const crypto::Secret& secret, const Vid& vid);

// Writes the stored form of `raw` (a positive multiple of block_size, at most kExtentBytesMax) to the beginning of `out`, which has
// sealed_extent_max(raw.size()) bytes, and answers its length. Thread-safe.
[[nodiscard]] std::size_t seal_extent(const crypto::SealingKey& key, Random& random, std::uint32_t number, ByteView raw,
                                      std::uint32_t block_size, int compression_level, MutableByteView out);
[[nodiscard]] constexpr std::size_t sealed_extent_max(std::size_t raw_size) { return kSealedExtentMax - kExtentBytesMax + raw_size; }

// The same of blocks that are lost: a part of them was written, and the rest could not be read. Opening it is kLost.
void seal_lost_extent(const crypto::SealingKey& key, Random& random, std::uint32_t number, std::uint16_t blocks,
                      std::uint32_t block_size, Bytes& out);

// The blocks of an extent. kCorrupt if the digest or the seal does not match, or the plaintext is malformed; kLost.
[[nodiscard]] Result<Blob> open_extent(const crypto::OpeningKey& key, std::uint32_t number, const Digest& digest,
                                       ByteView stored, std::uint32_t block_size);

// The same of up to crypto::kDigestsAtOnce under one key, into as many answers.
struct StoredExtent {
  std::uint32_t number;
  Digest digest;
  ByteView stored;
};
void open_extents(const crypto::OpeningKey& key, std::span<const StoredExtent> extents, std::uint32_t block_size,
                  std::span<Result<Blob>> answers);

}  // namespace s3crate::segment
