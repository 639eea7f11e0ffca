// SPDX-License-Identifier: GPL-3.0-or-later
// What a journal file holds, as found: slot headers, authentic records, and the chain they make.
//
// THE RULE OF THE CHAIN. A batch may stand in the file several times: whoever fails to make records
// durable abandons their slot and writes them again, in order, into slots of higher sequence
// (journal.h). A slot is begun either to go on (its first batch F follows the last one written) or
// to write again (F is the first batch that was not durable). Either way nothing from F on was
// durable when it was begun. So the slots of an incarnation are walked in order of sequence, and
// one whose first record is authentic *replaces* all that was walked from F on, provided that it
// connects:
//   - batch F-1 is in the walk, and the record's previous tag is that one's tag: so the copies of
//     one attempt are never continued by those of another whose own beginning did not reach the
//     disk; or
//   - F is at most committed+1, so all before it is in the store (the slots before it may have been
//     reused long ago).
// A slot that does not connect is passed over: it was begun by an attempt whose beginning is lost,
// so nothing in it was ever durable; or its beginning is damaged, which the claims show. Abandoned
// copies are therefore harmless whether they reached the disk or not: they count only until a slot
// that replaces them, and if that one did not reach the disk, they are authentic copies of the same
// batches, none of which was acknowledged.
//
// THE RULE OF DAMAGE. Every authentic record claims "all batches through k are durable". Claims
// count wherever the record is: behind a break, in a slot passed over, in one whose header is
// unreadable. A chain that ends before the highest claim is damage; one that ends behind it ends
// where the power went.
#pragma once

#include <optional>
#include <vector>

#include "crypto/crypto.h"
#include "io/file_io.h"
#include "journal/record.h"

namespace s3crate::journal {

struct Geometry {
  io::File& file;
  std::uint64_t file_size = 0;
  std::uint32_t slot_bytes = 0;
  std::uint32_t block_size = 0;
  Vid vid{};
  Uuid journal{};
  [[nodiscard]] std::uint32_t slots() const;  // whole ones in the file
  [[nodiscard]] std::uint64_t offset_of(std::uint32_t index) const {
    return kSlotsOffset + std::uint64_t{index} * slot_bytes;
  }
};

struct FoundSlot {
  std::uint32_t index = 0;
  std::optional<SlotHeader> header;  // none: not blank, but no header of this journal either
};
// All slots but blank ones, by (incarnation, sequence), those without a header last.
[[nodiscard]] Result<std::vector<FoundSlot>> find_slots(const Geometry& geometry);

struct FoundRecord {
  Seq seq;
  Tag previous{};
  Tag tag{};
  std::uint32_t slot = 0;    // index
  std::uint32_t offset = 0;  // in the slot
  std::uint32_t sealed_length = 0;
  std::uint32_t extents_length = 0;
  [[nodiscard]] std::uint32_t end() const {
    return offset + static_cast<std::uint32_t>(record_bytes(sealed_length, extents_length));
  }
};

// The plain headers of records that stand one behind the other from the slot's beginning. Not
// authenticated.
[[nodiscard]] Result<std::vector<FoundRecord>> list_headers(const Geometry& geometry,
                                                            const FoundSlot& slot);

// Reads records of one incarnation.
class Scanner {
 public:
  Scanner(const Geometry& geometry, const Incarnation& incarnation, const crypto::OpeningKey& key)
      : geometry_(geometry), incarnation_(incarnation), key_(key) {}

  struct Chain {
    std::vector<FoundRecord>
        records;  // seq after seq; the first is at most committed+1; empty if that is not there
    Seq claimed;  // the highest claim
  };
  // By the rules above. `slots` are in find_slots' order. kIo if what cannot be read may have been
  // needed.
  [[nodiscard]] Result<Chain> find_chain(const std::vector<FoundSlot>& slots, Seq committed);

  // The body of a record that was found, authenticated once more.
  [[nodiscard]] Result<RecordBody> read_body(const FoundRecord& record);
  // False if an extent is not what its digest says.
  [[nodiscard]] Result<bool> extents_match(const FoundRecord& record, const RecordBody& body);

 private:
  struct Scan {
    FoundSlot slot;
    std::vector<FoundRecord> chain;  // from the slot's beginning to its first break
    std::optional<Error> unreadable;
  };
  Scan scan(const FoundSlot& slot);
  Result<std::optional<FoundRecord>> read_record(const FoundSlot& slot, std::uint32_t offset);
  Result<std::size_t> intact_records(const Scan& scan);
  Scan best_copy(std::vector<Scan> copies);

  const Geometry& geometry_;
  const Incarnation& incarnation_;
  const crypto::OpeningKey& key_;
  Seq claimed_;
};

}  // namespace s3crate::journal
