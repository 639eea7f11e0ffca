// SPDX-License-Identifier: GPL-3.0-or-later
// Blob: bytes that many share and nobody changes: a view, and what keeps its memory. Cheap to copy; copies may be used by several
// threads.
#pragma once

#include <memory>
#include <utility>

#include "base/bytes.h"

namespace s3crate {

class Blob {
 public:
  Blob() = default;
  explicit Blob(Bytes bytes) {
    auto kept = std::make_shared<const Bytes>(std::move(bytes));
    view_ = *kept;
    memory_ = std::move(kept);
  }
  // `view` lies in `memory`.
  Blob(std::shared_ptr<const std::uint8_t[]> memory, ByteView view) : memory_(std::move(memory)), view_(view) {}
  // To be filled, and then shared. It is not cleared: that would cost as much as to fill it.
  [[nodiscard]] static std::shared_ptr<std::uint8_t[]> fresh(std::size_t size) {
    return std::make_shared_for_overwrite<std::uint8_t[]>(size);
  }

  [[nodiscard]] const std::uint8_t* data() const { return view_.data(); }
  [[nodiscard]] std::size_t size() const { return view_.size(); }
  [[nodiscard]] bool empty() const { return view_.empty(); }
  [[nodiscard]] auto begin() const { return view_.begin(); }
  [[nodiscard]] auto end() const { return view_.end(); }

 private:
  std::shared_ptr<const void> memory_;
  ByteView view_;
};

}  // namespace s3crate
