// SPDX-License-Identifier: GPL-3.0-or-later
// MeteredStore: counts what goes through to the store below, and how long it takes. Changes
// nothing.
#pragma once

#include <array>
#include <atomic>

#include "base/histogram.h"
#include "store/object_store.h"

namespace s3crate::store {

enum class Verb { put, get, get_range, head, list, remove };
inline constexpr std::size_t kVerbs = 6;
[[nodiscard]] std::string_view verb_name(Verb verb);

struct VerbStats {
  std::uint64_t calls = 0;  // that have ended
  std::uint64_t bytes = 0;  // of objects, sent or received by calls that succeeded
  // By Code. A miss counts under kNotFound and a lost race under kExists, though neither is a
  // failure.
  std::array<std::uint64_t, static_cast<std::size_t>(Code::kIo) + 1> errors{};
  Duration p50{};
  Duration p99{};

  [[nodiscard]] std::uint64_t errors_of(Code code) const {
    return errors.at(static_cast<std::size_t>(code));
  }
};

struct StoreStats {
  std::array<VerbStats, kVerbs> verbs;

  [[nodiscard]] const VerbStats& operator[](Verb verb) const {
    return verbs.at(static_cast<std::size_t>(verb));
  }
  [[nodiscard]] std::uint64_t calls() const;
};

class MeteredStore final : public ObjectStore {
 public:
  // `inner` must outlive this.
  MeteredStore(Clock& clock, ObjectStore& inner) : clock_(clock), inner_(inner) {}

  // Each number is exact; those of calls that end meanwhile may be counted in part.
  [[nodiscard]] StoreStats stats() const;

  using ObjectStore::put;
  [[nodiscard]] Result<> put(const std::string& name, std::span<const ByteView> parts) override;
  [[nodiscard]] Result<Bytes> get(const std::string& name, std::uint64_t max_size) override;
  [[nodiscard]] Result<> get_range(const std::string& name, std::uint64_t offset,
                                   MutableByteView out) override;
  [[nodiscard]] Result<> get_range_ahead(const std::string& name, std::uint64_t offset,
                                         MutableByteView out) override;
  [[nodiscard]] Result<ObjectInfo> head(const std::string& name) override;
  [[nodiscard]] Result<ListPage> list(const std::string& prefix, const std::string& start_after,
                                      std::size_t max_keys) override;
  [[nodiscard]] Result<> remove(const std::string& name) override;
  [[nodiscard]] std::optional<WallTime> store_time() override { return inner_.store_time(); }
  [[nodiscard]] StoreCaps caps() const override { return inner_.caps(); }
  [[nodiscard]] std::string describe() const override { return inner_.describe(); }

 private:
  struct Meter {
    std::atomic<std::uint64_t> bytes = 0;
    std::array<std::atomic<std::uint64_t>, std::tuple_size_v<decltype(VerbStats::errors)>> errors{};
    Histogram latency;
  };
  // `bytes_of` says how many bytes a success moved.
  template <typename Call, typename BytesOf>
  auto measure(Verb verb, Call call, BytesOf bytes_of) -> decltype(call());

  Clock& clock_;
  ObjectStore& inner_;
  std::array<Meter, kVerbs> meters_;
};

}  // namespace s3crate::store
