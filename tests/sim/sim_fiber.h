// SPDX-License-Identifier: GPL-3.0-or-later
// FiberContext: a stack and the registers saved on it, and the switch from one to another.
//
// On x86-64 the switch is a dozen instructions; elsewhere, or with S3CRATE_SIM_UCONTEXT defined, it is
// swapcontext(3), which costs two system calls. AddressSanitizer and ThreadSanitizer are told of every switch.
//
// Stacks are mapped with a guard page below and used again by later fibers of the same thread. A context in the
// pool is never unwound: its entry function returns to a loop that waits for the next one. All of it belongs
// to one thread; nothing may switch inside a catch block.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#if !defined(__x86_64__) && !defined(S3CRATE_SIM_UCONTEXT)
#define S3CRATE_SIM_UCONTEXT 1
#endif
#if defined(S3CRATE_SIM_UCONTEXT)
#include <ucontext.h>
#endif

namespace s3crate::sim {

class FiberContext {
 public:
  using Entry = void (*)(void*);

  FiberContext();  // stands for the thread's own stack, until something switches back to it
  ~FiberContext();
  FiberContext(const FiberContext&) = delete;
  FiberContext& operator=(const FiberContext&) = delete;

  // The first switch to it calls entry(argument). When the fiber has nothing left to do, it releases its own
  // context, switches away, and returns from `entry` as soon as that switch comes back.
  [[nodiscard]] static std::unique_ptr<FiberContext> acquire(Entry entry, void* argument);
  static void release(std::unique_ptr<FiberContext> context);

  // `from` must be the context that runs.
  static void switch_to(FiberContext& from, FiberContext& to);

 private:
  struct WithStack {};
  explicit FiberContext(WithStack);
  static std::vector<std::unique_ptr<FiberContext>>& pool();
  static void first_entry();
  void arrived();

  Entry entry_ = nullptr;
  void* argument_ = nullptr;
  void* mapping_ = nullptr;  // guard page and stack
  std::size_t mapping_size_ = 0;
  void* stack_pointer_ = nullptr;
#if defined(S3CRATE_SIM_UCONTEXT)
  ucontext_t ucontext_{};
#endif
  // For the sanitizers.
  const void* stack_bottom_ = nullptr;
  std::size_t stack_size_ = 0;
  [[maybe_unused]] void* fake_stack_ = nullptr;
  [[maybe_unused]] void* tsan_fiber_ = nullptr;
};

}  // namespace s3crate::sim
