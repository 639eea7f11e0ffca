// SPDX-License-Identifier: GPL-3.0-or-later
// Trees of any keys and values.
#include <algorithm>

#include "base/check.h"
#include "volume/tree_edit.h"

namespace s3crate::volume {
namespace {

class KeyEdit final : public TreeEdit {
 public:
  KeyEdit(std::span<const TreeChange> changes, std::vector<TreeChange>* carried)
      : left_(changes), carried_(carried) {}

  bool touches(std::optional<ByteView> upper) const override {
    return !left_.empty() && (!upper || compare(left_.front().key, *upper) < 0);
  }

  bool will_read(ByteView first_key, std::optional<ByteView> upper) const override {
    const auto next = std::ranges::partition_point(
        left_, [&](const TreeChange& change) { return compare(change.key, first_key) < 0; });
    return next != left_.end() && (!upper || compare(next->key, *upper) < 0);
  }

  bool replaces(ByteView, std::optional<ByteView>) const override { return false; }

  Result<> apply(std::span<const PageEntry> entries, std::optional<ByteView> upper,
                 TreeBuilder& builder) override {
    for (const PageEntry& entry : entries) {
      while (touches(entry.key)) TRY(add_front(builder));
      if (!left_.empty() && equal(left_.front().key, entry.key))
        continue;  // replaced, or taken out
      TRY(builder.add(entry));
    }
    while (touches(upper)) TRY(add_front(builder));
    return {};
  }

  void forget(const Page&) override {}
  Result<bool> amend(const Place&, const PagePtr&, TreeBuilder&) override { return false; }

  bool carry(std::optional<ByteView> upper) override {
    if (carried_ == nullptr) return false;
    for (; touches(upper); left_ = left_.subspan(1)) carried_->push_back(left_.front());
    return true;
  }

 private:
  Result<> add_front(TreeBuilder& builder) {
    const TreeChange& change = left_.front();
    left_ = left_.subspan(1);
    if (!change.value) return {};
    return builder.add({change.key, *change.value});
  }

  std::span<const TreeChange> left_;
  std::vector<TreeChange>* carried_;
};

}  // namespace

Result<std::optional<Bytes>> tree_find(PageLoader& loader, const MaybeRoot& root, ByteView key) {
  if (!root) return std::optional<Bytes>{};
  std::optional<Bytes> value;
  const auto find_in_leaf = [&](const Page& page, const Place&) -> Result<bool> {
    const std::size_t at = lower_bound(page, key);
    if (at < page.entries.size() && equal(page.entries[at].key, key))
      value = page.entries[at].value;
    return false;
  };
  (void)TRY(for_each_leaf(loader, TRY(root_place(*root)), key, std::nullopt, find_in_leaf));
  return value;
}

Result<> tree_scan(PageLoader& loader, const MaybeRoot& root, ByteView from,
                   const std::function<Result<bool>(const PageEntry&)>& each, std::optional<ByteView> to) {
  if (!root) return {};
  const auto scan_leaf = [&](const Page& page, const Place&) -> Result<bool> {
    for (std::size_t i = lower_bound(page, from); i < page.entries.size(); ++i) {
      if (to && compare(page.entries[i].key, *to) >= 0) return false;
      if (!TRY(each(page.entries[i]))) return false;
    }
    return true;
  };
  (void)TRY(for_each_leaf(loader, TRY(root_place(*root)), from, to, scan_leaf));
  return {};
}

Result<MaybeRoot> tree_update(PageLoader& loader, PageWriter& writer, TreeId tree,
                              const MaybeRoot& root, std::span<const TreeChange> changes,
                              Ledger& ledger, std::vector<TreeChange>* carried) {
  for (std::size_t i = 0; i < changes.size(); ++i) {
    CHECK(i == 0 || compare(changes[i - 1].key, changes[i].key) < 0);
    CHECK(changes[i].key.size() <= kPageKeyMax);
  }
  KeyEdit edit(changes, carried);
  return edit_tree(loader, writer, tree, root, edit, ledger);
}

}  // namespace s3crate::volume
