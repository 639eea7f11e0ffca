// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/origins.h"

#include <algorithm>

#include "segment/object_names.h"
#include "store/origin_stores.h"
#include "volume/volume_object.h"

namespace s3crate::volume {
namespace {

Result<Bytes> table_key_as_seen(ByteView key, std::uint16_t n) {
  ObjectKey object = TRY(parse_object_table_key(key));
  TRY(as_seen_from_fork(object, n));
  return object_table_key(object);
}

Result<> entry_as_seen(const Page& page, PageEntry& entry, std::uint16_t n) {
  if (page.tree == TreeId::objects) entry.key = TRY(table_key_as_seen(entry.key, n));
  if (page.kind == PageKind::inner) {
    PageRef child = TRY(decode_page_ref(entry.value));
    TRY(as_seen_from_fork(child.object, n));
    entry.value = encode_page_ref(child);
  } else if (page.tree == TreeId::map) {
    Run run = TRY(decode_run(entry));
    TRY(as_seen_from_fork(run, n));
    entry = encode_run(run);
  }
  return {};
}

}  // namespace

std::string stored_name(const ObjectInfo& object) {
  return store::origin_name(object.key.origin, object.kind == segment::ObjectKind::inline_extents
                                                   ? segment::commit_name(object.born)
                                                   : segment::object_name(object.kind, object.key.id, object.nonce));
}

std::uint64_t extents_base(const ObjectInfo& object) {
  return object.kind == segment::ObjectKind::inline_extents ? commit_inline_offset() : 0;
}

std::string stored_name(const PageRef& page) {
  return store::origin_name(page.object.origin, segment::object_name(segment::ObjectKind::map, page.object.id, page.nonce));
}

Result<> as_seen_from_fork(ObjectKey& key, std::uint16_t n) {
  if (key.origin > kOriginsMax || n > kOriginsMax - key.origin) return fail(Code::kCorrupt, "origin {} of origin {}", key.origin, n);
  key.origin = static_cast<std::uint16_t>(key.origin + n);
  return {};
}

Result<> as_seen_from_fork(Run& run, std::uint16_t n) {
  return run.hole ? Result<>() : as_seen_from_fork(run.extent.object, n);
}

// Of the trees of an origin a fork reads the map and tables of objects.
Result<> as_seen_from_fork(Page& page, std::uint16_t n) {
  if (n == 0) return {};
  if (page.base) TRY(as_seen_from_fork(page.base->object, n));
  if (page.tree == TreeId::objects && !page.first_key.empty()) page.first_key = TRY(table_key_as_seen(page.first_key, n));
  for (PageEntry& entry : page.entries) TRY(entry_as_seen(page, entry, n));
  return {};
}

MaybeRoot origin_table(std::span<const TreeRoot> tables, std::uint16_t origin) {
  const auto found = std::ranges::find(tables, origin, &TreeRoot::origin);
  return found == tables.end() ? MaybeRoot() : MaybeRoot(*found);
}

}  // namespace s3crate::volume
