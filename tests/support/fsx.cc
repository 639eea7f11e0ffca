// SPDX-License-Identifier: GPL-3.0-or-later
// Exercises one file in the spirit of fsx, the file system exerciser of NeXT, Apple and xfstests,
// with code of its own: random reads, writes, mappings, holes, copies and sizes, each held against
// a copy in memory, over and over.
//
//   fsx [--operations N] [--seed N] [--length BYTES] [--fixed] [--spoil N] FILE
//
// It works on the first BYTES of FILE. With --fixed the file keeps its size, as a disk does, and
// what is in it at first counts; else the file is created anew, and its size changes as well. At a
// byte that is not what it should be it prints the last operations, those that touched the byte
// marked, and ends with status 1. --spoil flips a byte behind its own back before operation N,
// which must end like that. What the file cannot do (EOPNOTSUPP) is left out, and said.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace {

enum Kind {
  kRead,
  kWrite,
  kMapRead,
  kMapWrite,
  kDirectRead,
  kDirectWrite,
  kTruncate,
  kPunch,
  kZero,
  kAllocate,
  kCopy,
  kSync,
  kDrop,
  kReopen,
  kKinds
};

struct KindInfo {
  const char* name;
  unsigned weight;
};
// Of 1000; what makes the disk below wait for its own disk is rare.
constexpr std::array<KindInfo, kKinds> kInfo{{{"read", 250},
                                              {"write", 250},
                                              {"mapread", 100},
                                              {"mapwrite", 100},
                                              {"directread", 30},
                                              {"directwrite", 30},
                                              {"truncate", 20},
                                              {"punch", 80},
                                              {"zero", 50},
                                              {"allocate", 20},
                                              {"copy", 50},
                                              {"sync", 2},
                                              {"drop", 15},
                                              {"reopen", 3}}};

constexpr size_t kPage = 4096;
constexpr size_t kLargest = 64 << 10;  // of one operation
constexpr size_t kRemembered = 300;

struct Options {
  uint64_t operations = 100000, seed = 1, spoil = 0;
  size_t length = 256 << 10;
  bool fixed = false;
  std::string path;
};

/// What an operation did; from and to where it copied.
struct Operation {
  uint64_t number;
  Kind kind;
  size_t at, count, from;
};

class Exerciser {
 public:
  explicit Exerciser(Options options)
      : options_(std::move(options)),
        random_(options_.seed),
        buffer_(static_cast<unsigned char*>(
            std::aligned_alloc(kPage, std::max(kLargest, options_.length)))) {
    reopen();
    if (options_.fixed) {
      options_.length = std::min(options_.length, size());
      model_.resize(options_.length);
      if (pread(fd_, model_.data(), model_.size(), 0) != static_cast<ssize_t>(model_.size()))
        die("read at first");
    } else {
      must(ftruncate(fd_, 0), "truncate at first");
    }
  }

  ~Exerciser() {
    close_files();
    std::free(buffer_);
  }
  Exerciser(const Exerciser&) = delete;
  Exerciser& operator=(const Exerciser&) = delete;

  void run() {
    for (number_ = 1; number_ <= options_.operations; ++number_) {
      if (number_ == options_.spoil) spoil();
      step(pick());
      if (number_ % 1000 == 0) verify_all();
    }
    must(fsync(fd_), "fsync at last");
    verify_all();
    drop();
    verify_all();
    report();
  }

 private:
  [[noreturn]] void give_up(const std::string& what, size_t where = SIZE_MAX) const {
    fmt::print("fsx: operation {}, seed {}: {}\n", number_, options_.seed, what);
    for (const auto& op : log_) {
      const bool touches = where != SIZE_MAX && op.kind < kSync && op.at <= where &&
                           (op.kind == kTruncate || where < op.at + op.count);
      fmt::print("{} {} {} at {} count {} from {}\n", touches ? '*' : ' ', op.number,
                 kInfo[op.kind].name, op.at, op.count, op.from);
    }
    std::exit(1);
  }

  [[noreturn]] void die(const char* what) const {
    give_up(fmt::format("{}: {}", what, std::strerror(errno)));
  }

  void must(int status, const char* what) const {
    if (status != 0) die(what);
  }

  /// True if it was done; an operation that the file does not have is never tried again.
  bool supported(int status, Kind kind) {
    if (status == 0) return true;
    if (errno != EOPNOTSUPP && errno != ENOSYS) die(kInfo[kind].name);
    left_out_[kind] = true;
    return false;
  }

  size_t below(size_t n) { return n == 0 ? 0 : random_() % n; }

  size_t size() const {
    struct stat s {};
    must(fstat(fd_, &s), "stat");
    return static_cast<size_t>(s.st_size);
  }

  void close_files() {
    if (fd_ >= 0) close(fd_);
    if (direct_fd_ >= 0) close(direct_fd_);
  }

