// SPDX-License-Identifier: GPL-3.0-or-later
// FileIo whose File::write() hands all its writes and their fdatasync to the kernel in one io_uring
// submission. Everything else is posix_file_io's.
//
// - Nothing returns while the kernel holds a caller's buffer: what was submitted is waited for.
// - The fdatasync is drained: it starts when the writes before it have ended.
// - What a write left undone (a short count, EINTR, EAGAIN) is finished by pwritev(2) and synced.
// - A failed fdatasync is an error and is not tried again.
// - A ring that refuses a submission is given up, and the same bytes are written by pwritev(2).
//
// A ring serves one write() at a time; those not in use wait in a pool. A child of fork(2) makes
// its own.

#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "base/check.h"
#include "base/mutex.h"
#include "io/posix_file_io.h"

namespace s3crate::io {
namespace {

constexpr unsigned kRingEntries = 64;
constexpr std::size_t kMaxIdleRings = 8;

struct Outcome {
  std::array<int, kRingEntries> written;  // of each chunk: bytes, or -errno
  int synced = 0;
};

class Ring {
 public:
  // None if the kernel has no io_uring, forbids it, or lets us lock no more memory.
  static std::unique_ptr<Ring> make() {
    auto ring = std::unique_ptr<Ring>(new Ring);
    if (io_uring_queue_init(kRingEntries, &ring->ring_, 0) != 0) return nullptr;
    ring->live_ = true;
    // Lest a child of fork(2) shares the queues.
    if (io_uring_ring_dontfork(&ring->ring_) != 0) return nullptr;
    return ring;
  }
  ~Ring() {
    if (live_) io_uring_queue_exit(&ring_);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // None if the kernel did not take all of it; the ring is useless then.
  [[nodiscard]] std::optional<Outcome> run(int fd, std::span<const Chunk> chunks, Sync sync) {
    CHECK(chunks.size() + 1 <= kRingEntries);
    unsigned count = 0;
    for (const Chunk& chunk : chunks) {
      io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
      io_uring_prep_writev(sqe, fd, chunk.parts.data(), static_cast<unsigned>(chunk.parts.size()),
                           chunk.offset);
      io_uring_sqe_set_data64(sqe, count++);
    }
    if (sync == Sync::yes) {
      io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
      io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
      io_uring_sqe_set_flags(sqe, IOSQE_IO_DRAIN);
      io_uring_sqe_set_data64(sqe, kSyncTag);
      ++count;
    }
    unsigned submitted = submit(count);
    Outcome outcome = reap(submitted);
    if (submitted < count) return std::nullopt;
    return outcome;
  }

 private:
  static constexpr std::uint64_t kSyncTag = kRingEntries;

  Ring() = default;

  unsigned submit(unsigned count) {
    unsigned submitted = 0;
    while (submitted < count) {
      int n = io_uring_submit_and_wait(&ring_, count);
      if (n == -EINTR) continue;
      if (n <= 0) break;
      submitted += static_cast<unsigned>(n);
    }
    return submitted;
  }

  Outcome reap(unsigned submitted) {
    Outcome outcome;
    for (unsigned i = 0; i < submitted; ++i) {
      io_uring_cqe* cqe = nullptr;
      int err;
      do {
        err = io_uring_wait_cqe(&ring_, &cqe);
      } while (err == -EINTR || err == -EAGAIN);
      CHECK(err == 0);
      std::uint64_t tag = io_uring_cqe_get_data64(cqe);
      if (tag == kSyncTag) {
        outcome.synced = cqe->res;
      } else {
        outcome.written.at(tag) = cqe->res;
      }
      io_uring_cqe_seen(&ring_, cqe);
    }
    return outcome;
  }

  io_uring ring_{};
  bool live_ = false;
};

class RingPool {
 public:
  // None: use pwritev(2).
  [[nodiscard]] std::unique_ptr<Ring> take() {
    {
      MutexLock lock(mu_);
      if (pid_ != getpid()) {
        // The parent's: their memory is not mapped here, so they can only be forgotten.
        for (auto& ring : idle_) static_cast<void>(ring.release());
        idle_.clear();
        pid_ = getpid();
      }
      if (!idle_.empty()) {
        std::unique_ptr<Ring> ring = std::move(idle_.back());
        idle_.pop_back();
        return ring;
      }
    }
    return Ring::make();
  }

  void give_back(std::unique_ptr<Ring> ring) {
    MutexLock lock(mu_);
    if (idle_.size() < kMaxIdleRings) idle_.push_back(std::move(ring));
  }

 private:
  Mutex mu_;
  std::vector<std::unique_ptr<Ring>> idle_ GUARDED_BY(mu_);
  pid_t pid_ GUARDED_BY(mu_) = getpid();
};

class UringFile final : public PosixFile {
 public:
  UringFile(int fd, std::string path, RingPool& pool)
      : PosixFile(fd, std::move(path)), pool_(pool) {}

  [[nodiscard]] Result<> write(std::span<const WriteOp> ops, Sync sync) override {
    WritePlan plan(ops);
    std::span<Chunk> chunks = plan.chunks();
    if (chunks.size() + (sync == Sync::yes ? 1 : 0) < 2) return PosixFile::write(ops, sync);
    std::unique_ptr<Ring> ring = pool_.take();
    while (!chunks.empty()) {
      if (!ring) return PosixFile::write(ops, sync);
      std::size_t count = std::min<std::size_t>(chunks.size(), kRingEntries - 1);
      Sync sync_now = count == chunks.size() ? sync : Sync::no;
      std::optional<Outcome> outcome = ring->run(fd(), chunks.first(count), sync_now);
      if (!outcome) {
        ring.reset();
        continue;
      }
      Result<> done = settle(chunks.first(count), *outcome, sync_now);
      if (!done) {
        pool_.give_back(std::move(ring));
        return done;
      }
      chunks = chunks.subspan(count);
    }
    if (ring) pool_.give_back(std::move(ring));
    return {};
  }

 private:
  // Finishes what the ring left undone.
  [[nodiscard]] Result<> settle(std::span<Chunk> chunks, const Outcome& outcome, Sync sync) {
    bool sync_again = false;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      int written = outcome.written.at(i);
      if (written < 0 && written != -EINTR && written != -EAGAIN) {
        return fail(errno_error(-written, "write", path()));
      }
      if (written > 0) advance(chunks[i], static_cast<std::size_t>(written));
      if (chunks[i].length == 0) continue;
      TRY(write_chunk(chunks[i]));
      sync_again = true;
    }
    if (sync == Sync::no) return {};
    if (outcome.synced < 0) return fail(errno_error(-outcome.synced, "sync", path()));
    return sync_again ? datasync() : Result<>{};
  }

  RingPool& pool_;
};

class UringFileIo final : public PosixFileIo {
 public:
  [[nodiscard]] bool works() {
    std::unique_ptr<Ring> ring = pool_.take();
    if (!ring) return false;
    pool_.give_back(std::move(ring));
    return true;
  }

 protected:
  [[nodiscard]] std::unique_ptr<File> make_file(int fd, const std::string& path) override {
    return std::make_unique<UringFile>(fd, path, pool_);
  }

 private:
  RingPool pool_;
};

}  // namespace

FileIo& uring_file_io() {
  static UringFileIo io;
  static const bool works = io.works();
  if (!works) return posix_file_io();
  return io;
}

}  // namespace s3crate::io
