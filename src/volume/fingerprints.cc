// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/fingerprints.h"

#include <algorithm>

#include "volume/key_ring.h"
#include "volume/map_walk.h"

namespace s3crate::volume {
namespace {

constexpr std::ptrdiff_t kBlockKeySize = 8;

// Its pages are of this volume alone, and there is one F for all rings.
class Keys final : public PageKeys {
 public:
  Keys(const Vid& vid, const crypto::Secret& key)
      : vid_(vid), opening_(std::make_shared<const crypto::OpeningKey>(crypto::derive(key, "fingerprint page", {vid}))) {}
  [[nodiscard]] Result<Vid> origin_vid(std::uint16_t origin) const override {
    if (origin != 0) return fail(Code::kCorrupt, "a fingerprint of an origin");
    return vid_;
  }
  [[nodiscard]] Result<std::shared_ptr<const crypto::OpeningKey>> page_opening_key(std::uint16_t, std::uint32_t) const override { return opening_; }

 private:
  const Vid vid_;
  const std::shared_ptr<const crypto::OpeningKey> opening_;
};

}  // namespace

struct Fingerprints::Impl {
  Impl(Executor& executor, store::ObjectStore& store, std::shared_ptr<const KeyRing> ring, const MaybeRoot& at, std::uint64_t cache_bytes)
      : keys(std::move(ring)),
        page_keys(keys->vid(), *keys->fingerprint_key()),
        sealing(crypto::derive(*keys->fingerprint_key(), "fingerprint page", {keys->vid()})),
        loader(executor, store, page_keys, cache_bytes),
        root(at) {}
  const std::shared_ptr<const KeyRing> keys;
  const Keys page_keys;
  const crypto::SealingKey sealing;
  PageLoader loader;
  const MaybeRoot root;
};

Fingerprints::Fingerprints(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Fingerprints::~Fingerprints() = default;

std::unique_ptr<Fingerprints> Fingerprints::make(Executor& executor, store::ObjectStore& store, std::shared_ptr<const KeyRing> keys,
                                                 const MaybeRoot& root, std::uint64_t cache_bytes) {
  if (keys->fingerprint_key() == nullptr) return nullptr;
  return std::unique_ptr<Fingerprints>(new Fingerprints(std::make_unique<Impl>(executor, store, std::move(keys), root, cache_bytes)));
}

PageLoader& Fingerprints::loader() { return impl_->loader; }
const crypto::SealingKey& Fingerprints::page_key() const { return impl_->sealing; }

crypto::Fingerprint Fingerprints::of(ByteView place) const { return crypto::fingerprint(*impl_->keys->fingerprint_key(), place); }

Result<std::optional<Run>> Fingerprints::find(const crypto::Fingerprint& fingerprint) {
  const auto value = tree_find(impl_->loader, impl_->root, fingerprint);
  if (!value && is_damage(value.error())) return std::nullopt;
  if (!TRY(value)) return std::nullopt;
  const Bytes& bytes = **value;
  if (std::ssize(bytes) < kBlockKeySize) return std::nullopt;
  const auto end = bytes.begin() + kBlockKeySize;
  const PageEntry entry{Bytes(bytes.begin(), end), Bytes(end, bytes.end())};
  const auto run = decode_run(entry);
  if (!run || run->hole) return std::nullopt;
  return *run;
}

TreeChange Fingerprints::change_of(const crypto::Fingerprint& fingerprint, const std::optional<Run>& run) {
  TreeChange change{Bytes(fingerprint.begin(), fingerprint.end()), std::nullopt};
  if (!run) return change;
  const PageEntry entry = encode_run(*run);
  append(change.value.emplace(entry.key), entry.value);
  return change;
}

Result<MaybeRoot> Fingerprints::update(PageWriter& writer, std::span<const TreeChange> changes, Ledger& ledger) {
  std::vector<TreeChange> lost;
  MaybeRoot root = TRY(tree_update(impl_->loader, writer, TreeId::fingerprints, impl_->root, changes, ledger, &lost));
  if (lost.empty()) return root;
  std::vector<TreeChange> all;
  for (const TreeChange& change : changes)
    if (change.value) all.push_back(change);
  return tree_update(impl_->loader, writer, TreeId::fingerprints, {}, all, ledger);
}

}  // namespace s3crate::volume
