// SPDX-License-Identifier: GPL-3.0-or-later
// Mutex and MutexLock: std::mutex with thread-safety annotations.
//
// The rule of the house is that no Mutex is held across store or disk I/O. The simulator proves it: it runs
// every task as a fiber of one thread and switches fibers only at I/O and waits, so there a contended lock
// is a broken rule, and aborts.
#pragma once

#include <mutex>

#include "base/check.h"
#include "base/thread_annotations.h"

namespace s3crate {

class CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() ACQUIRE() {
    if (mutex_.try_lock()) return;
    CHECK(!contention_is_a_bug);
    mutex_.lock();
  }
  void unlock() RELEASE() { mutex_.unlock(); }

  // Set by the simulator on its thread.
  static inline thread_local bool contention_is_a_bug = false;

 private:
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace s3crate
