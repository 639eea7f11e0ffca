// SPDX-License-Identifier: GPL-3.0-or-later
// Superblocks and slot headers: a sector each, zeros up to a hash of all before it.
#include <algorithm>
#include <bit>

#include "base/check.h"
#include "journal/format.h"
#include "journal/wire_format.h"
#include "segment/codec.h"
#include "segment/sector.h"

namespace s3crate::journal {
namespace {

using segment::finish_sector;
using segment::kNumberMax;
using segment::sector_content;

bool is_sound(const wire::SuperblockHead& w) {
  return w.reserved == 0 && std::has_single_bit<std::uint32_t>(w.slot_bytes) &&
         w.slot_bytes >= wire::kSlotBytesMin && w.slot_bytes <= wire::kSlotBytesMax &&
         w.file_bytes >= kSlotsOffset + w.slot_bytes && w.file_bytes <= kNumberMax &&
         w.intended_epoch <= segment::ObjectId::kEpochMax && w.incarnations <= kIncarnationsMax &&
         w.base <= kNumberMax && w.version <= wire::kCountedMax;
}

wire::SuperblockHead to_wire(const Superblock& s) {
  wire::SuperblockHead w;
  w.slot_bytes = s.slot_bytes;
  w.version = s.version;
  w.vid = s.vid;
  w.home = s.home;
  w.journal = s.journal;
  w.file_bytes = s.file_bytes;
  w.intended_epoch = s.intended_epoch;
  w.incarnations = static_cast<std::uint32_t>(s.incarnations.size());
  w.intended_instance = s.intended_instance;
  w.base = s.base.value;
  w.base_hash = s.base_hash;
  w.device = s.device;
  w.inode = s.inode;
  w.boot = s.boot;
  return w;
}

Superblock from_wire(const wire::SuperblockHead& w) {
  Superblock s;
  s.version = w.version;
  s.vid = w.vid;
  s.home = w.home;
  s.journal = w.journal;
  s.slot_bytes = w.slot_bytes;
  s.file_bytes = w.file_bytes;
  s.intended_epoch = w.intended_epoch;
  s.intended_instance = w.intended_instance;
  s.base = Generation(w.base);
  s.base_hash = w.base_hash;
  s.device = w.device;
  s.inode = w.inode;
  s.boot = w.boot;
  return s;
}

// Numbers ascend; only the last incarnation may be open-ended.
Result<std::vector<Incarnation>> get_incarnations(ByteReader& reader, std::size_t count) {
  std::vector<Incarnation> list(count);
  std::uint32_t previous = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto w = reader.wire<wire::IncarnationEntry>();
    list[i] = {w.number, w.ring, w.sealed_key, Seq(w.first_seq), Seq(w.last_seq)};
    const bool open_ended = w.last_seq == 0;
    if (!reader.ok() || w.number <= previous || w.first_seq < 1 || w.first_seq > kNumberMax ||
        w.last_seq > kNumberMax || (open_ended ? i + 1 != count : w.first_seq > w.last_seq + 1))
      return fail(Code::kCorrupt, "the journal's list of incarnations is malformed");
    previous = w.number;
  }
  return list;
}

// The zeros at the end belong to no part, so extensions are read without them.
Result<std::vector<Extension>> get_padded_extensions(ByteReader& reader, std::string_view what) {
  const ByteView rest = reader.rest();
  ByteReader probe(rest);
  const std::size_t count = segment::get_count(probe, 4, segment::kExtensionsMax);
  for (std::size_t i = 0; i < count; ++i) {
    (void)probe.raw(3);  // type and flags
    (void)segment::get_bytes(probe, segment::kExtensionBytesMax);
  }
  if (!probe.ok() || !all_zero(probe.rest())) return fail(Code::kCorrupt, "{} is malformed", what);
  ByteReader list(rest.first(rest.size() - probe.rest().size()));
  return segment::get_extensions(list, what);
}

constexpr std::uint16_t kTriedExtension = 1, kNotedExtension = 2, kStoredExtension = 3, kUrlExtension = 4;

const Extension* find_extension(const Superblock& superblock, std::uint16_t type) {
  const auto found = std::ranges::find(superblock.extensions, type, &Extension::type);
  return found == superblock.extensions.end() ? nullptr : &*found;
}

}  // namespace

std::vector<Uuid> tried_instances(const Superblock& superblock) {
  std::vector<Uuid> out;
  const Extension* found = find_extension(superblock, kTriedExtension);
  if (found == nullptr) return out;
  ByteReader reader(found->value);
  while (!reader.done() && out.size() < kTriedMax) {
    const Uuid instance = reader.array<sizeof(Uuid)>();
    if (!reader.ok()) break;
    out.push_back(instance);
  }
  return out;
}

void set_tried_instances(Superblock& superblock, std::span<const Uuid> tried) {
  std::erase_if(superblock.extensions, [](const Extension& e) { return e.type == kTriedExtension; });
  if (tried.empty()) return;
  Extension extension{kTriedExtension, false, {}};
  ByteWriter writer(extension.value);
  for (const Uuid& instance : tried.last(std::min(tried.size(), kTriedMax))) writer.raw(instance);
  segment::replace_extension(superblock.extensions, std::move(extension));
}

