// SPDX-License-Identifier: GPL-3.0-or-later
// Pages of the trees, and the map/ objects that hold many of them. s3crate-blk-format(5), "Map objects and pages".
//
// Keys are byte strings in memcmp order (numbers in them big-endian), values are opaque here, so that one codec and one
// tree serve the map, the object table and all others. Pure functions.
#pragma once

#include "volume/commit.h"

namespace s3crate::volume {

inline constexpr std::size_t kPagePlainMax = 64 << 10;
inline constexpr std::size_t kPageKeyMax = 512;
inline constexpr std::uint8_t kTreeLevelMax = 12;

enum class PageKind : std::uint8_t { leaf = 1, inner = 2, delta = 3 };  // never renumbered

struct PageEntry {
  Bytes key;
  Bytes value;  // leaf, delta: the tree's own; inner: an encoded PageRef
  friend bool operator==(const PageEntry&, const PageEntry&) = default;
};
struct Page {
  PageKind kind = PageKind::leaf;
  TreeId tree = TreeId::map;
  std::uint8_t level = 0;
  Bytes first_key;               // no entry is below it
  std::optional<PageRef> base;   // delta pages only: the page that this one amends
  std::vector<PageEntry> entries;  // strictly ascending; in the map the runs do not overlap
  std::vector<Extension> extensions;
  friend bool operator==(const Page&, const Page&) = default;
};
// Sizes of what encode_page would add for one entry, so that builders can fill pages without encoding twice.
[[nodiscard]] std::size_t encoded_entry_bound(ByteView key, ByteView value);
[[nodiscard]] Bytes encode_page(const Page& page);  // CHECKs kPagePlainMax
// Order, bounds and level verified; references of inner pages and runs of the map decode and do not overlap.
[[nodiscard]] Result<Page> decode_page(ByteView plain);

[[nodiscard]] Bytes encode_page_ref(const PageRef& ref);
[[nodiscard]] Result<PageRef> decode_page_ref(ByteView bytes);

// Map tree: key = be64 block; value = {count, hole | extent, first}.
[[nodiscard]] PageEntry encode_run(const Run& run);
[[nodiscard]] Result<Run> decode_run(const PageEntry& entry);
// Object table: key = be16 origin | be64 id.
[[nodiscard]] Bytes object_table_key(const ObjectKey& key);
[[nodiscard]] Result<ObjectKey> parse_object_table_key(ByteView key);
[[nodiscard]] PageEntry encode_object_info(const ObjectInfo& info);
[[nodiscard]] Result<ObjectInfo> decode_object_info(const PageEntry& entry);

struct MapObjectHeader {
  Vid vid{};
  ObjectId id;
  std::uint32_t flags = 0;
  friend bool operator==(const MapObjectHeader&, const MapObjectHeader&) = default;
};
[[nodiscard]] Bytes encode_map_object_header(const MapObjectHeader& header);
[[nodiscard]] Result<MapObjectHeader> decode_map_object_header(ByteView bytes);
[[nodiscard]] std::size_t map_object_header_size();

// Appends ring | nonce | ciphertext | tag to `object`, which begins with its header; answers where, and the hash.
// `page_key` from KDF(Mk_ring, "map page", vid of the writer).
[[nodiscard]] PageRef seal_page(const MapObjectHeader& header, const ObjectNonce& nonce, std::uint32_t ring, const Page& page,
                                const crypto::SealingKey& page_key, Random& random, Bytes& object);
[[nodiscard]] Result<std::uint32_t> sealed_page_ring(ByteView stored);
// Checks the hash, opens, decodes. The vid and id of `header` are those that the reference means.
[[nodiscard]] Result<Page> open_page(const MapObjectHeader& header, const PageRef& ref, ByteView stored,
                                     const crypto::OpeningKey& page_key);

}  // namespace s3crate::volume
