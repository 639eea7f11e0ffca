// SPDX-License-Identifier: GPL-3.0-or-later
// What commands that put a guest into a volume's chain (tag, untag) have in common: the volume is
// opened beside whoever has it mounted, and nothing is put where that could do harm: into a copy, above
// an older state than was seen here, where a store cannot tell two writers apart.
#pragma once

#include <atomic>
#include <memory>

#include "cli/command.h"
#include "cli/signals.h"
#include "cli/stack.h"
#include "device/term.h"
#include "volume/guest.h"

namespace s3crate::cli {

class GuestSession {
 public:
  // `kind` is what is to be put: kBadKey if this key may not.
  [[nodiscard]] static Result<std::unique_ptr<GuestSession>> open(Context& context, const Url& url, volume::CommitKind kind);
  ~GuestSession();

  [[nodiscard]] volume::Volume& volume() { return *volume_; }
  [[nodiscard]] const volume::Commit& head() const { return head_; }
  [[nodiscard]] volume::Guest& guest() { return *guest_; }
  [[nodiscard]] Stack& stack() { return *stack_; }
  // A signal ends what waits there as well. It must outlive this.
  void cancel_too(Stack& other) { other_ = &other; }
  // Whether one came.
  [[nodiscard]] const std::atomic<bool>* stopped() const { return &stopped_; }
  // Why what was asked of the store failed: that it was given up, if it was.
  [[nodiscard]] Error reason(const Error& error) const { return stack_->given_up().value_or(error); }

 private:
  GuestSession() = default;
  [[nodiscard]] Result<> look_at(const Context& context, const Url& url);

  std::unique_ptr<Stack> stack_;
  std::atomic<Stack*> other_ = nullptr;
  std::atomic<bool> stopped_ = false;
  std::unique_ptr<volume::Volume> volume_;
  device::DiskOptions options_;
  volume::Commit head_;
  std::unique_ptr<volume::Guest> guest_;
  std::unique_ptr<SignalWatch> signals_;
};

}  // namespace s3crate::cli
