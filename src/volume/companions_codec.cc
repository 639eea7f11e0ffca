// SPDX-License-Identifier: GPL-3.0-or-later
// Rows of the companions, and what of them stands in a checkpoint's commit.
#include <algorithm>

#include "volume/codec.h"
#include "volume/companions.h"
#include "volume/rollback.h"

namespace s3crate::volume {
namespace {

constexpr std::uint16_t kLateExtension = 6;
constexpr std::size_t kObjectKeySize = 10;

void put_be64(Bytes& out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(value >> shift));
}
std::uint64_t be64(ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = value << 8 | bytes[i];
  return value;
}

MaybeRoot Companions::*root_member(TreeId tree) {
  switch (tree) {
    case TreeId::objects:
      return &Companions::objects;
    case TreeId::liveness:
      return &Companions::liveness;
    case TreeId::dead:
      return &Companions::dead;
    case TreeId::catalogue:
      return &Companions::catalogue;
    case TreeId::tags:
      return &Companions::tags;
    case TreeId::fingerprints:
      return &Companions::fingerprints;
    case TreeId::map:
      break;
  }
  return nullptr;
}

}  // namespace

PageEntry encode_liveness(const ObjectKey& key, const Liveness& liveness) {
  PageEntry entry{object_table_key(key), {}};
  ByteWriter writer(entry.value);
  writer.varint(liveness.live);
  writer.varint(liveness.died.value);
  return entry;
}

Result<std::pair<ObjectKey, Liveness>> decode_liveness(const PageEntry& entry) {
  if (entry.key.size() != kObjectKeySize)
    return fail(Code::kCorrupt, "a key of the liveness tree has {} bytes", entry.key.size());
  ObjectKey key;
  key.origin = static_cast<std::uint16_t>(entry.key[0] << 8 | entry.key[1]);
  key.id.value = be64(ByteView(entry.key).subspan(2));
  ByteReader reader(entry.value);
  Liveness liveness;
  liveness.live = get_up_to(reader, kLiveMax);
  liveness.died = Generation(get_up_to(reader, kNumberMax));
  if (!reader.done()) return fail(Code::kCorrupt, "an entry of the liveness tree is malformed");
  return std::pair(key, liveness);
}

PageEntry encode_dead(Generation died, const ObjectKey& key, Generation born) {
  PageEntry entry;
  put_be64(entry.key, died.value);
  append(entry.key, object_table_key(key));
  ByteWriter writer(entry.value);
  writer.varint(born.value);
  return entry;
}

PageEntry encode_catalogue(const CatalogueEntry& row) {
  PageEntry entry;
  put_be64(entry.key, row.generation.value);
  ByteWriter writer(entry.value);
  writer.u8(static_cast<std::uint8_t>(row.kind));
  writer.u64(from_time(row.time));
  writer.u64(from_time(row.store_time));
  writer.varint(row.bytes);
  writer.varint(row.disk_bytes);
  writer.raw(row.hash);
  return entry;
}

Result<CatalogueEntry> decode_catalogue(const PageEntry& entry) {
  if (entry.key.size() != 8)
    return fail(Code::kCorrupt, "a key of the catalogue has {} bytes", entry.key.size());
  CatalogueEntry row;
  row.generation = Generation(be64(entry.key));
  ByteReader reader(entry.value);
  const std::uint8_t kind = reader.u8();
  row.kind = CommitKind{kind};
  row.time = to_time(reader.u64());
  row.store_time = to_time(reader.u64());
  row.bytes = reader.varint();
  row.disk_bytes = get_up_to(reader, segment::kDiskBytesMax);
  row.hash = reader.array<sizeof(Hash)>();
  if (!reader.done() || kind < static_cast<std::uint8_t>(CommitKind::keys) ||
      kind > static_cast<std::uint8_t>(CommitKind::close))
    return fail(Code::kCorrupt, "an entry of the catalogue is malformed");
  return row;
}

PageEntry encode_tag(const TagEntry& row) {
  PageEntry entry{Bytes(row.name.begin(), row.name.end()), {}};
  ByteWriter writer(entry.value);
  writer.varint(row.generation.value);
  writer.u64(from_time(row.time));
  return entry;
}

Result<TagEntry> decode_tag(const PageEntry& entry) {
  TagEntry row;
  row.name.assign(entry.key.begin(), entry.key.end());
  ByteReader reader(entry.value);
  row.generation = Generation(get_up_to(reader, kNumberMax));
  row.time = to_time(reader.u64());
  if (!reader.done() || !is_tag_name(row.name)) return fail(Code::kCorrupt, "an entry of the tree of tags is malformed");
  return row;
}

Event event_of(const Commit& commit) {
  const CommitBody& body = commit.body;
  Event event;
  // What an import is to the history does not depend on how much it changes.
  const CommitKind kind = is_import(body) ? CommitKind::data : body.kind;
  event.entry = {.generation = commit.header.generation, .kind = kind, .time = body.time,
                 .store_time = body.store_time, .bytes = 0, .disk_bytes = body.disk_bytes,
                 .hash = commit.hash};
  for (const ObjectInfo& info : body.objects)
    if (info.born == commit.header.generation) event.entry.bytes += info.length;
  if (body.kind == CommitKind::tag || body.kind == CommitKind::untag) event.tags = body.tags;
  return event;
}

Companions companions_of(const CommitBody& checkpoint) {
  Companions companions;
  for (const TreeRoot& root : checkpoint.roots) {
    if (root.origin != 0) companions.origin_objects.push_back(root);
    else if (auto member = root_member(root.tree); member != nullptr) companions.*member = root;
  }
  for (const Extension& extension : checkpoint.extensions) {
    if (extension.type != kLateExtension) continue;
    if (auto late = Ledger::decode(extension.value)) companions.late = std::move(*late);
  }
  return companions;
}

void put_companions(const Companions& companions, CommitBody& checkpoint) {
  if (companions.objects) checkpoint.roots.push_back(*companions.objects);
  checkpoint.roots.insert(checkpoint.roots.end(), companions.origin_objects.begin(), companions.origin_objects.end());
  for (const MaybeRoot* root : {&companions.liveness, &companions.dead, &companions.catalogue, &companions.tags, &companions.fingerprints})
    if (*root) checkpoint.roots.push_back(**root);
  Bytes late = companions.late.encode(segment::kExtensionBytesMax);
  checkpoint.extensions.push_back({.type = kLateExtension, .critical = false, .value = std::move(late)});
  std::ranges::sort(checkpoint.extensions, {}, &Extension::type);
}

}  // namespace s3crate::volume
