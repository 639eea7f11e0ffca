// SPDX-License-Identifier: GPL-3.0-or-later
// The one place that knows which stores there are and how they are stacked:
//
//   directory   retry(metered(DirStore))
//   S3          md5 cache(retry(metered(S3Store)))
//
// and in front of it the stores of a fork's origins, each with a stack of its own.
//
// So each request is metered, and so is each that is repeated; a StoreWatch looks at what waits. Commands that do not wait for a store that is away have no retry
// for a directory, and one of some seconds for S3, where a request may fail at any time; only a mount has the MD5 cache.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/store_watch.h"
#include "cli/url.h"
#include "s3/s3_store.h"
#include "store/dir_store.h"
#include "store/md5_cache_store.h"
#include "store/metered_store.h"
#include "store/origin_stores.h"
#include "store/retry_store.h"
#include "volume/point.h"

namespace s3crate::cli {

// What a command does when the store is away, or full: each call fails after a short while; or waits. A disk asks again and again for what it
// could not put, so for who is a writer for a moment (cli/brief_writer.h) all ends once a put has failed for that while.
enum class Outage { kFail, kEnd, kWait };

// Where a bucket is, and who we are there.
struct S3Place {
  std::string endpoint, region;
  bool virtual_host = false;
  std::string access_key;  // its id; empty: nobody
  std::string keys_from;   // "the environment"
};

class Stack {
 public:
  // kBadArgument, kDenied: endpoint, certificates and credentials make no sense. Nothing is asked of the store.
  [[nodiscard]] static Result<std::unique_ptr<Stack>> make(Env env, const Url& url, const Arguments& arguments, Outage outage,
                                                           Duration outage_timeout = {});

  [[nodiscard]] store::OriginStores& store() { return *front_; }
  [[nodiscard]] store::StoreStats stats() const { return metered_->stats(); }
  [[nodiscard]] store::RetryStats retry_stats() const { return retry_ ? retry_->stats() : store::RetryStats{}; }
  [[nodiscard]] std::optional<store::Trouble> trouble() const;
  [[nodiscard]] std::optional<store::Md5CacheStats> md5_cache_stats() const;
  // Connections made to S3.
  [[nodiscard]] std::optional<std::uint64_t> connects() const;
  // Below all wrappers, so one try each; null for a directory.
  [[nodiscard]] s3::S3Store* s3() { return s3_.get(); }
  [[nodiscard]] const S3Place& s3_place() const { return s3_place_; }
  // Nothing waits for the store any more.
  void cancel();
  // From now on nobody sits in front and waits: nothing is said on the terminal, and what has no limit waits without one.
  void leave_terminal();
  // Why calls were cancelled, if the command has waited too long for the store.
  [[nodiscard]] std::optional<Error> given_up() const { return watch_ ? watch_->given_up() : std::nullopt; }
  // The volume has one writer, for want of a store that could decide between two.
  void use_single_writer();
  // The stores of the origins of a fork, where it says they are, or where --origin-url does. One that is missing is no error
  // before something of it is asked for; what is said of it then is in origin_notes().
  [[nodiscard]] Result<> attach_origins(Env env, const volume::VolumeObject& fork, const Arguments& arguments);
  [[nodiscard]] const std::vector<std::string>& origin_notes() const { return origin_notes_; }
  // What makes this place this place.
  [[nodiscard]] const std::vector<std::string>& home() const { return home_; }

 private:
  Stack() = default;
  [[nodiscard]] static Result<std::unique_ptr<Stack>> build(Env env, const Url& url, const Arguments& arguments, Outage outage,
                                                            Duration outage_timeout);
  [[nodiscard]] Result<> make_s3(Env env, const Url& url, const Arguments& arguments, Duration patience);

  std::unique_ptr<s3::CredentialSource> credentials_;
  std::unique_ptr<s3::S3Store> s3_;
  S3Place s3_place_;
  std::unique_ptr<store::DirStore> directory_;
  std::unique_ptr<store::MeteredStore> metered_;
  std::unique_ptr<store::RetryStore> retry_;
  std::unique_ptr<store::Md5CacheStore> md5_cache_;
  store::ObjectStore* top_ = nullptr;
  Outage outage_ = Outage::kFail;
  Duration outage_timeout_{};
  std::vector<std::unique_ptr<Stack>> origin_stacks_;
  std::optional<store::OriginStores> front_;
  std::vector<std::string> origin_notes_;
  std::vector<std::string> home_;
  std::unique_ptr<StoreWatch> watch_;  // of the others, so the last
};

// A URL that the command was given, its first argument unless another is named. Commands about the newest generation, or the whole
// volume, refuse a point of the past.
enum class TakesPoint { no, yes };
[[nodiscard]] Result<Url> url_argument(const Arguments& arguments, TakesPoint takes_point = TakesPoint::no, std::size_t index = 0);
// The point that such a URL names, if it names one.
[[nodiscard]] Result<std::optional<volume::Point>> point_of(const Url& url, WallTime now);

// The generation that a point means; what goes wrong is said of the URL.
[[nodiscard]] Result<volume::Commit> resolve_point(volume::Volume& volume, const volume::Commit& head, const volume::Point& point, const Url& url);

// The same of a command about buckets.
[[nodiscard]] Result<Url> bucket_argument(const Arguments& arguments);

// Unlocks the volume at the URL, and refuses it if it is not the one that the URL or --expect-volume names. Commands that read no
// data leave its origins alone.
enum class Origins { attach, leave };
[[nodiscard]] Result<std::unique_ptr<volume::Volume>> open_volume(Env env, Stack& stack, const Url& url,
                                                                  const Arguments& arguments, std::uint64_t page_cache_bytes,
                                                                  Origins origins = Origins::attach);

}  // namespace s3crate::cli