  void reopen() {
    close_files();
    fd_ = open(options_.path.c_str(), O_RDWR | O_CLOEXEC | (options_.fixed ? 0 : O_CREAT), 0600);
    if (fd_ < 0) die("open");
    direct_fd_ = open(options_.path.c_str(), O_RDWR | O_CLOEXEC | O_DIRECT);
    if (direct_fd_ < 0) left_out_[kDirectRead] = left_out_[kDirectWrite] = true;
  }

  Kind pick() {
    unsigned sum = 0;
    for (const auto& info : kInfo) sum += info.weight;
    for (;;) {
      auto ticket = static_cast<unsigned>(below(sum));
      size_t kind = 0;
      while (ticket >= kInfo[kind].weight) ticket -= kInfo[kind++].weight;
      if (!left_out_[kind] && !(options_.fixed && kind == kTruncate))
        return static_cast<Kind>(kind);
    }
  }

  /// A place below `end`; half of them at pages, where most mistakes are.
  void place(size_t end, Operation& op) {
    op.count = 1 + below(below(4) == 0 ? kLargest : 2 * kPage);
    op.at = below(end);
    if (below(2) == 0) op.at -= op.at % kPage;
    if (below(3) == 0) op.count += kPage - op.count % kPage;
    op.count = std::min(op.count, end - op.at);
  }

  /// Fresh bytes, which tell the operation.
  void fill(size_t count) {
    for (size_t i = 0; i < count; i += 8) {
      const uint64_t word = (number_ << 32) ^ random_();
      std::memcpy(buffer_ + i, &word, std::min<size_t>(8, count - i));
    }
  }

  void grow_model(size_t end) {
    if (end > model_.size()) model_.resize(end);
  }

  void step(Kind kind) {
    Operation op{number_, kind, 0, 0, 0};
    const bool grows =
        !options_.fixed && (kind == kWrite || kind == kMapWrite || kind == kAllocate ||
                            kind == kTruncate || kind == kZero || kind == kDirectWrite);
    const size_t end = grows ? options_.length : model_.size();
    if (kind == kTruncate) {
      op.at = below(end + 1);
    } else if (kind < kSync) {
      if (end == 0) return;
      place(end, op);
    }
    if (kind == kDirectRead || kind == kDirectWrite) {
      op.at -= op.at % kPage;
      op.count = std::min((op.count + kPage - 1) / kPage * kPage, end - op.at);
      op.count -= op.count % kPage;
      if (op.count == 0) return;
    }
    if (kind == kCopy) {
      op.from = below(model_.size() - op.count + 1);
      if (op.from < op.at + op.count && op.at < op.from + op.count) return;
    }
    log_.push_back(op);
    if (log_.size() > kRemembered) log_.pop_front();
    ++done_[kind];
    carry_out(op);
    if (!options_.fixed && size() != model_.size()) {
      give_up(fmt::format("the size is {} instead of {}", size(), model_.size()));
    }
  }

  void carry_out(const Operation& op) {
    switch (op.kind) {
      case kRead:
        return read_back(fd_, op.at, op.count);
      case kDirectRead:
        return read_back(direct_fd_, op.at, op.count);
      case kWrite:
        return write(fd_, op);
      case kDirectWrite:
        return write(direct_fd_, op);
      case kMapRead:
        return mapped(op, PROT_READ, [&](const auto* p) { compare(p, op.at, op.count); });
      case kMapWrite:
        return map_write(op);
      case kTruncate:
        must(ftruncate(fd_, static_cast<off_t>(op.at)), "truncate");
        return model_.resize(op.at);
      case kPunch:
      case kZero:
      case kAllocate:
        return allocate(op);
      case kCopy:
        return copy(op);
      case kSync:
        return must(number_ % 2 == 0 ? fsync(fd_) : fdatasync(fd_), "sync");
      case kDrop:
        return drop();
      case kReopen:
        return reopen();
      case kKinds:
        return;
    }
  }

  void read_back(int fd, size_t at, size_t count) {
    const ssize_t n = pread(fd, buffer_, count, static_cast<off_t>(at));
    if (n < 0) die("read");
    if (static_cast<size_t>(n) != count) errno = EIO, die("short read");
    compare(buffer_, at, count);
  }

  void write(int fd, const Operation& op) {
    fill(op.count);
    const ssize_t n = pwrite(fd, buffer_, op.count, static_cast<off_t>(op.at));
    if (n < 0) die("write");
    if (static_cast<size_t>(n) != op.count) errno = EIO, die("short write");
    grow_model(op.at + op.count);
    std::memcpy(model_.data() + op.at, buffer_, op.count);
  }

