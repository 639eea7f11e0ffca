// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/check_findings.h"

#include <algorithm>

namespace s3crate::volume {
namespace {

constexpr std::size_t kBadExtentsMax = 1 << 18;
constexpr Findings::DamageId kUntold = ~std::size_t{0};

void tidy(std::vector<ByteRange>& ranges) {
  std::ranges::sort(ranges, {}, &ByteRange::offset);
  std::vector<ByteRange> out;
  for (const ByteRange& range : ranges) {
    if (out.empty() || out.back().offset + out.back().length < range.offset) {
      out.push_back(range);
      continue;
    }
    const std::uint64_t end =
        std::max(out.back().offset + out.back().length, range.offset + range.length);
    out.back().length = end - out.back().offset;
  }
  ranges = std::move(out);
}

}  // namespace

bool is_passing(Code code) {
  return code == Code::kTransient || code == Code::kDenied || code == Code::kCancelled ||
         code == Code::kIo || code == Code::kNoSpace;
}

std::vector<ByteRange> CheckReport::damaged_ranges() const {
  std::vector<ByteRange> out;
  for (const Damage& damage : damages)
    out.insert(out.end(), damage.ranges.begin(), damage.ranges.end());
  if (disk_lost && disk_bytes > 0) out = {{0, disk_bytes}};
  tidy(out);
  return out;
}

Findings::DamageId Findings::add(const std::string& object, Generation generation,
                                 std::string what) {
  if (auto it = by_object_.find(object); it != by_object_.end()) return it->second;
  report_.damages_total++;
  if (report_.damages.size() >= options_.damages_max) {
    report_.complete = false;
    return kUntold;
  }
  report_.damages.push_back({std::move(what), object, generation, {}});
  return by_object_[object] = report_.damages.size() - 1;
}

void Findings::add_blocks(DamageId damage, BlockIndex from, BlockIndex to) {
  if (from >= to) return;
  const ByteRange range{from.value * block_size_, (to - from) * block_size_};
  report_.damaged_bytes += range.length;
  if (damage == kUntold) return;
  std::vector<ByteRange>& ranges = report_.damages[damage].ranges;
  if (!ranges.empty() && ranges.back().offset + ranges.back().length == range.offset) {
    ranges.back().length += range.length;
  } else if (ranges_ < options_.ranges_max) {
    ranges.push_back(range);
    ranges_++;
  } else {
    report_.complete = false;
  }
}

void Findings::add_bad_extent(const ObjectKey& object, std::uint32_t number, Bad bad) {
  if (bad_extents_.size() >= kBadExtentsMax)
    forgets_extents_ = true;
  else
    bad_extents_.emplace(std::pair(object, number), bad);
}

Result<> Findings::tick(std::string_view phase, std::uint64_t done, std::uint64_t total) {
  if (options_.stop != nullptr && options_.stop->load())
    return fail(Code::kCancelled, "the check was stopped");
  last_ = {phase, done, total, report_.bytes};
  if (options_.progress) options_.progress(last_);
  return {};
}

CheckReport Findings::finish() {
  for (Damage& damage : report_.damages) tidy(damage.ranges);
  if (report_.disk_lost) report_.damaged_bytes = report_.disk_bytes;
  return std::move(report_);
}

}  // namespace s3crate::volume
