// SPDX-License-Identifier: GPL-3.0-or-later
// What a check has found so far, and what its passes share. One damage an object: the first
// sentence about it stays, the ranges that it costs come together. Not thread-safe.
#pragma once

#include <map>
#include <set>

#include "volume/check.h"

namespace s3crate::volume {

// An error that another try may mend, and that says nothing about what is stored.
[[nodiscard]] bool is_passing(Code code);

class Findings {
 public:
  Findings(const CheckOptions& options, std::uint32_t block_size)
      : options_(options), block_size_(block_size) {}

  using DamageId = std::size_t;
  DamageId add(const std::string& object, Generation generation, std::string what);
  // Blocks that cannot be read because of it; no block may be named twice.
  void add_blocks(DamageId damage, BlockIndex from, BlockIndex to);
  // The newest generation does not open.
  void lose_disk() { report_.disk_lost = true; }

  // An extent that is not what its segment's index says; or whose blocks are lost, which is as it should
  // be, but costs them.
  enum class Bad { damaged, lost };
  void add_bad_extent(const ObjectKey& object, std::uint32_t number, Bad bad);
  [[nodiscard]] std::optional<Bad> bad_extent(const ObjectKey& object, std::uint32_t number) const {
    const auto found = bad_extents_.find({object, number});
    return found == bad_extents_.end() ? std::nullopt : std::optional(found->second);
  }
  // Too many bad extents to remember: whoever needs to know one reads it again.
  [[nodiscard]] bool forgets_extents() const { return forgets_extents_; }

  // To be called now and then: reports progress; kCancelled if the check shall stop.
  [[nodiscard]] Result<> tick(std::string_view phase, std::uint64_t done, std::uint64_t total);
  [[nodiscard]] Result<> tick() { return tick(last_.phase, last_.done, last_.total); }

  [[nodiscard]] CheckReport& report() { return report_; }
  [[nodiscard]] CheckReport finish();

 private:
  const CheckOptions& options_;
  const std::uint32_t block_size_;
  CheckReport report_;
  CheckProgress last_;
  std::map<std::string, DamageId> by_object_;
  std::size_t ranges_ = 0;
  std::map<std::pair<ObjectKey, std::uint32_t>, Bad> bad_extents_;
  bool forgets_extents_ = false;
};

}  // namespace s3crate::volume