  /// Maps the pages of op, hands over where it begins, and unmaps them.
  template <class Use>
  void mapped(const Operation& op, int protection, Use use) {
    const size_t lead = op.at % kPage, count = op.count + lead;
    void* p = mmap(nullptr, count, protection, MAP_SHARED, fd_, static_cast<off_t>(op.at - lead));
    if (p == MAP_FAILED) die("mmap");
    use(static_cast<unsigned char*>(p) + lead);
    if (number_ % 256 == 0) must(msync(p, count, MS_SYNC), "msync");
    munmap(p, count);
  }

  void map_write(const Operation& op) {
    if (op.at + op.count > model_.size()) {
      must(ftruncate(fd_, static_cast<off_t>(op.at + op.count)), "truncate");
      grow_model(op.at + op.count);
    }
    fill(op.count);
    std::memcpy(model_.data() + op.at, buffer_, op.count);
    mapped(op, PROT_READ | PROT_WRITE, [&](auto* p) { std::memcpy(p, buffer_, op.count); });
  }

  void allocate(const Operation& op) {
    const bool keeps = options_.fixed || number_ % 2 == 0;
    int mode = op.kind == kPunch  ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
               : op.kind == kZero ? FALLOC_FL_ZERO_RANGE
                                  : 0;
    if (keeps) mode |= FALLOC_FL_KEEP_SIZE;
    if (!supported(fallocate(fd_, mode, static_cast<off_t>(op.at), static_cast<off_t>(op.count)),
                   op.kind))
      return;
    if (op.kind != kPunch && !keeps) grow_model(op.at + op.count);
    if (op.kind == kAllocate || op.at >= model_.size()) return;
    std::memset(model_.data() + op.at, 0, std::min(op.count, model_.size() - op.at));
  }

  void copy(const Operation& op) {
    auto from = static_cast<off_t>(op.from), at = static_cast<off_t>(op.at);
    for (size_t left = op.count; left > 0;) {
      const ssize_t n = copy_file_range(fd_, &from, fd_, &at, left, 0);
      if (n <= 0 && left == op.count && !supported(-1, kCopy)) return;
      if (n <= 0) die("short copy");
      left -= static_cast<size_t>(n);
    }
    std::memcpy(model_.data() + op.at, model_.data() + op.from, op.count);
  }

  /// What is read next comes from below the kernel's cache.
  void drop() {
    constexpr unsigned kWritten =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    must(sync_file_range(fd_, 0, 0, kWritten), "write back");
    must(posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED), "drop");
  }

  void verify_all() { read_back(fd_, 0, model_.size()); }

  void spoil() {
    if (model_.empty()) return;
    const auto at = static_cast<off_t>(below(model_.size()));
    unsigned char byte = 0;
    if (pread(fd_, &byte, 1, at) != 1) die("read");
    byte ^= 0x10;
    if (pwrite(fd_, &byte, 1, at) != 1) die("write");
    fmt::print("fsx: spoiled the byte at {}\n", at);
  }

  void compare(const unsigned char* found, size_t at, size_t count) {
    if (std::memcmp(found, model_.data() + at, count) == 0) return;
    size_t first = 0, differ = 0;
    for (size_t i = count; i-- > 0;) {
      if (found[i] != model_[at + i]) first = i, ++differ;
    }
    give_up(fmt::format("the byte at {} is {:02x} instead of {:02x}, {} of {} differ", at + first,
                        found[first], model_[at + first], differ, count),
            at + first);
  }

  void report() const {
    fmt::print("fsx: {} operations, seed {}:", options_.operations, options_.seed);
    for (size_t kind = 0; kind < kKinds; ++kind) {
      fmt::print("{} {} {}", left_out_[kind] ? " no" : "", kInfo[kind].name, done_[kind]);
    }
    fmt::print("\n");
  }

  Options options_;
  std::mt19937_64 random_;
  unsigned char* buffer_;
  std::vector<unsigned char> model_;  // what the file must hold
  std::deque<Operation> log_;
  std::array<bool, kKinds> left_out_{};
  std::array<uint64_t, kKinds> done_{};
  uint64_t number_ = 0;
  int fd_ = -1, direct_fd_ = -1;
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--fixed") {
      options.fixed = true;
    } else if (arg.starts_with("--")) {
      if (++i == argc) return false;
      const uint64_t value = std::strtoull(argv[i], nullptr, 10);
      if (arg == "--operations")
        options.operations = value;
      else if (arg == "--seed")
        options.seed = value;
      else if (arg == "--spoil")
        options.spoil = value;
      else if (arg == "--length")
        options.length = value / kPage * kPage;
      else
        return false;
    } else {
      options.path = arg;
    }
  }
  return !options.path.empty() && options.length >= kPage;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fputs(
        "usage: fsx [--operations N] [--seed N] [--length BYTES] [--fixed] [--spoil N] FILE\n",
        stderr);
    return 2;
  }
  Exerciser(options).run();
  return 0;
}
