// SPDX-License-Identifier: GPL-3.0-or-later
// Constants and fixed parts of segments and extents as they stand in a store:
// s3crate-blk-format(5). Only the codecs of this layer include it.
#pragma once

#include "base/wire.h"
#include "segment/types.h"

namespace s3crate::segment::wire {

using Magic = std::array<char, 8>;

inline constexpr Magic kHeaderMagic = {'S', '3', 'C', 'B', '-', 'S', 'E', 'G'};
inline constexpr Magic kFooterMagic = {'S', '3', 'C', 'B', '-', 'E', 'N', 'D'};
inline constexpr std::uint16_t kVersion = 1;

struct Header {
  Magic magic = kHeaderMagic;
  Le16 version{kVersion};
  Le16 reserved;
  Le32 flags;
  Vid vid{};
  Le64 id;
  Le64 keys_generation;
  Le32 ring;
  Le32 writer;
};
static_assert(WireStruct<Header> && sizeof(Header) == 72);

struct Footer {
  Le64 index_offset;
  Le32 index_length;
  Le32 reserved;
  crypto::Signature signature{};  // of header, sealed index, and this struct up to here
  Magic magic = kFooterMagic;
};
static_assert(WireStruct<Footer> && sizeof(Footer) == 88);
inline constexpr std::size_t kFooterSignedBytes = 16;
static_assert(kFooterSignedBytes + sizeof(crypto::Signature) + sizeof(Magic) == sizeof(Footer));

inline constexpr std::uint8_t kLostCodec = 2;  // beside compress::Codec: no data, its blocks are lost

struct ExtentHead {
  std::uint8_t codec = 0;
  std::uint8_t reserved = 0;
  Le16 blocks;
  Le32 raw_length;
};
static_assert(WireStruct<ExtentHead> && sizeof(ExtentHead) == 8);

struct IndexHead {
  Le32 epoch;
  Le32 continues_epoch;
  Le64 continues_seq;
  Le64 seq_first;
  Le64 seq_last;
  Le64 needs_seq;
  Le64 disk_bytes;
  SealedSecret sealed_secret{};
};
static_assert(WireStruct<IndexHead> && sizeof(IndexHead) == 128);

}  // namespace s3crate::segment::wire
