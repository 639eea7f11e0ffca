// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/arena.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "crypto/secret.h"

namespace s3crate::crypto::internal {
namespace {

// Small enough for the 64 KiB that older systems let everybody lock.
constexpr std::size_t kSlabSize = 16 * 1024;

std::string why_not_locked(int error) {
  rlimit limit{};
  std::string limit_text = "unknown";
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
    limit_text = limit.rlim_cur == RLIM_INFINITY ? "unlimited"
                                                 : fmt::format("{} KiB", limit.rlim_cur / 1024);
  }
  return fmt::format(
      "keys cannot be locked in memory and may reach the swap space ({}; RLIMIT_MEMLOCK is {}): "
      "raise the limit with ulimit -l or LimitMEMLOCK=, or encrypt the swap space",
      std::strerror(error), limit_text);
}

}  // namespace

Arena& Arena::instance() {
  static Arena& arena = *new Arena;
  return arena;
}

Arena::Arena() {
  // The analysis cannot follow a lock across three handlers.
  pthread_atfork([]() NO_THREAD_SAFETY_ANALYSIS { instance().mu_.lock(); },
                 []() NO_THREAD_SAFETY_ANALYSIS { instance().mu_.unlock(); },
                 []() NO_THREAD_SAFETY_ANALYSIS {
                   instance().free_.clear();
                   instance().cells_ = 0;
                   instance().mu_.unlock();
                 });
}

void Arena::add_slab() {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t size = (kSlabSize + page - 1) / page * page;
  // Room in the list of free cells for every cell, so that giving one back never allocates.
  free_.reserve(cells_ + size / kSecretSize);

  void* map = mmap(nullptr, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) throw std::bad_alloc();
  std::uint8_t* slab = static_cast<std::uint8_t*>(map) + page;
  if (mprotect(slab, size, PROT_READ | PROT_WRITE) != 0) {
    munmap(map, size + 2 * page);
    throw std::bad_alloc();
  }
  if (mlock(slab, size) != 0) notice_ = why_not_locked(errno);
  if (madvise(slab, size, MADV_DONTDUMP) != 0 && notice_.empty()) {
    notice_ = fmt::format("keys cannot be kept out of core dumps ({}): disable core dumps",
                          std::strerror(errno));
  }
  CHECK(madvise(slab, size, MADV_DONTFORK) == 0);
  for (std::size_t offset = size; offset > 0; offset -= kSecretSize) {
    free_.push_back(slab + offset - kSecretSize);
  }
  cells_ += size / kSecretSize;
}

std::uint8_t* Arena::take() {
  MutexLock lock(mu_);
  if (free_.empty()) add_slab();
  std::uint8_t* cell = free_.back();
  free_.pop_back();
  return cell;
}

void Arena::give_back(std::uint8_t* cell) {
  wipe({cell, kSecretSize});
  MutexLock lock(mu_);
  CHECK(free_.size() < cells_);
  free_.push_back(cell);
}

void Arena::prepare() {
  MutexLock lock(mu_);
  if (free_.empty()) add_slab();
}

std::string Arena::notice() {
  MutexLock lock(mu_);
  return notice_;
}

}  // namespace s3crate::crypto::internal
