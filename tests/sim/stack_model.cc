// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/stack_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace s3crate::sim {
namespace {

constexpr std::uint64_t kPiece = 512;
constexpr std::uint64_t kBlock = 4096;

// Which pieces of two images differ, and how many.
class Differences {
 public:
  Differences(const Bytes& a, ByteView b, std::span<const char> lost)
      : a_(a), b_(b), lost_(lost), differ_((b.size() + kPiece - 1) / kPiece) {
    CHECK(a.size() == b.size());
    look(0, b.size());
  }
  void look(std::uint64_t offset, std::uint64_t length) {
    if (length == 0) return;
    for (std::uint64_t i = offset / kPiece; i <= (offset + length - 1) / kPiece; ++i) {
      if (const std::uint64_t block = i * kPiece / kBlock; block < lost_.size() && lost_[block] != 0) continue;
      const std::uint64_t n = std::min(kPiece, b_.size() - i * kPiece);
      const bool now = std::memcmp(a_.data() + i * kPiece, b_.data() + i * kPiece, n) != 0;
      count_ += static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(differ_[i] != 0);
      differ_[i] = now;
    }
  }
  [[nodiscard]] bool none() const { return count_ == 0; }

 private:
  const Bytes& a_;
  ByteView b_;
  std::span<const char> lost_;
  std::vector<char> differ_;
  std::uint64_t count_ = 0;
};

}  // namespace

void StackModel::Op::apply(Bytes& image) const { apply(0, image); }

// `part` is what stands from `at` on.
void StackModel::Op::apply(std::uint64_t at, Bytes& part) const {
  const std::uint64_t from = std::max(offset, at);
  const std::uint64_t to = std::min(offset + length, at + part.size());
  if (from >= to) return;
  if (data.empty()) std::memset(part.data() + (from - at), 0, to - from);
  else std::memcpy(part.data() + (from - at), data.data() + (from - offset), to - from);
}

StackModel::StackModel(std::uint64_t size)
    : base_image_(size), newest_(size), damages_((size + kBlock - 1) / kBlock) {}

void StackModel::add(Op op) {
  CHECK(op.offset + op.length <= newest_.size());
  op.apply(newest_);
  const std::uint64_t end = (op.offset + op.length) / kBlock;
  for (std::uint64_t block = (op.offset + kBlock - 1) / kBlock; block < end; ++block)
    if (Damage& damage = damages_[block]; damage.damaged && damage.healed == 0) damage.healed = now() + 1;
  ops_.push_back(std::move(op));
}

void StackModel::damage(std::uint64_t block) { damages_.at(block) = {true, 0}; }

bool StackModel::unreadable(std::uint64_t block, std::uint64_t as_of) const {
  const Damage& damage = damages_.at(block);
  return damage.damaged && (damage.healed == 0 || damage.healed > as_of);
}

bool StackModel::any_unreadable() const {
  return std::ranges::any_of(damages_, [](const Damage& d) { return d.damaged && d.healed == 0; });
}

void StackModel::write(std::uint64_t offset, ByteView data) {
  if (!data.empty()) add({offset, data.size(), Bytes(data.begin(), data.end())});
}

void StackModel::zero(std::uint64_t offset, std::uint64_t length) {
  if (length > 0) add({offset, length, {}});
}

std::optional<std::uint64_t> StackModel::find(ByteView image, std::uint64_t at_least, std::span<const char> lost) const {
  std::optional<std::uint64_t> found;
  each_like(image, at_least, lost, [&](std::uint64_t number) {
    found = number;
    return false;
  });
  return found;
}

std::optional<std::uint64_t> StackModel::find_newest(ByteView image, std::uint64_t at_least, std::span<const char> lost) const {
  std::optional<std::uint64_t> found;
  each_like(image, at_least, lost, [&](std::uint64_t number) {
    found = number;
    return true;
  });
  return found;
}

// Calls `found`, which says whether to go on.
void StackModel::each_like(ByteView image, std::uint64_t at_least, std::span<const char> lost,
                           const std::function<bool(std::uint64_t)>& found) const {
  CHECK(at_least >= base_ && at_least <= now());
  Bytes at = base_image_;
  std::uint64_t number = base_;
  while (number < at_least) ops_[number++ - base_].apply(at);
  Differences differences(at, image, lost);
  std::vector<std::uint64_t> blocks;
  for (std::uint64_t block = 0; block < lost.size(); ++block)
    if (lost[block] != 0) blocks.push_back(block);
  for (;;) {
    const bool may_be_lost = std::ranges::all_of(blocks, [&](std::uint64_t block) { return unreadable(block, number); });
    if (differences.none() && may_be_lost && !found(number)) return;
    if (number == now()) return;
    const Op& op = ops_[number++ - base_];
    op.apply(at);
    differences.look(op.offset, op.length);
  }
}

void StackModel::went_back_to(std::uint64_t number) {
  CHECK(number >= base_ && number <= now() && number >= flushed_);
  ops_.resize(number - base_);
  newest_ = base_image_;
  for (const Op& op : ops_) op.apply(newest_);
  for (Damage& damage : damages_)
    if (damage.healed > number) damage.healed = 0;
}

void StackModel::trim() {
  for (; base_ < stored_; ++base_) {
    ops_.front().apply(base_image_);
    ops_.pop_front();
  }
}

bool StackModel::could_read(std::uint64_t offset, ByteView data, std::uint64_t since) const {
  Bytes at(base_image_.begin() + static_cast<std::ptrdiff_t>(offset),
           base_image_.begin() + static_cast<std::ptrdiff_t>(offset + data.size()));
  since = std::max(since, base_);
  for (std::uint64_t number = base_;; ++number) {
    if (number >= since && equal(at, data)) return true;
    if (number == now()) return false;
    ops_[number - base_].apply(offset, at);
  }
}

std::string StackModel::difference(ByteView image) const {
  std::string out;
  for (std::uint64_t block = 0; block * 4096 < image.size() && out.size() < 2000; ++block) {
    std::uint64_t first = 0, last = 0, n = 0;
    for (std::uint64_t i = block * 4096; i < std::min<std::uint64_t>(image.size(), block * 4096 + 4096); ++i) {
      if (image[i] == newest_[i]) continue;
      if (n++ == 0) first = i % 4096;
      last = i % 4096;
    }
    if (n == 0) continue;
    out += fmt::format("block {}: {} bytes in [{}, {}]; changed by", block, n, first, last);
    for (std::uint64_t k = 0; k < ops_.size(); ++k) {
      const Op& op = ops_[k];
      if (op.offset < block * 4096 + 4096 && op.offset + op.length > block * 4096)
        out += fmt::format(" {}{}[{}+{})", base_ + k + 1, op.data.empty() ? "z" : "w", op.offset, op.length);
    }
    out += "\n";
  }
  return out;
}

}  // namespace s3crate::sim
