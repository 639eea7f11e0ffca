// SPDX-License-Identifier: GPL-3.0-or-later
// The plain form of pages. A key is stored without what it shares with the key before it; that as
// much as possible is shared makes the form unique, and turns the check of the order into the
// comparison of one byte.
#include <algorithm>
#include <bit>

#include "base/check.h"
#include "volume/codec.h"
#include "volume/wire_format.h"

namespace s3crate::volume {
namespace {

constexpr std::size_t kEntrySizeMin = 3;
constexpr std::size_t kEntriesMax = kPagePlainMax / kEntrySizeMin;

std::size_t shared_prefix(ByteView a, ByteView b) {
  const std::size_t n = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<long>(n), b.begin()).first - a.begin());
}

constexpr std::size_t varint_size(std::uint64_t v) {
  return v == 0 ? 1 : (static_cast<std::size_t>(std::bit_width(v)) + 6) / 7;
}

bool is_level(PageKind kind, std::uint8_t level) {
  return kind == PageKind::inner ? level >= 1 && level <= kTreeLevelMax : level == 0;
}

void put_entry(ByteWriter& writer, ByteView previous, const PageEntry& entry) {
  const std::size_t shared = shared_prefix(previous, entry.key);
  writer.varint(shared);
  writer.varint(entry.key.size() - shared);
  writer.varint(entry.value.size());
  writer.raw(ByteView(entry.key).subspan(shared));
  writer.raw(entry.value);
}

// Fails the reader unless the key follows `previous` (or, as the first of a page, equals it).
void get_entry(ByteReader& reader, ByteView previous, bool is_first, PageEntry& entry) {
  const std::uint64_t shared = get_up_to(reader, previous.size());
  const std::uint64_t rest_size = get_up_to(reader, kPageKeyMax - shared);
  const std::uint64_t value_size = get_up_to(reader, kPagePlainMax);
  const ByteView rest = reader.raw(static_cast<std::size_t>(rest_size));
  const ByteView value = reader.raw(static_cast<std::size_t>(value_size));
  const bool extends = shared == previous.size() && (!rest.empty() || is_first);
  const bool exceeds = shared < previous.size() && !rest.empty() && rest[0] > previous[shared];
  if ((!extends && !exceeds) || shared + rest_size == 0) reader.fail();
  if (!reader.ok()) return;
  entry.key.reserve(static_cast<std::size_t>(shared + rest_size));
  append(entry.key, previous.first(static_cast<std::size_t>(shared)));
  append(entry.key, rest);
  entry.value.assign(value.begin(), value.end());
}

// What a page of this kind and tree holds decodes; a tree's own values other than runs are its
// readers' business.
Result<> check_values(const Page& page) {
  if (page.kind == PageKind::inner) {
    for (const PageEntry& entry : page.entries) TRY(decode_page_ref(entry.value));
  } else if (page.tree == TreeId::map) {
    BlockIndex end;
    for (const PageEntry& entry : page.entries) {
      const Run run = TRY(decode_run(entry));
      if (run.block < end) return fail(Code::kCorrupt, "runs of the map overlap");
      end = run.end();
    }
  }
  return {};
}

}  // namespace

std::size_t encoded_entry_bound(ByteView key, ByteView value) {
  return 2 * varint_size(key.size()) + varint_size(value.size()) + key.size() + value.size();
}

Bytes encode_page(const Page& page) {
  CHECK(page.base.has_value() == (page.kind == PageKind::delta) &&
        page.first_key.size() <= kPageKeyMax);
  Bytes out;
  ByteWriter writer(out);
  writer.wire(wire::PageHead{static_cast<std::uint8_t>(page.kind),
                             static_cast<std::uint8_t>(page.tree), page.level, 0});
  put_bytes(writer, page.first_key);
  if (page.base) put_page_ref(writer, *page.base);
  writer.varint(page.entries.size());
  ByteView previous = page.first_key;
  for (const PageEntry& entry : page.entries) {
    CHECK(!entry.key.empty() && entry.key.size() <= kPageKeyMax);
    put_entry(writer, previous, entry);
    previous = entry.key;
  }
  segment::put_extensions(writer, page.extensions);
  CHECK(out.size() <= kPagePlainMax);
#ifndef NDEBUG
  const auto decoded = decode_page(out);
  CHECK(decoded ? *decoded == page : is(decoded, Code::kUnsupported));
#endif
  return out;
}

Result<Page> decode_page(ByteView plain) {
  if (plain.size() > kPagePlainMax) return fail(Code::kCorrupt, "a page is too large");
  ByteReader reader(plain);
  const auto head = reader.wire<wire::PageHead>();
  Page page;
  page.kind = PageKind{head.kind};
  page.tree = TreeId{head.tree};
  page.level = head.level;
  if (!reader.ok() || head.kind < static_cast<std::uint8_t>(PageKind::leaf) ||
      head.kind > static_cast<std::uint8_t>(PageKind::delta) || !is_tree(head.tree) ||
      head.reserved != 0 || !is_level(page.kind, page.level))
    return fail(Code::kCorrupt, "a page has a malformed head");
  const ByteView first_key = get_bytes(reader, kPageKeyMax);
  page.first_key.assign(first_key.begin(), first_key.end());
  if (page.kind == PageKind::delta) page.base = get_page_ref(reader);
  page.entries.resize(get_count(reader, kEntrySizeMin, kEntriesMax));
  ByteView previous = page.first_key;
  for (std::size_t i = 0; i < page.entries.size() && reader.ok(); ++i) {
    get_entry(reader, previous, i == 0, page.entries[i]);
    previous = page.entries[i].key;
  }
  if (!reader.ok()) return fail(Code::kCorrupt, "a page is malformed");
  page.extensions = TRY(segment::get_extensions(reader, "a page"));
  TRY(check_values(page));
  return page;
}

}  // namespace s3crate::volume
