// SPDX-License-Identifier: GPL-3.0-or-later
// The one place that knows which stores there are and how they are stacked: metered(retry(directory)).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/url.h"
#include "store/metered_store.h"
#include "store/retry_store.h"
#include "volume/volume.h"

namespace s3crate::cli {

// What a command does when the store is away.
enum class Outage { kFail, kWait };

class Stack {
 public:
  // kUnsupported for s3://.
  [[nodiscard]] static Result<std::unique_ptr<Stack>> make(Env env, const Url& url, Outage outage, Duration outage_timeout = {});

  [[nodiscard]] store::ObjectStore& store() { return *metered_; }
  [[nodiscard]] store::StoreStats stats() const { return metered_->stats(); }
  [[nodiscard]] store::RetryStats retry_stats() const { return retry_ ? retry_->stats() : store::RetryStats{}; }
  // Nothing waits for the store any more.
  void cancel();
  // What makes this place this place.
  [[nodiscard]] const std::vector<std::string>& home() const { return home_; }

 private:
  Stack() = default;
  std::unique_ptr<store::ObjectStore> base_;
  std::unique_ptr<store::RetryStore> retry_;
  std::unique_ptr<store::MeteredStore> metered_;
  std::vector<std::string> home_;
};

// The URL of the command's first argument; a point of the past is refused, since nothing opens one yet.
[[nodiscard]] Result<Url> url_argument(const Arguments& arguments);

// Unlocks the volume at the URL, and refuses it if it is not the one that the URL or --expect-volume names.
[[nodiscard]] Result<std::unique_ptr<volume::Volume>> open_volume(Env env, Stack& stack, const Url& url,
                                                                  const Arguments& arguments, std::uint64_t page_cache_bytes);

}  // namespace s3crate::cli
