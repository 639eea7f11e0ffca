// SPDX-License-Identifier: GPL-3.0-or-later
// The journal's superblocks and slot headers: an input is the content without zeros at its end.
#include "journal/format.h"
#include "journal/wire_format.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace journal;

Bytes without_padding(Bytes sector) {
  sector.resize(wire::kSectorContent);
  while (!sector.empty() && sector.back() == 0) sector.pop_back();
  return sector;
}

std::vector<Bytes> seeds() {
  Superblock superblock;
  superblock.slot_bytes = 8 << 20;
  superblock.file_bytes = 1 << 30;
  superblock.incarnations = {
      {.number = 1, .ring = 0, .sealed_key = {}, .first_seq = Seq(1), .last_seq = Seq(9)},
      {.number = 2, .ring = 0, .sealed_key = {}, .first_seq = Seq(10), .last_seq = Seq(0)}};
  superblock.extensions = {{3, false, {1, 2}}};
  SlotHeader slot;
  slot.sequence = 1;
  return {choice(0, without_padding(encode_superblock(superblock))),
          choice(1, without_padding(encode_slot_header(slot)))};
}

void run(ByteView input) {
  if (input.empty() || input.size() > wire::kSectorContent) return;
  Bytes sector = to_bytes(input.subspan(1));
  sector.resize(wire::kSectorContent);
  append(sector, crypto::blake2b(sector));
  if (input[0] % 2 == 0) return check_decoder(sector, decode_superblock, encode_superblock);
  check_decoder(sector, decode_slot_header, encode_slot_header);
}

const Target target("journal_sector", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
