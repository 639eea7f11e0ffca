// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/map_leaf.h"

#include <algorithm>

namespace s3crate::volume {
namespace {

// What a delta page takes beside its entries: ring, nonce, tag, head, first key, and its base.
constexpr std::uint64_t kDeltaFrame = 150;

// As for_each_run_in(), of a page without a base, and clipped.
Result<bool> for_each_run_of_base(const Page& page, std::optional<ByteView> upper, BlockIndex from,
                                  BlockIndex to, const std::function<bool(const Run&)>& each) {
  for (std::size_t i = floor_entry(page, block_key(from)); i < page.entries.size(); ++i) {
    const Run run = TRY(run_at(page.entries, i, upper, page.kind));
    if (run.block >= to) break;
    if (run.end() > from && !each(clip(run, from, to))) return false;
  }
  return true;
}

}  // namespace

BlockKey block_key(BlockIndex block) {
  BlockKey key;
  for (std::size_t i = 0; i < key.size(); ++i)
    key[i] = static_cast<std::uint8_t>(block.value >> (56 - 8 * i));
  return key;
}

BlockIndex block_of(ByteView key) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = value << 8 | (i < key.size() ? key[i] : 0);
  return BlockIndex(value);
}

BlockIndex block_or_end(std::optional<ByteView> upper) {
  return upper ? block_of(*upper) : BlockIndex(~std::uint64_t{0});
}

Result<Run> run_at(std::span<const PageEntry> entries, std::size_t i,
                   std::optional<ByteView> upper, PageKind kind) {
  const Run run = TRY(decode_run(entries[i]));
  const BlockIndex limit =
      i + 1 < entries.size() ? block_of(entries[i + 1].key) : block_or_end(upper);
  if ((run.hole && kind != PageKind::delta) || run.count == 0 || run.block > limit ||
      run.count > limit - run.block) {
    return fail(Code::kCorrupt, "a run of {} blocks at block {} in the map that may not be there",
                run.count, run.block);
  }
  return run;
}

Result<bool> for_each_run_in(const Page& page, const Place& place, BlockIndex from, BlockIndex to,
                             const GetBase& get_base,
                             const std::function<bool(const Run&)>& each) {
  PagePtr base;
  BlockIndex at = std::max(from, block_of(page.first_key));
  to = std::min(to, block_or_end(place.upper));
  const auto base_up_to = [&](BlockIndex end) -> Result<bool> {
    if (page.kind != PageKind::delta || at >= end) return true;
    if (base == nullptr) base = TRY(get_base());
    return for_each_run_of_base(*base, place.upper, at, end, each);
  };
  for (std::size_t i = floor_entry(page, block_key(from)); i < page.entries.size(); ++i) {
    const Run run = TRY(run_at(page.entries, i, place.upper, page.kind));
    if (run.block >= to) break;
    if (run.end() <= from) continue;
    if (!TRY(base_up_to(run.block))) return false;
    if (!run.hole && !each(run)) return false;
    at = run.end();
  }
  return base_up_to(to);
}

bool is_delta_worth(std::uint64_t bytes, std::uint64_t new_bytes, std::uint64_t base_bytes) {
  if (4 * (bytes + kDeltaFrame) > base_bytes) return false;
  const std::uint64_t written = std::max<std::uint64_t>(1, bytes / std::max<std::uint64_t>(1, new_bytes));
  return written * (bytes / 2 + kDeltaFrame) <= base_bytes;
}

}  // namespace s3crate::volume
