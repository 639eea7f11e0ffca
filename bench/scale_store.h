// SPDX-License-Identifier: GPL-3.0-or-later
// ScaleStore: the objects of a volume of any size in memory, but in that of no process: in files of
// /memfd (or of a directory), read and written by pread and pwrite. So a process that uses it shows
// the memory that the program needs, and no more. It is handed on to a program by the numbers of
// its descriptors; what that one puts is gone when it ends.
//
// FarStore: lets each request take some time, and says how many had to wait for each other.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <string>

#include "base/executor.h"
#include "base/mutex.h"
#include "store/object_store.h"

namespace s3crate::bench {

enum class Kind { commits, segments, map, other };
inline constexpr std::size_t kKinds = 4;
[[nodiscard]] Kind kind_of(const std::string& name);

struct PutCount {
  std::uint64_t puts = 0, bytes = 0;
};
using PutCounts = std::array<PutCount, kKinds>;

class ScaleStore final : public store::ObjectStore {
 public:
  // Files in `directory`, without a name; in memory if it is empty.
  explicit ScaleStore(const std::string& directory);
  // What handed_on() said, in the process that it was said to.
  static std::unique_ptr<ScaleStore> take(const std::string& handed_on);
  ~ScaleStore() override;
  // For a child process.
  [[nodiscard]] std::string handed_on();

  // Whether the bytes of segments put from now on are kept (they are); they count in any case.
  std::atomic<bool> keep_segments{true};
  [[nodiscard]] PutCounts counts();
  [[nodiscard]] std::uint64_t stored_bytes();

  using ObjectStore::put;
  Result<> put(const std::string& name, std::span<const ByteView> parts) override;
  Result<Bytes> get(const std::string& name, std::uint64_t max_size) override;
  Result<> get_range(const std::string& name, std::uint64_t offset, MutableByteView out) override;
  Result<store::ObjectInfo> head(const std::string& name) override;
  Result<store::ListPage> list(const std::string& prefix, const std::string& start_after,
                               std::size_t max_keys) override;
  Result<> remove(const std::string& name) override;
  store::StoreCaps caps() const override { return {}; }
  std::string describe() const override { return "memory"; }

 private:
  struct Place {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };
  static constexpr std::uint64_t kDropped = ~std::uint64_t{0};
  ScaleStore(int data, int index, std::uint64_t indexed, std::uint64_t end)
      : data_(data), index_(index), indexed_(indexed), end_(end) {}
  [[nodiscard]] std::pair<std::string, Place> indexed_at(std::uint64_t i) const;
  [[nodiscard]] std::uint64_t first_not_below(const std::string& name) const;
  [[nodiscard]] Result<Place> find(const std::string& name);
  [[nodiscard]] Result<> read(const std::string& name, std::uint64_t offset, MutableByteView out);

  const int data_;
  const int index_;              // sorted records of names and places
  const std::uint64_t indexed_;  // how many
  Mutex mu_;
  std::uint64_t end_ GUARDED_BY(mu_);
  std::map<std::string, Place> fresh_ GUARDED_BY(mu_);  // beside the index
  PutCounts counts_ GUARDED_BY(mu_){};
};

class FarStore final : public store::ObjectStore {
 public:
  FarStore(Env env, store::ObjectStore& inner, Duration latency)
      : env_(env), inner_(inner), latency_(latency) {}
  std::atomic<bool> far{true};
  [[nodiscard]] std::uint64_t requests() const { return requests_; }
  // The longest chain of requests of which none began before the one before had ended.
  [[nodiscard]] std::uint64_t round_trips() const { return depth_; }

  using ObjectStore::put;
  Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    const Request request(*this);
    return inner_.put(name, parts);
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max) override {
    const Request request(*this);
    return inner_.get(name, max);
  }
  Result<> get_range(const std::string& name, std::uint64_t at, MutableByteView out) override {
    const Request request(*this);
    return inner_.get_range(name, at, out);
  }
  Result<store::ObjectInfo> head(const std::string& name) override {
    const Request request(*this);
    return inner_.head(name);
  }
  Result<store::ListPage> list(const std::string& prefix, const std::string& after,
                               std::size_t max) override {
    const Request request(*this);
    return inner_.list(prefix, after, max);
  }
  Result<> remove(const std::string& name) override { return inner_.remove(name); }
  store::StoreCaps caps() const override { return inner_.caps(); }
  std::string describe() const override { return inner_.describe(); }

 private:
  struct Request {
    explicit Request(FarStore& s) : store(s), depth(s.depth_ + 1) {
      ++store.requests_;
      if (store.far) nap(store.env_.clock, store.env_.executor, store.latency_);
    }
    ~Request() {
      std::uint64_t deepest = store.depth_;
      while (deepest < depth && !store.depth_.compare_exchange_weak(deepest, depth)) {
      }
    }
    FarStore& store;
    const std::uint64_t depth;
  };

  Env env_;
  store::ObjectStore& inner_;
  const Duration latency_;
  std::atomic<std::uint64_t> requests_{0}, depth_{0};
};

}  // namespace s3crate::bench
