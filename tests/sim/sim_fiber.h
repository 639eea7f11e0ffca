// SPDX-License-Identifier: GPL-3.0-or-later
// FiberContext: a stack and the registers saved on it, and the switch from one to another.
//
// On x86-64 the switch is a dozen instructions; elsewhere, or with S3CRATE_SIM_UCONTEXT defined, it is
// swapcontext(3), which costs two system calls. AddressSanitizer and ThreadSanitizer are told of every switch.
//
// To ThreadSanitizer a fiber is a thread, and a switch orders nothing: only the product's own locks, waits and joins do, so a
// missing one is found though no two fibers ever run at once, and again with the same seed. What tests and edges share
// among fibers without a lock, which is their right, is not looked at: see Watch.
//
// Stacks are mapped with a guard page below and used again by later fibers of the same thread. A context in the
// pool is never unwound: its entry function returns to a loop that waits for the next one. All of it belongs
// to one thread; nothing may switch inside a catch block.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define S3CRATE_SIM_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define S3CRATE_SIM_TSAN 1
#endif

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
  [[noreturn]] void live();

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

// Whether ThreadSanitizer looks at what the fiber does while this lives: at the product, and not at what calls it or is called
// by it. Fibers begin as whoever spawned them was at that moment; the first one unwatched. Costs nothing without it.
class Watch {
 public:
  enum class Of { product, harness };
#if defined(S3CRATE_SIM_TSAN)
  explicit Watch(Of what) : Watch(what == Of::product) {}
  explicit Watch(bool on) : before_(is_on()) { set(on); }
  ~Watch() { set(before_); }
  static bool is_on();
#else
  explicit Watch(Of) {}
  explicit Watch(bool) {}
  ~Watch() {}  // or it would be an unused variable
  static bool is_on() { return false; }
#endif
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
#if defined(S3CRATE_SIM_TSAN)
  static void set(bool on);
  const bool before_;
#endif
};

// Everything before a leave() comes before everything after an arrive() at the same place.
void leave(void* place);
void arrive(void* place);

}  // namespace s3crate::sim
