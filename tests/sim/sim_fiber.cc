// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sim_fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "base/check.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define S3CRATE_SIM_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define S3CRATE_SIM_ASAN 1
#endif

#if defined(S3CRATE_SIM_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(S3CRATE_SIM_TSAN)
#include <sanitizer/tsan_interface.h>
#include <sys/single_threaded.h>
// Of the runtime, but in none of its headers.
extern "C" {
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
void AnnotateIgnoreSyncBegin(const char* file, int line);
void AnnotateIgnoreSyncEnd(const char* file, int line);
// What the product keeps for each thread all fibers share here: the contexts of the libraries that it calls.
const char* __tsan_default_suppressions() { return "called_from_lib:libcrypto.so\ncalled_from_lib:libzstd.so\n"; }
}
#endif

#if !defined(S3CRATE_SIM_UCONTEXT)
// The registers that a called function must preserve go to the old stack, and come from the new one. All fibers
// share one floating-point control word.
asm(R"(
  .text
  .p2align 4
  .globl s3crate_sim_switch_stack
  .hidden s3crate_sim_switch_stack
  .type s3crate_sim_switch_stack, @function
s3crate_sim_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size s3crate_sim_switch_stack, .-s3crate_sim_switch_stack
)");
extern "C" void s3crate_sim_switch_stack(void** save, void* load);
#endif

namespace s3crate::sim {
namespace {

// What all fibers of the thread do to its own variables is not what is looked for.
#if defined(S3CRATE_SIM_TSAN)
#define UNWATCHED __attribute__((no_sanitize("thread")))
#else
#define UNWATCHED
#endif

// Untouched pages cost nothing, and instrumented code has large frames.
#if defined(S3CRATE_SIM_ASAN) || defined(S3CRATE_SIM_TSAN)
constexpr std::size_t kStackSize = 4 << 20;
#else
constexpr std::size_t kStackSize = 1 << 20;
#endif

thread_local FiberContext* previous_context = nullptr;
thread_local FiberContext* running_context = nullptr;
// Of the fiber that runs; to the runtime everybody is watched at first.
thread_local bool is_watched = true;

}  // namespace

FiberContext::FiberContext() {
#if defined(S3CRATE_SIM_TSAN)
  // Or shared pointers would count without atomics, as long as there is only one thread.
  __libc_single_threaded = 0;
  tsan_fiber_ = __tsan_get_current_fiber();
#endif
}

FiberContext::FiberContext(WithStack) {
  std::size_t guard = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  mapping_size_ = guard + kStackSize;
  mapping_ = mmap(nullptr, mapping_size_, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  CHECK(mapping_ != MAP_FAILED);
  CHECK(mprotect(mapping_, guard, PROT_NONE) == 0);
  auto* bottom = static_cast<std::uint8_t*>(mapping_) + guard;
  stack_bottom_ = bottom;
  stack_size_ = kStackSize;
#if defined(S3CRATE_SIM_TSAN)
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
#if defined(S3CRATE_SIM_UCONTEXT)
  CHECK(getcontext(&ucontext_) == 0);
  ucontext_.uc_stack.ss_sp = bottom;
  ucontext_.uc_stack.ss_size = kStackSize;
  ucontext_.uc_link = nullptr;
  makecontext(&ucontext_, &FiberContext::first_entry, 0);
#else
  // What the switch pops: six registers, then first_entry as the place to return to. The zero above it is where
  // backtraces end, and leaves the stack aligned as if first_entry had been called.
  auto* top = reinterpret_cast<std::uintptr_t*>(bottom + kStackSize);
  top[-1] = 0;
  top[-2] = reinterpret_cast<std::uintptr_t>(&FiberContext::first_entry);
  stack_pointer_ = top - 8;
#endif
}

FiberContext::~FiberContext() {
  // ThreadSanitizer keeps its fiber: it takes the end of one that is not watched for a mistake.
  if (mapping_ == nullptr) return;
  munmap(mapping_, mapping_size_);
}

std::vector<std::unique_ptr<FiberContext>>& FiberContext::pool() {
  thread_local std::vector<std::unique_ptr<FiberContext>> contexts;
  return contexts;
}

std::unique_ptr<FiberContext> FiberContext::acquire(Entry entry, void* argument) {
  std::unique_ptr<FiberContext> context;
  if (pool().empty()) {
    context.reset(new FiberContext(WithStack{}));
  } else {
    context = std::move(pool().back());
    pool().pop_back();
  }
  context->entry_ = entry;
  context->argument_ = argument;
  return context;
}

void FiberContext::release(std::unique_ptr<FiberContext> context) {
  pool().push_back(std::move(context));
}

UNWATCHED void FiberContext::first_entry() {
  FiberContext* self = running_context;
  self->arrived();
  self->live();
}

UNWATCHED void FiberContext::live() {
  is_watched = true;
  const Watch unwatched(false);
  for (;;) entry_(argument_);
}

void FiberContext::arrived() {
#if defined(S3CRATE_SIM_ASAN)
  // Tells the bounds of the stack we came from: the only way to learn those of the thread's own.
  __sanitizer_finish_switch_fiber(fake_stack_, &previous_context->stack_bottom_,
                                  &previous_context->stack_size_);
#endif
}

UNWATCHED void FiberContext::switch_to(FiberContext& from, FiberContext& to) {
  previous_context = &from;
  running_context = &to;
#if defined(S3CRATE_SIM_ASAN)
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.stack_bottom_, to.stack_size_);
#endif
  const bool was_watched = is_watched;
#if defined(S3CRATE_SIM_TSAN)
  __tsan_switch_to_fiber(to.tsan_fiber_, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(S3CRATE_SIM_UCONTEXT)
  CHECK(swapcontext(&from.ucontext_, &to.ucontext_) == 0);
#else
  s3crate_sim_switch_stack(&from.stack_pointer_, to.stack_pointer_);
#endif
  is_watched = was_watched;
  from.arrived();
}

#if defined(S3CRATE_SIM_TSAN)
UNWATCHED bool Watch::is_on() { return is_watched; }
UNWATCHED void Watch::set(bool on) {
  if (on == is_watched) return;
  is_watched = on;
  if (on) {
    AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
    __tsan_ignore_thread_end();
  } else {
    __tsan_ignore_thread_begin();
    AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
  }
}

void leave(void* place) {
  const Watch watched(true);
  __tsan_release(place);
}
void arrive(void* place) {
  const Watch watched(true);
  __tsan_acquire(place);
}
#else
void leave(void*) {}
void arrive(void*) {}
#endif

}  // namespace s3crate::sim
