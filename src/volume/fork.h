// SPDX-License-Identifier: GPL-3.0-or-later
// fork(): a volume with keys of its own that begins as a generation of another one, its origin, and shares all data with it.
//
//   1. the origin's chain gets a pin: as long as it is there, nothing goes that the generation needs;
//   2. commit 1 of the fork comes into its store, with the keys of all origins sealed under its own; then its slots;
//   3. pages: the map of the generation, with what has changed since its checkpoint laid over it, and the object tables of the
//      origins, likewise; whatever did not change stays where it is;
//   4. commit 2, a checkpoint with these roots; then the `volume` object.
//
// A process that dies leaves a pin, and objects of no volume: neither does the origin any harm. An error before the last step takes
// the pin away again.
#pragma once

#include "store/origin_stores.h"
#include "volume/create.h"

namespace s3crate::volume {

struct ForkOptions {
  std::string origin_url;  // how the origin is found from the fork
  std::string note;        // of the pin: for whom it is
  std::string host;
  bool single_writer = false;
  crypto::Argon2Cost argon2;
  std::size_t page_bytes = kPagePlainMax;  // shrunk by tests
  std::uint64_t page_cache_bytes = 64 << 20;
};
struct Forked {
  Vid vid{};
  Generation origin_generation;
  std::uint64_t disk_bytes = 0;
  std::uint64_t bytes_put = 0;  // of pages of the map
};
// Puts a guest into the origin's chain.
using PutGuest = std::function<Result<>(const CommitBody&)>;

// `point` belongs to the verified history of `origin`. `target` is the store of the fork, with those of all its origins attached:
// that of `origin` first, then its own. kExists: something is there; kBadKey: this key may not read the data, or not pin it;
// kCorrupt: damage to the origin. Wants crypto::initialise().
[[nodiscard]] Result<Forked> fork(Env env, Volume& origin, const Commit& point, store::OriginStores& target,
                                  const ForkOptions& options, std::span<const SlotRequest> slots, const PutGuest& put_guest);
// The same with a view of that generation that came about in another way than load_view(), as by rebuild().
[[nodiscard]] Result<Forked> fork(Env env, Volume& origin, const Commit& point, const View& state, store::OriginStores& target,
                                  const ForkOptions& options, std::span<const SlotRequest> slots, const PutGuest& put_guest);

// The same of a disk that no generation of `origin` is, as salvage() tells it. Of a chain that is lost there is nothing to pin: whatever deletes objects of
// `origin` must know of the fork by other ways. `options.note` is for nobody.
[[nodiscard]] Result<Forked> fork_state(Env env, Volume& origin, const View& state, store::OriginStores& target, const ForkOptions& options,
                                        std::span<const SlotRequest> slots);

// Extension 7 of a body, in commit 2 of a fork: the generation of its origin that it began as.
void put_fork_point(CommitBody& body, const CommitRef& point);
[[nodiscard]] std::optional<CommitRef> fork_point(const CommitBody& body);

}  // namespace s3crate::volume