std::optional<NotedCommits> noted_commits(const Superblock& superblock) {
  const Extension* found = find_extension(superblock, kNotedExtension);
  if (found == nullptr) return std::nullopt;
  ByteReader reader(found->value);
  NotedCommits out;
  out.stored = Generation(reader.u64());
  out.stored_hash = reader.array<sizeof(Hash)>();
  out.sent = Generation(reader.u64());
  out.sent_hash = reader.array<sizeof(Hash)>();
  if (!reader.done()) return std::nullopt;
  if (const Extension* stored = find_extension(superblock, kStoredExtension)) {
    ByteReader seq(stored->value);
    const std::uint64_t through = seq.u64();
    if (seq.done()) out.stored_through = Seq(through);
  }
  return out;
}

Seq stored_through(const Superblock& superblock) {
  const auto noted = noted_commits(superblock);
  return noted ? noted->stored_through : Seq(0);
}

void set_noted_commits(Superblock& superblock, const NotedCommits& noted) {
  Extension extension{kNotedExtension, false, {}};
  ByteWriter writer(extension.value);
  writer.u64(noted.stored.value);
  writer.raw(noted.stored_hash);
  writer.u64(noted.sent.value);
  writer.raw(noted.sent_hash);
  segment::replace_extension(superblock.extensions, std::move(extension));
  Extension stored{kStoredExtension, false, {}};
  ByteWriter(stored.value).u64(noted.stored_through.value);
  segment::replace_extension(superblock.extensions, std::move(stored));
}

std::string noted_url(const Superblock& superblock) {
  const Extension* found = find_extension(superblock, kUrlExtension);
  return found == nullptr || found->value.size() > kNotedUrlMax ? std::string() : std::string(found->value.begin(), found->value.end());
}

void set_noted_url(Superblock& superblock, std::string_view url) {
  std::erase_if(superblock.extensions, [](const Extension& e) { return e.type == kUrlExtension; });
  if (url.empty() || url.size() > kNotedUrlMax) return;
  const ByteView bytes = as_bytes(url);
  segment::replace_extension(superblock.extensions, {kUrlExtension, false, Bytes(bytes.begin(), bytes.end())});
}

Bytes encode_superblock(const Superblock& superblock) {
  Bytes out;
  out.reserve(kSectorBytes);
  ByteWriter writer(out);
  writer.wire(to_wire(superblock));
  for (const Incarnation& i : superblock.incarnations)
    writer.wire(wire::IncarnationEntry{i.number, i.ring, i.sealed_key, i.first_seq.value,
                                       i.last_seq.value});
  segment::put_extensions(writer, superblock.extensions);
  finish_sector(out);
#ifndef NDEBUG
  const auto decoded = decode_superblock(out);
  CHECK(decoded ? *decoded == superblock : is(decoded, Code::kUnsupported));
#endif
  return out;
}

Result<Superblock> decode_superblock(ByteView sector) {
  const ByteView content = TRY(sector_content(sector, "a journal's superblock"));
  ByteReader reader(content);
  const auto w = reader.wire<wire::SuperblockHead>();
  if (w.magic != wire::kSuperblockMagic) return fail(Code::kCorrupt, "this is no journal");
  if (w.format != wire::kVersion)
    return fail(Code::kUnsupported, "a journal of format {} needs another version of this program",
                static_cast<std::uint16_t>(w.format));
  if (!is_sound(w)) return fail(Code::kCorrupt, "a journal's superblock is malformed");
  Superblock superblock = from_wire(w);
  superblock.incarnations = TRY(get_incarnations(reader, w.incarnations));
  superblock.extensions = TRY(get_padded_extensions(reader, "a journal's superblock"));
  return superblock;
}

Bytes encode_slot_header(const SlotHeader& header) {
  wire::Slot w;
  w.incarnation = header.incarnation;
  w.journal = header.journal;
  w.sequence = header.sequence;
  w.first_seq = header.first_seq.value;
  Bytes out;
  ByteWriter(out).wire(w);
  finish_sector(out);
  return out;
}

Result<SlotHeader> decode_slot_header(ByteView sector) {
  const ByteView content = TRY(sector_content(sector, "a slot of the journal"));
  ByteReader reader(content);
  const auto w = reader.wire<wire::Slot>();
  if (w.magic != wire::kSlotMagic) return fail(Code::kCorrupt, "this is no slot of a journal");
  if (w.version != wire::kVersion)
    return fail(Code::kUnsupported, "a journal's slot needs another version of this program");
  if (w.reserved != 0 || w.first_seq > kNumberMax || w.sequence > wire::kCountedMax || !all_zero(reader.rest()))
    return fail(Code::kCorrupt, "a slot's header is malformed");
  SlotHeader header;
  header.journal = w.journal;
  header.incarnation = w.incarnation;
  header.sequence = w.sequence;
  header.first_seq = Seq(w.first_seq);
  return header;
}

}  // namespace s3crate::journal
