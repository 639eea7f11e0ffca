// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/ledger.h"

#include <algorithm>

#include "base/check.h"
#include "volume/codec.h"
#include "volume/companions.h"
#include "volume/tree_read.h"

namespace s3crate::volume {
namespace {

constexpr std::size_t kNetMax = 1 << 16;
constexpr std::size_t kDroppedMax = 1 << 10;

std::uint64_t zigzag(std::int64_t value) {
  return static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63);
}
std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

void put_dropped(ByteWriter& writer, const Ledger::Dropped& dropped) {
  writer.u8(dropped.level);
  put_page_ref(writer, dropped.page);
  put_bytes(writer, dropped.from);
  put_bytes(writer, dropped.to);
}

Ledger::Dropped get_dropped(ByteReader& reader) {
  Ledger::Dropped dropped;
  dropped.level = reader.u8();
  dropped.page = get_page_ref(reader);
  const ByteView from = get_bytes(reader, kPageKeyMax);
  dropped.from.assign(from.begin(), from.end());
  const ByteView to = get_bytes(reader, kPageKeyMax);
  dropped.to.assign(to.begin(), to.end());
  if (dropped.level < 1 || dropped.level > kTreeLevelMax) reader.fail();
  return dropped;
}

}  // namespace

// What came back, as most of a page that is written anew does, leaves nothing: an update that writes
// many pages would else remember most objects of the disk.
void Ledger::count(const ObjectKey& object, std::int64_t change) {
  const auto at = net_.try_emplace(object, 0).first;
  at->second += change;
  if (at->second == 0) net_.erase(at);
}

void Ledger::add(const Run& run) {
  if (!run.hole) count(run.extent.object, static_cast<std::int64_t>(run.count));
}

void Ledger::forget(const Run& run) {
  if (!run.hole) count(run.extent.object, -static_cast<std::int64_t>(run.count));
}

void Ledger::forget_runs(const Page& page) {
  for (const PageEntry& entry : page.entries)
    if (const auto run = decode_run(entry)) forget(*run);
}

void Ledger::forget_page(const PageRef& page) { count(page.object, -1); }

void Ledger::drop(const Dropped& dropped) {
  if (dropped.page.object.origin != 0) return;  // below it nothing is this volume's, and of an origin nothing is counted
  if (!dropped_.empty() && dropped_.back().page == dropped.page && dropped_.back().to == dropped.from &&
      !dropped.from.empty()) {
    dropped_.back().to = dropped.to;
  } else {
    dropped_.push_back(dropped);
  }
}

struct Ledger::Walk {
  PageLoader& loader;
  Ledger& ledger;
  std::size_t pages_max;
  const std::function<bool()>& stopped;
  std::size_t pages = 0;

  // nullptr: it cannot be read.
  Result<PagePtr> page(const PageRef& ref, std::uint8_t level) {
    ++pages;
    auto page = loader.load(ref);
    if (is(page, Code::kTransient) || is(page, Code::kCancelled) || is(page, Code::kDenied)) return page;
    if (!page || (*page)->level != level || (*page)->tree != TreeId::map) return PagePtr();
    return page;
  }

  Result<> leaf(const PageRef& ref, const Page& page) {
    ledger.forget_runs(page);
    ledger.forget_page(ref);
    if (!page.base) return {};
    const PagePtr base = TRY(this->page(*page.base, 0));
    if (base == nullptr) return {};
    ledger.forget_runs(*base);
    ledger.forget_page(*page.base);
    return {};
  }

  // Leaves side by side: of the children of `page` from `at` on, below `to`. Answers which one to go
  // on with.
  Result<std::size_t> load_ahead(const Page& page, std::size_t at, ByteView to) {
    if (stopped && stopped()) return fail(Code::kCancelled, "no more pages are wanted");
    std::vector<PageRef> leaves;
    const std::size_t most = std::min(pages_max - pages, PageLoader::kAheadMax);
    for (std::size_t i = at; i < page.entries.size() && leaves.size() < most; ++i) {
      if (!to.empty() && compare(page.entries[i].key, to) >= 0) break;
      leaves.push_back(TRY(decode_page_ref(page.entries[i].value)));
    }
    return at + std::max<std::size_t>(1, loader.load_ahead(leaves));
  }

