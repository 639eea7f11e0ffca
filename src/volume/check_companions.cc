// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/check_companions.h"

#include <algorithm>
#include <array>

#include "segment/object_names.h"
#include "volume/map_leaf.h"

namespace s3crate::volume {
namespace {

// What the liveness tree says of an object, and how often the trees refer to it.
struct Row {
  ObjectKey key;
  Liveness liveness;
  std::int64_t used = 0;
};

class Recount {
 public:
  Recount(Volume& volume, const View& view, const CheckOptions& options, Findings& findings)
      : pages_(volume.pages()), view_(view), findings_(findings),
        rows_max_(std::max<std::size_t>(1, options.recounted_max)),
        pages_a_pass_(findings.report().pages) {}

  Result<> run() {
    std::uint64_t rows = 0;
    TRY(scan_rows({}, [&](const PageEntry&, const Place&) { return ++rows > 0; }));
    passes_ = (rows + rows_max_ - 1) / rows_max_;
    rows_.reserve(std::min<std::uint64_t>(rows, rows_max_));
    for (std::optional<Bytes> from = Bytes(); from; ++pass_) {
      from = TRY(take_rows(*from));
      if (rows_.empty()) continue;
      for (const MaybeRoot& root : roots())
        if (root) TRY(page(TRY(root_place(*root))));
      if (pass_ == 0) pages_a_pass_ = pages_done_;
      judge();
    }
    return {};
  }

 private:
  [[nodiscard]] std::array<MaybeRoot, 6> roots() const {
    const Companions& c = view_.companions;
    return {view_.map, c.objects, c.liveness, c.dead, c.catalogue, c.tags};
  }

  // Entries of the liveness tree from a key on, around what is damaged, until `each` answers false.
  Result<> scan_rows(ByteView from,
                     const std::function<bool(const PageEntry&, const Place&)>& each) {
    bool more = true;
    const auto leaf = [&](const Page& page, const Place& place) -> Result<> {
      TRY(tick());
      for (std::size_t i = lower_bound(page, from); more && i < page.entries.size(); ++i)
        more = each(page.entries[i], place);
      return {};
    };
    const auto& root = view_.companions.liveness;
    return root ? scan_below(TRY(root_place(*root)), from, more, leaf) : Result<>();
  }
  Result<> scan_below(const Place& place, ByteView from, const bool& more,
                      const std::function<Result<>(const Page&, const Place&)>& leaf) {
    const auto page = load_page(pages_, place);
    if (!page) return is_passing(page.error().code()) ? fail(page.error()) : Result<>();
    if (place.level == 0) return leaf(**page, place);
    for (std::size_t i = floor_entry(**page, from); more && i < (*page)->entries.size(); ++i)
      TRY(scan_below(TRY(child_place(place, **page, i)), from, more, leaf));
    return {};
  }

  // The rows of the next pass; answers where the one after it begins, if there is one.
  Result<std::optional<Bytes>> take_rows(ByteView from) {
    std::optional<Bytes> next;
    rows_.clear();
    TRY(scan_rows(from, [&](const PageEntry& entry, const Place& place) {
      if (rows_.size() == rows_max_) {
        next = entry.key;
        return false;
      }
      const auto row = decode_liveness(entry);
      if (row)
        rows_.push_back({row->first, row->second, 0});
      else
        findings_.add(segment::object_name(segment::ObjectKind::map, place.page.object.id, place.page.nonce),
                      {}, row.error().message());
      return true;
    }));
    return next;
  }

  Result<> tick() {
    const std::uint64_t all = std::max(pages_done_, pages_a_pass_ * passes_);
    return findings_.tick("counts", pages_done_, all);
  }

  // Below a page of an origin nothing is this volume's.
  Result<> page(const Place& place) {
    if (place.page.object.origin != 0) return {};
    ++pages_done_;
    TRY(tick());
    const auto loaded = load_page(pages_, place);
    if (!loaded) return is_passing(loaded.error().code()) ? fail(loaded.error()) : Result<>();
    const PagePtr page = *loaded;
    count(place.page.object, 1);
    runs(*page);
    if (page->base) {
      count(page->base->object, 1);
      const auto base = load_base(pages_, place, *page);
      if (!base && is_passing(base.error().code())) return fail(base.error());
      if (base) runs(**base);
    }
    for (std::size_t i = 0; place.level > 0 && i < page->entries.size(); ++i)
      TRY(this->page(TRY(child_place(place, *page, i))));
    return {};
  }

  void runs(const Page& page) {
    if (page.tree != TreeId::map || page.kind == PageKind::inner) return;
    for (const PageEntry& entry : page.entries) {
      const auto run = decode_run(entry);
      if (run && !run->hole) count(run->extent.object, static_cast<std::int64_t>(run->count));
    }
  }

  void count(const ObjectKey& key, std::int64_t n) {
    if (key < rows_.front().key || rows_.back().key < key) return;
    const auto row = std::ranges::lower_bound(rows_, key, {}, &Row::key);
    if (row->key == key) row->used += n;
  }

  void judge() {
    const auto& late = view_.companions.late.net();
    for (const Row& row : rows_) {
      const auto left = late.find(row.key);
      // What the checkpoint left to be noted is still counted in the row.
      const std::int64_t used = row.used - (left == late.end() ? 0 : left->second);
      const auto counted = static_cast<std::int64_t>(row.liveness.live);
      if (used <= counted && (row.liveness.died == Generation(0) || used <= 0)) continue;
      const std::string name = fmt::format("object {:016x}", row.key.id.value);
      findings_.add(name, {}, fmt::format("{} counts as used {} times, yet the trees refer to it {} times: "
                                          "pruning would delete what is needed", name, counted, used));
    }
  }

  PageLoader& pages_;
  const View& view_;
  Findings& findings_;
  const std::size_t rows_max_;
  std::vector<Row> rows_;  // of this pass, ascending
  std::uint64_t pages_a_pass_;  // about, until the first is done
  std::uint64_t pass_ = 0, passes_ = 0, pages_done_ = 0;
};

}  // namespace

Result<> check_companions(Volume& volume, const View& view, const CheckOptions& options,
                          Findings& findings) {
  return Recount(volume, view, options, findings).run();
}

}  // namespace s3crate::volume
