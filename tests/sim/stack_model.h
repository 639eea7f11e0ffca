// SPDX-License-Identifier: GPL-3.0-or-later
// StackModel: what a disk must hold: an array of bytes, and every change since a base, numbered 1, 2, 3 ... in the order in which
// the disk took them.
//
// The order is exact even with several clients: a simulated write takes effect and returns in one stretch, without a step between.
// Whatever a crash leaves must be the array as of exactly one number.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <span>

#include "base/bytes.h"

namespace s3crate::sim {

class StackModel {
 public:
  explicit StackModel(std::uint64_t size);

  void write(std::uint64_t offset, ByteView data);
  void zero(std::uint64_t offset, std::uint64_t length);
  [[nodiscard]] std::uint64_t now() const { return base_ + ops_.size(); }
  [[nodiscard]] std::uint64_t size() const { return newest_.size(); }
  [[nodiscard]] const Bytes& newest() const { return newest_; }

  // Everything up to here survives a crash; and the loss of local state.
  void flushed(std::uint64_t through) { flushed_ = std::max(flushed_, through); }
  void stored(std::uint64_t through) {
    stored_ = std::max(stored_, through);
    flushed(through);
  }
  [[nodiscard]] std::uint64_t flushed() const { return flushed_; }
  [[nodiscard]] std::uint64_t stored() const { return stored_; }

  // The first number >= at_least as of which the disk held exactly `image`; but for the blocks marked in `lost`, which could not be
  // read, and must be unreadable as of that number. The newest is the one to go on from: what two states of the same content have between them may be in the store.
  [[nodiscard]] std::optional<std::uint64_t> find(ByteView image, std::uint64_t at_least, std::span<const char> lost = {}) const;
  [[nodiscard]] std::optional<std::uint64_t> find_newest(ByteView image, std::uint64_t at_least, std::span<const char> lost) const;
  [[nodiscard]] std::uint64_t base() const { return base_; }
  // A crash took the disk back to there: what came after never was.
  void went_back_to(std::uint64_t number);
  // The local state is gone: only what is stored counts.
  void lost_local_state() { flushed_ = stored_; }
  // Forgets what no crash can go back to. While nobody reads.
  void trim();

  // A block may be unreadable from now on, until it is written as a whole.
  void damage(std::uint64_t block);
  [[nodiscard]] bool unreadable(std::uint64_t block, std::uint64_t as_of) const;
  [[nodiscard]] bool any_unreadable() const;  // as of now

  // Whether `data` stood at `offset` as of some number from `since` on.
  [[nodiscard]] bool could_read(std::uint64_t offset, ByteView data, std::uint64_t since) const;
  // Where `image` differs from the newest state, in words.
  [[nodiscard]] std::string difference(ByteView image) const;

 private:
  struct Op {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    Bytes data;  // empty: zeros
    void apply(Bytes& image) const;
    void apply(std::uint64_t at, Bytes& part) const;
  };
  void add(Op op);
  void each_like(ByteView image, std::uint64_t at_least, std::span<const char> lost,
                 const std::function<bool(std::uint64_t)>& found) const;

  std::uint64_t base_ = 0;
  Bytes base_image_;
  std::deque<Op> ops_;  // base_ + 1 and on
  Bytes newest_;
  std::uint64_t flushed_ = 0;
  std::uint64_t stored_ = 0;
  struct Damage {
    bool damaged = false;
    std::uint64_t healed = 0;  // the first number after it that writes all of the block; 0: none
  };
  std::vector<Damage> damages_;  // of each block
};

}  // namespace s3crate::sim
