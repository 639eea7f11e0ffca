// SPDX-License-Identifier: GPL-3.0-or-later
// What trees stand on: a store in memory that can fail and counts, the keys of one ring, a loader
// that can be made cold.
#pragma once

#include "store/memory_store.h"
#include "store/metered_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault_store.h"
#include "tests/support/seeded_random.h"
#include "volume/tree.h"

namespace s3crate::test {

class OneRing final : public volume::PageKeys {
 public:
  OneRing(const volume::Vid& vid, const crypto::SealingKey& key)
      : vid_(vid), key_(std::make_shared<const crypto::OpeningKey>(key.opening_key())) {}
  Result<volume::Vid> origin_vid(std::uint16_t origin) const override {
    if (origin != 0) return fail(Code::kCorrupt, "no origin {}", origin);
    return vid_;
  }
  Result<std::shared_ptr<const crypto::OpeningKey>> page_opening_key(
      std::uint16_t, std::uint32_t ring) const override {
    if (ring != 1) return fail(Code::kBadKey, "no ring {}", ring);
    return key_;
  }

 private:
  const volume::Vid vid_;
  const std::shared_ptr<const crypto::OpeningKey> key_;
};

class TreeWorld {
 public:
  explicit TreeWorld(std::uint64_t seed, std::uint64_t capacity = 64 << 20)
      : random(seed), capacity_(capacity) {
    make_cold();
  }
  TreeWorld(const TreeWorld&) = delete;
  TreeWorld& operator=(const TreeWorld&) = delete;

  void make_cold() { loader_.emplace(thread_executor(), metered, keys, capacity_); }
  [[nodiscard]] volume::PageLoader& loader() { return *loader_; }
  [[nodiscard]] volume::PageWriter writer() {
    return volume::PageWriter(
        {.store = metered,
         .random = random,
         .loader = loader(),
         .vid = vid,
         .ring = 1,
         .page_key = key,
         .new_id = [this]() -> Result<volume::ObjectId> { return volume::ObjectId::of(1, ++ids_); },
         .object_bytes = object_bytes,
         .page_bytes = page_bytes,
         .min_fanout = 4});
  }
  [[nodiscard]] std::uint64_t reads() const {
    return metered.stats()[store::Verb::get_range].calls;
  }
  [[nodiscard]] std::uint64_t puts() const { return metered.stats()[store::Verb::put].calls; }

  const bool crypto_ready = crypto::initialise().has_value();  // before the first secret
  SeededRandom random;
  FakeClock clock;
  store::MemoryStore memory;
  FaultStore faults{memory};
  store::MeteredStore metered{clock, faults};
  const volume::Vid vid = random.array<32>();
  const crypto::SealingKey key{crypto::Secret(random)};
  const OneRing keys{vid, key};
  std::size_t page_bytes = 400;
  std::size_t object_bytes = 4000;

 private:
  const std::uint64_t capacity_;
  std::uint64_t ids_ = 0;
  std::optional<volume::PageLoader> loader_;
};

}  // namespace s3crate::test
