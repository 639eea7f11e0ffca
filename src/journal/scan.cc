// SPDX-License-Identifier: GPL-3.0-or-later
#include "journal/scan.h"

#include <algorithm>
#include <tuple>

namespace s3crate::journal {
namespace {

using Sector = std::array<std::uint8_t, kSectorBytes>;

// The header at an offset of a slot, if one of this journal stands there whole within the slot.
Result<std::optional<RecordHeader>> read_header(const Geometry& geometry, std::uint32_t slot,
                                                std::uint32_t offset, MutableByteView bytes) {
  TRY(geometry.file.read_at(geometry.offset_of(slot) + offset, bytes));
  auto header = decode_record_header(bytes);
  if (!header || header->journal != geometry.journal ||
      header->sealed_length < crypto::kSealOverhead ||
      header->sealed_length > kRecordBodyMax + crypto::kSealOverhead ||
      record_bytes(header->sealed_length, header->extents_length) > geometry.slot_bytes - offset) {
    return std::nullopt;
  }
  return *header;
}

FoundRecord found(const RecordHeader& header, std::uint32_t slot, std::uint32_t offset) {
  return {header.seq,           header.previous_tag,  {}, slot, offset,
          header.sealed_length, header.extents_length};
}

bool is_in(const RecordHeader& record, const SlotHeader& slot) {
  return record.incarnation == slot.incarnation && record.slot_sequence == slot.sequence;
}

}  // namespace

std::uint32_t Geometry::slots() const {
  return file_size < kSlotsOffset
             ? 0
             : static_cast<std::uint32_t>((file_size - kSlotsOffset) / slot_bytes);
}

Result<std::vector<FoundSlot>> find_slots(const Geometry& geometry) {
  std::vector<FoundSlot> slots;
  Sector sector;
  for (std::uint32_t i = 0; i < geometry.slots(); ++i) {
    TRY(geometry.file.read_at(geometry.offset_of(i), sector));
    auto header = decode_slot_header(sector);
    if (header && header->journal == geometry.journal) {
      slots.push_back({i, *header});
    } else if (!all_zero(sector)) {
      slots.push_back({i, std::nullopt});
    }
  }
  std::stable_sort(slots.begin(), slots.end(), [](const FoundSlot& a, const FoundSlot& b) {
    if (!a.header || !b.header) return a.header.has_value() && !b.header.has_value();
    return std::tie(a.header->incarnation, a.header->sequence) <
           std::tie(b.header->incarnation, b.header->sequence);
  });
  return slots;
}

Result<std::vector<FoundRecord>> list_headers(const Geometry& geometry, const FoundSlot& slot) {
  std::vector<FoundRecord> records;
  Bytes bytes(record_header_size());
  for (std::uint32_t offset = kSectorBytes; slot.header && offset < geometry.slot_bytes;
       offset = records.back().end()) {
    auto header = TRY(read_header(geometry, slot.index, offset, bytes));
    const Seq expected = records.empty() ? slot.header->first_seq : records.back().seq.next();
    if (!header || !is_in(*header, *slot.header) || header->seq != expected) break;
    records.push_back(found(*header, slot.index, offset));
  }
  return records;
}

Result<std::optional<FoundRecord>> Scanner::read_record(const FoundSlot& slot,
                                                        std::uint32_t offset) {
  Bytes bytes(record_header_size());
  auto header = TRY(read_header(geometry_, slot.index, offset, bytes));
  if (!header || header->incarnation != incarnation_.number) return std::nullopt;
  if (slot.header && !is_in(*header, *slot.header)) return std::nullopt;
  Bytes sealed(header->sealed_length);
  TRY(geometry_.file.read_at(geometry_.offset_of(slot.index) + offset + bytes.size(), sealed));
  Bytes additional(geometry_.vid.begin(), geometry_.vid.end());
  append(additional, bytes);
  Bytes plain;
  if (!key_.open(sealed, additional, plain)) return std::nullopt;
  claimed_ = std::max(claimed_, header->durable_through);
  FoundRecord record = found(*header, slot.index, offset);
  std::copy_n(sealed.end() - crypto::kTagSize, crypto::kTagSize, record.tag.begin());
  return record;
}

// Goes on behind a break, sector by sector, for the claims.
Scanner::Scan Scanner::scan(const FoundSlot& slot) {
  Scan scan{slot, {}, {}};
  bool unbroken = slot.header.has_value();
  for (std::uint32_t offset = kSectorBytes; offset < geometry_.slot_bytes;) {
    auto record = read_record(slot, offset);
    if (!record) {
      scan.unreadable = record.error();
      break;
    }
    if (unbroken && *record) {
      const auto& chain = scan.chain;
      unbroken = chain.empty() ? (*record)->seq == slot.header->first_seq
                               : (*record)->seq == chain.back().seq.next() &&
                                     (*record)->previous == chain.back().tag;
    } else {
      unbroken = false;
    }
    if (unbroken) scan.chain.push_back(**record);
    offset = *record ? (*record)->end() : offset + kSectorBytes;
  }
  return scan;
}

// How many records from the beginning are right down to their extents.
Result<std::size_t> Scanner::intact_records(const Scan& scan) {
  std::size_t n = 0;
  for (; n < scan.chain.size(); ++n) {
    if (!TRY(extents_match(scan.chain[n], TRY(read_body(scan.chain[n]))))) break;
  }
  return n;
}

// Two slots of one sequence: a replay copied one of them (replay.cc), perhaps not to its end; or
// the one it copied from turned out to have been in the page cache only. Records are the same in
// both wherever they are right. One that cannot be read may be the better one.
Scanner::Scan Scanner::best_copy(std::vector<Scan> copies) {
  if (copies.size() == 1) return std::move(copies[0]);
  std::size_t best = 0;
  std::size_t best_length = 0;
  std::optional<Error> unreadable;
  for (std::size_t i = 0; i < copies.size(); ++i) {
    const auto length = intact_records(copies[i]);
    if (!length) unreadable = length.error();
    if (copies[i].unreadable) unreadable = copies[i].unreadable;
    if (length && *length > best_length) best = i, best_length = *length;
  }
  copies[best].unreadable = unreadable;
  return std::move(copies[best]);
}

Result<Scanner::Chain> Scanner::find_chain(const std::vector<FoundSlot>& slots, Seq committed) {
  std::vector<FoundSlot> mine;
  for (const FoundSlot& slot : slots) {
    if (slot.header && slot.header->incarnation == incarnation_.number) mine.push_back(slot);
    if (!slot.header) scan(slot);
  }
  // From the newest back to the first that all of its predecessors can be spared for.
  std::vector<Scan> scans;
  while (!mine.empty()) {
    std::vector<Scan> copies;
    const std::uint64_t sequence = mine.back().header->sequence;
    for (; !mine.empty() && mine.back().header->sequence == sequence; mine.pop_back())
      copies.push_back(scan(mine.back()));
    scans.push_back(best_copy(std::move(copies)));
    if (!scans.back().chain.empty() && scans.back().chain[0].seq <= committed.next()) break;
  }
  Chain chain;
  std::vector<FoundRecord>& walk = chain.records;
  std::optional<Error> unreadable;
  for (auto scan = scans.rbegin(); scan != scans.rend(); ++scan) {
    const std::vector<FoundRecord>& next = scan->chain;
    const Seq first = scan->slot.header->first_seq;
    bool connects = !next.empty() && first <= committed.next();
    if (!next.empty() && !walk.empty() && first > walk.front().seq &&
        first <= walk.back().seq.next()) {
      connects = connects || next[0].previous == walk[first - walk.front().seq - 1].tag;
    }
    if (connects) {
      const bool all = walk.empty() || first <= walk.front().seq;
      walk.resize(all ? 0 : first - walk.front().seq);
      walk.insert(walk.end(), next.begin(), next.end());
      unreadable = scan->unreadable;
    } else if (scan->unreadable) {
      unreadable = scan->unreadable;
    }
  }
  if (unreadable) return fail(unreadable->within("journal"));
  chain.claimed = claimed_;
  return chain;
}

Result<RecordBody> Scanner::read_body(const FoundRecord& record) {
  Bytes bytes(record_header_size() + record.sealed_length);
  TRY(geometry_.file.read_at(geometry_.offset_of(record.slot) + record.offset, bytes));
  const ByteView header = ByteView(bytes).first(record_header_size());
  Bytes additional(geometry_.vid.begin(), geometry_.vid.end());
  append(additional, header);
  Bytes plain;
  TRY(key_.open(ByteView(bytes).subspan(header.size()), additional, plain));
  return decode_record_body(plain, record.extents_length, geometry_.block_size);
}

Result<bool> Scanner::extents_match(const FoundRecord& record, const RecordBody& body) {
  Bytes extents(record.extents_length);
  TRY(geometry_.file.read_at(geometry_.offset_of(record.slot) + record.offset +
                                 record_header_size() + record.sealed_length,
                             extents));
  return std::all_of(body.extents.begin(), body.extents.end(), [&](const RecordExtent& extent) {
    return crypto::digest(ByteView(extents).subspan(extent.offset, extent.length)) == extent.digest;
  });
}

}  // namespace s3crate::journal
