// SPDX-License-Identifier: GPL-3.0-or-later
// What commits and the object table say of objects, and references to pages and roots.
#include "base/check.h"
#include "volume/codec.h"
#include "volume/wire_format.h"

namespace s3crate::volume {
namespace {

using segment::ObjectKind;

constexpr std::size_t kObjectTableKeySize = 10;
constexpr std::uint8_t kHasHoles = 0x80;  // with the kind
// An empty page sealed: ring, nonce, tag, head, and three empty parts.
constexpr std::uint32_t kStoredPageMin = 4 + crypto::kSealOverhead + sizeof(wire::PageHead) + 3;
constexpr std::uint32_t kStoredPageMax = 4 + crypto::kSealOverhead + kPagePlainMax;

}  // namespace

void put_page_ref(ByteWriter& writer, const PageRef& ref) {
  put_object_key(writer, ref.object);
  writer.raw(ref.nonce);
  writer.varint(ref.offset);
  writer.varint(ref.length);
  writer.raw(ref.hash);
}

PageRef get_page_ref(ByteReader& reader) {
  PageRef ref;
  ref.object = get_object_key(reader);
  ref.nonce = reader.array<sizeof(ObjectNonce)>();
  ref.offset = static_cast<std::uint32_t>(get_up_to(reader, segment::kObjectBytesMax));
  ref.length = static_cast<std::uint32_t>(get_up_to(reader, kStoredPageMax));
  ref.hash = reader.array<sizeof(Hash)>();
  if (ref.offset < sizeof(wire::MapObject) || ref.length < kStoredPageMin ||
      std::uint64_t{ref.offset} + ref.length > segment::kObjectBytesMax)
    reader.fail();
  return ref;
}

Bytes encode_page_ref(const PageRef& ref) {
  Bytes out;
  ByteWriter writer(out);
  put_page_ref(writer, ref);
#ifndef NDEBUG
  const auto decoded = decode_page_ref(out);
  CHECK(decoded && *decoded == ref);
#endif
  return out;
}

Result<PageRef> decode_page_ref(ByteView bytes) {
  ByteReader reader(bytes);
  PageRef ref = get_page_ref(reader);
  if (!reader.done()) return fail(Code::kCorrupt, "a reference to a page is malformed");
  return ref;
}

void put_roots(ByteWriter& writer, const std::vector<TreeRoot>& roots) {
  writer.varint(roots.size());
  for (const TreeRoot& root : roots) {
    writer.u8(static_cast<std::uint8_t>(root.tree));
    writer.u8(root.level);
    writer.varint(root.origin);
    put_page_ref(writer, root.page);
  }
}

std::vector<TreeRoot> get_roots(ByteReader& reader) {
  std::vector<TreeRoot> roots(get_count(reader, 3 + kPageRefSizeMin, kRootsMax));
  std::uint32_t previous = 0;
  for (TreeRoot& root : roots) {
    const std::uint8_t tree = reader.u8();
    root.tree = TreeId{tree};
    root.level = reader.u8();
    root.origin = get_number<std::uint16_t>(reader);
    root.page = get_page_ref(reader);
    const std::uint32_t order = std::uint32_t{tree} << 16 | root.origin;
    if (!is_tree(tree) || root.level > kTreeLevelMax || order <= previous ||
        (root.origin != 0 && root.tree != TreeId::objects))
      reader.fail();
    if (!reader.ok()) return {};
    previous = order;
  }
  return roots;
}

Bytes encode_roots(const std::vector<TreeRoot>& roots) {
  Bytes out;
  ByteWriter writer(out);
  put_roots(writer, roots);
  return out;
}

void put_object_info(ByteWriter& writer, const ObjectInfo& info) {
  CHECK(!info.has_holes || info.kind == ObjectKind::segment);
  writer.u8(static_cast<std::uint8_t>(static_cast<std::uint8_t>(info.kind) |
                                      (info.has_holes ? kHasHoles : 0)));
  writer.varint(info.born.value);
  writer.varint(info.length);
  writer.varint(info.blocks);
  if (info.kind != ObjectKind::inline_extents) {
    writer.raw(info.nonce);
    writer.raw(info.hash);
  }
  if (info.kind == ObjectKind::segment) {
    writer.varint(info.index_offset);
    writer.varint(info.index_length);
  }
  if (info.kind != ObjectKind::map) {
    writer.varint(info.ring);
    writer.raw(info.sealed_secret);
  }
}

ObjectInfo get_object_info(ByteReader& reader, const ObjectKey& key) {
  ObjectInfo info;
  info.key = key;
  const std::uint8_t first = reader.u8();
  const std::uint8_t kind = first & ~kHasHoles;
  info.kind = ObjectKind{kind};
  info.has_holes = (first & kHasHoles) != 0;
  if (info.has_holes && info.kind != ObjectKind::segment) reader.fail();
  if (kind < static_cast<std::uint8_t>(ObjectKind::segment) ||
      kind > static_cast<std::uint8_t>(ObjectKind::inline_extents))
    reader.fail();
  info.born = Generation(get_up_to(reader, kNumberMax));
  info.length = get_up_to(reader, info.kind == ObjectKind::inline_extents
                                      ? kInlineBytesMax
                                      : segment::kObjectBytesMax);
  info.blocks = get_up_to(reader, segment::kDiskBlocksMax);
  if (info.kind != ObjectKind::inline_extents) {
    info.nonce = reader.array<sizeof(ObjectNonce)>();
    info.hash = reader.array<sizeof(Hash)>();
  }
  if (info.kind == ObjectKind::segment) {
    info.index_offset = get_up_to(reader, info.length);
    info.index_length = get_number<std::uint32_t>(reader);
    if (info.index_length > segment::kIndexBytesMax ||
        info.index_length > info.length - info.index_offset)
      reader.fail();
  }
  if (info.kind != ObjectKind::map) {
    info.ring = get_number<std::uint32_t>(reader);
    info.sealed_secret = reader.array<sizeof(segment::SealedSecret)>();
  }
  if (info.born == Generation(0)) reader.fail();
  return info;
}

Bytes object_table_key(const ObjectKey& key) {
  Bytes out;
  for (int shift = 8; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::uint8_t>(key.origin >> shift));
  for (int shift = 56; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::uint8_t>(key.id.value >> shift));
  return out;
}

Result<ObjectKey> parse_object_table_key(ByteView bytes) {
  if (bytes.size() != kObjectTableKeySize)
    return fail(Code::kCorrupt, "a key of the object table has {} bytes", bytes.size());
  ObjectKey key;
  key.origin = static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
  for (std::uint8_t byte : bytes.subspan(2)) key.id.value = key.id.value << 8 | byte;
  return key;
}

PageEntry encode_object_info(const ObjectInfo& info) {
  PageEntry entry{object_table_key(info.key), {}};
  ByteWriter writer(entry.value);
  put_object_info(writer, info);
#ifndef NDEBUG
  const auto decoded = decode_object_info(entry);
  CHECK(decoded && *decoded == info);
#endif
  return entry;
}

Result<ObjectInfo> decode_object_info(const PageEntry& entry) {
  const ObjectKey key = TRY(parse_object_table_key(entry.key));
  ByteReader reader(entry.value);
  ObjectInfo info = get_object_info(reader, key);
  if (!reader.done() || !segment::is_valid(key.id))
    return fail(Code::kCorrupt, "an entry of the object table is malformed");
  return info;
}

}  // namespace s3crate::volume
