// SPDX-License-Identifier: GPL-3.0-or-later
// ObjectStore: write-once objects under names. The contract; tests/unit/store_contract.h is its suite, and every
// implementation and every wrapper (retry, metering, faults) passes it.
//
// Thread-safe; calls block. Names are non-empty, of [0-9A-Za-z._~/-], without empty, "." or ".." components, at
// most 512 bytes; the URL's prefix is the implementation's own business.
//
// Errors of every call: kTransient (try again; an outage, throttling and a full store are this), kDenied,
// kCorrupt (the store answered nonsense: wrong length, failed checksum), kCancelled, kBadArgument (a bad name),
// and those named below. After kTransient a put or remove may have been done, may not, or may be done later.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace s3crate::store {

struct StoreCaps {
  bool put_if_absent = true;   // put() enforces kExists, atomically, among all writers
  bool verifies_puts = true;   // put() returns only when the store has checked what it got
  bool local = false;          // no network in between: no retries or read-ahead wanted
};

struct ObjectInfo {
  std::string name;
  std::uint64_t size = 0;
};

struct ListPage {
  std::vector<ObjectInfo> objects;  // in byte order of names
  bool more = false;
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // Stores the parts, one behind the other, under a name not yet taken: all or nothing, durable when it
  // returns. kExists if the name is taken, whatever its bytes: the caller finds out whether they are its own.
  [[nodiscard]] virtual Result<> put(const std::string& name, std::span<const ByteView> parts) = 0;
  [[nodiscard]] Result<> put(const std::string& name, ByteView data) { return put(name, {&data, 1}); }

  // The whole object. kNotFound; kCorrupt if longer than `max_size`, before reading it.
  [[nodiscard]] virtual Result<Bytes> get(const std::string& name, std::uint64_t max_size) = 0;

  // Exactly out.size() (> 0) bytes at `offset`. kNotFound; a shorter object is kCorrupt; never a partial result.
  [[nodiscard]] virtual Result<> get_range(const std::string& name, std::uint64_t offset,
                                           MutableByteView out) = 0;
  // The same for a reader that nobody waits for yet: where there are but so many places, it takes none of get_range()'s, and
  // where calls are repeated, it gives up early.
  [[nodiscard]] virtual Result<> get_range_ahead(const std::string& name, std::uint64_t offset, MutableByteView out) {
    return get_range(name, offset, out);
  }

  // kNotFound.
  [[nodiscard]] virtual Result<ObjectInfo> head(const std::string& name) = 0;

  // Up to max_keys (1 to 1000) names that begin with `prefix` and follow `start_after` in byte order.
  [[nodiscard]] virtual Result<ListPage> list(const std::string& prefix, const std::string& start_after,
                                              std::size_t max_keys) = 0;

  // Only prune, erase and key revoke may call this. Removing what is not there is no error.
  [[nodiscard]] virtual Result<> remove(const std::string& name) = 0;

  // The store's own idea of now, if it said one lately.
  [[nodiscard]] virtual std::optional<WallTime> store_time() { return std::nullopt; }

  // What it can do, known without asking it. Constant.
  [[nodiscard]] virtual StoreCaps caps() const = 0;
  // For messages: "file:///srv/disk".
  [[nodiscard]] virtual std::string describe() const = 0;
};

[[nodiscard]] bool is_valid_object_name(std::string_view name);

}  // namespace s3crate::store