  // Whether all below the children of `page` in [from, to) was walked; else `from` says where to go on:
  // the first key of a leaf.
  Result<bool> children(const Page& page, Bytes& from, ByteView to) {
    std::size_t looked = 0;
    for (std::size_t i = floor_entry(page, from); i < page.entries.size(); ++i) {
      const PageEntry& entry = page.entries[i];
      if (!to.empty() && compare(entry.key, to) >= 0) break;
      if (compare(from, entry.key) < 0) from = entry.key;
      if (pages >= pages_max) return false;
      if (page.level == 1 && i >= looked) looked = TRY(load_ahead(page, i, to));
      const PageRef ref = TRY(decode_page_ref(entry.value));
      if (ref.object.origin != 0) continue;
      const auto level = static_cast<std::uint8_t>(page.level - 1);
      const PagePtr child = TRY(this->page(ref, level));
      if (child == nullptr) continue;
      if (level == 0) {
        TRY(leaf(ref, *child));
      } else {
        if (!TRY(children(*child, from, {}))) return false;
        ledger.forget_page(ref);
      }
    }
    return true;
  }
};

Result<> Ledger::walk(PageLoader& loader, std::size_t pages_max, std::size_t dropped_max,
                      const std::function<bool()>& stopped) {
  Walk walk{loader, *this, pages_max, stopped};
  while (!dropped_.empty()) {
    if (dropped_.size() > dropped_max) walk.pages_max = walk.pages + pages_max;
    if (walk.pages >= walk.pages_max) break;
    Dropped& last = dropped_.back();
    const PagePtr page = TRY(walk.page(last.page, last.level));
    if (page != nullptr && !TRY(walk.children(*page, last.from, last.to))) continue;
    dropped_.pop_back();
  }
  return {};
}

Bytes Ledger::encode(std::size_t bytes_max) const {
  constexpr std::size_t kNetBytes = 24;
  std::size_t room = bytes_max - std::min<std::size_t>(bytes_max, 16);
  Bytes notes;
  std::size_t dropped = 0;
  for (; dropped < std::min(dropped_.size(), kDroppedMax); ++dropped) {
    Bytes note;
    ByteWriter note_writer(note);
    put_dropped(note_writer, dropped_[dropped]);
    if (notes.size() + note.size() > room) break;
    append(notes, note);
  }
  room -= notes.size();
  std::size_t net = std::min({net_.size(), kNetMax, room / kNetBytes});
  Bytes out;
  ByteWriter writer(out);
  writer.varint(net);
  for (auto it = net_.begin(); net > 0; ++it, --net) {
    put_object_key(writer, it->first);
    writer.varint(zigzag(it->second));
  }
  writer.varint(dropped);
  writer.raw(notes);
  return out;
}

Result<Ledger> Ledger::decode(ByteView bytes) {
  ByteReader reader(bytes);
  Ledger ledger;
  for (std::size_t n = get_count(reader, 4, kNetMax); n > 0 && reader.ok(); --n) {
    const ObjectKey key = get_object_key(reader);
    const std::uint64_t change = get_up_to(reader, 2 * kLiveMax);
    if (change != 0) ledger.net_[key] = unzigzag(change);
  }
  for (std::size_t n = get_count(reader, kPageRefSizeMin, kDroppedMax); n > 0 && reader.ok(); --n)
    ledger.dropped_.push_back(get_dropped(reader));
  if (!reader.done()) return fail(Code::kCorrupt, "what a checkpoint left to be noted is malformed");
  return ledger;
}

}  // namespace s3crate::volume
