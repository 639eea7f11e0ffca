// SPDX-License-Identifier: GPL-3.0-or-later
// Parts of a cache file, each alone: superblock, chunk headers (without the zeros at their end), tables.
#include "cache/cache_format.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace cache;

Bytes without_padding(Bytes sector) {
  sector.resize(segment::kSectorContent);
  while (!sector.empty() && sector.back() == 0) sector.pop_back();
  return sector;
}

std::vector<Bytes> seeds() {
  CacheSuperblock superblock = cache_layout(std::uint64_t{1} << 30, 0);
  superblock.vid.fill(1);
  superblock.cache.fill(2);
  ChunkHeader header;
  header.chunk = 3;
  header.ring = 1;
  header.number = 4;
  header.order = 5;
  header.sealed_length = 600;
  return {choice(0, without_padding(encode_cache_superblock(superblock))),
          choice(1, without_padding(encode_chunk_header(header))),
          choice(2, encode_chunk_table({{{1, 2, 3}, 4144}, {{4, 5, 6}, 65}}))};
}

void run(ByteView input) {
  if (input.empty()) return;
  const ByteView rest = input.subspan(1);
  if (input[0] % 3 == 2) {
    const auto decode = [](ByteView plain) { return decode_chunk_table(plain, 1 << 20); };
    return check_decoder(rest, decode, encode_chunk_table);
  }
  if (rest.size() > segment::kSectorContent) return;
  Bytes sector = to_bytes(rest);
  segment::finish_sector(sector);
  if (input[0] % 3 == 0) return check_decoder(sector, decode_cache_superblock, encode_cache_superblock);
  check_decoder(sector, decode_chunk_header, encode_chunk_header);
}

const Target target("cache_parts", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
