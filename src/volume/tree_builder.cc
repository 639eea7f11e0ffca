// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/tree_builder.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace s3crate::volume {
namespace {

// What a page takes beside its entries: a first key and the fixed fields, with room to spare.
constexpr std::size_t kPageFrameMax = kPageKeyMax + 512;

std::size_t bytes_of(const PageEntry& entry) { return encoded_entry_bound(entry.key, entry.value); }

}  // namespace

TreeBuilder::TreeBuilder(PageWriter& writer, TreeId tree)
    : writer_(writer),
      tree_(tree),
      page_bytes_(std::min(writer.target().page_bytes, kPagePlainMax - kPageFrameMax)) {}

TreeBuilder::Level& TreeBuilder::level(std::size_t number) {
  if (number >= levels_.size()) levels_.resize(number + 1);
  return levels_[number];
}

// An inner page holds min_fanout children however small pages are, or the tree would not get
// narrower upwards.
bool TreeBuilder::fits(std::size_t number, std::size_t bytes, std::size_t count) const {
  return bytes <= page_bytes_ || count <= (number == 0 ? 1 : writer_.target().min_fanout);
}

std::size_t TreeBuilder::front_that_fits(std::size_t number) const {
  const Level& level = levels_[number];
  std::size_t bytes = 0, count = 0;
  while (count < level.entries.size()) {
    bytes += bytes_of(level.entries[count]);
    if (!fits(number, bytes, count + 1)) break;
    ++count;
  }
  return count;
}

std::size_t TreeBuilder::first_half(std::size_t number) const {
  const Level& level = levels_[number];
  std::size_t bytes = 0, count = 0;
  while (2 * bytes < level.bytes) bytes += bytes_of(level.entries[count++]);
  return count;
}

Result<> TreeBuilder::add_to(std::size_t number, PageEntry entry) {
  Level& to = level(number);
  CHECK(to.entries.empty() || compare(to.entries.back().key, entry.key) < 0);
  to.bytes += bytes_of(entry);
  to.entries.push_back(std::move(entry));
  // More than two pages' worth.
  if (!fits(number, to.bytes / 2, to.entries.size() / 2))
    TRY(write_front(number, front_that_fits(number)));
  return {};
}

Result<> TreeBuilder::write_front(std::size_t number, std::size_t count) {
  if (number > kTreeLevelMax)
    return fail(Code::kCorrupt, "a tree of more than {} levels", kTreeLevelMax);
  Level& from = level(number);
  CHECK(count > 0 && count <= from.entries.size());
  Page page;
  page.kind = number == 0 ? PageKind::leaf : PageKind::inner;
  page.tree = tree_;
  page.level = static_cast<std::uint8_t>(number);
  const auto end = from.entries.begin() + static_cast<std::ptrdiff_t>(count);
  page.entries.assign(std::move_iterator(from.entries.begin()), std::move_iterator(end));
  from.entries.erase(from.entries.begin(), end);
  for (const PageEntry& entry : page.entries) from.bytes -= bytes_of(entry);
  from.old = nullptr;
  page.first_key = page.entries.front().key;
  Bytes first_key = page.first_key;
  const PageRef ref = TRY(writer_.write(std::move(page)));
  return add_to(number + 1, {std::move(first_key), encode_page_ref(ref)});
}

Result<> TreeBuilder::flush(std::size_t number) {
  while (!level(number).entries.empty()) {
    const Level& from = level(number);
    std::size_t count = front_that_fits(number);
    if (count < from.entries.size()) {
      const std::size_t half = first_half(number);
      if (half < count) count = half;
    }
    TRY(write_front(number, count));
  }
  return {};
}

Result<> TreeBuilder::add(PageEntry entry) {
  CHECK(bytes_of(entry) <= kPagePlainMax - kPageFrameMax);
  return add_to(0, std::move(entry));
}

Result<> TreeBuilder::keep(std::uint8_t level, ByteView first_key, const PageRef& page) {
  for (std::size_t number = 0; number <= level; ++number) TRY(flush(number));
  return add_to(level + std::size_t{1},
                {Bytes(first_key.begin(), first_key.end()), encode_page_ref(page)});
}

Result<> TreeBuilder::amend(Page delta) {
  const Bytes first_key = delta.first_key;
  const PageRef ref = TRY(writer_.write(std::move(delta)));
  return keep(0, first_key, ref);
}

const PageEntry* TreeBuilder::last() const {
  if (levels_.empty() || levels_[0].entries.empty()) return nullptr;
  return &levels_[0].entries.back();
}

void TreeBuilder::replace_last(PageEntry entry) {
  CHECK(last() != nullptr && equal(last()->key, entry.key));
  Level& leaves = levels_[0];
  leaves.bytes -= bytes_of(leaves.entries.back());
  leaves.bytes += bytes_of(entry);
  leaves.entries.back() = std::move(entry);
}

void TreeBuilder::page_begins(const Place& place, const PagePtr& page) {
  for (std::size_t number = 0; number <= place.level; ++number) {
    if (!level(number).entries.empty()) return;
  }
  Level& at = level(place.level);
  at.old = page;
  at.old_ref = place.page;
}

Result<bool> TreeBuilder::page_ends(std::uint8_t number) {
  Level& at = level(number);
  const PagePtr old = std::exchange(at.old, nullptr);
  for (std::size_t below = 0; below < number; ++below) {
    if (!levels_[below].entries.empty()) return false;
  }
  if (old == nullptr || at.entries != old->entries) return false;
  at.entries.clear();
  at.bytes = 0;
  TRY(add_to(number + std::size_t{1}, {old->first_key, encode_page_ref(at.old_ref)}));
  return true;
}

bool TreeBuilder::empty_above(std::size_t number) const {
  for (std::size_t above = number + 1; above < levels_.size(); ++above) {
    if (!levels_[above].entries.empty()) return false;
  }
  return true;
}

Result<MaybeRoot> TreeBuilder::finish() {
  for (std::size_t number = 0;; ++number) {
    Level& top = level(number);
    if (empty_above(number)) {
      if (top.entries.empty()) return MaybeRoot{};
      // One page needs no page above it.
      if (number > 0 && top.entries.size() == 1) {
        const PageRef root = TRY(decode_page_ref(top.entries[0].value));
        return MaybeRoot{TreeRoot{tree_, static_cast<std::uint8_t>(number - 1), root}};
      }
    }
    TRY(flush(number));
  }
}

}  // namespace s3crate::volume
