// SPDX-License-Identifier: GPL-3.0-or-later
// What S3 answers to a request that has arrived whole; knows nothing of sockets and faults.
#pragma once

#include <ctime>
#include <optional>
#include <string>

#include "tests/s3/message.h"
#include "tests/s3/objects.h"
#include "tests/s3/settings.h"

namespace s3crate::test::strict {

// What a request's line and headers ask for.
struct Route {
  std::string operation = "Unknown";  // as in S3's API: PutObject, ListObjectsV2
  std::string bucket, key;
  Query query;
  std::optional<Response> refusal;  // already known: not well formed, or not signed as it must be
};

class Service {
 public:
  [[nodiscard]] static Route route(const Request& request, const Settings& settings,
                                   std::time_t now);

  // `as_of` is in the past for stale answers. `ticket` is of objects().begin_put().
  [[nodiscard]] Response serve(const Route& route, const Request& request, const Settings& settings,
                               std::time_t now, SteadyTime as_of, std::uint64_t ticket);

  [[nodiscard]] ObjectTable& objects() { return objects_; }

 private:
  Response put_object(const Route& route, const Request& request, const Settings& settings,
                      std::time_t now, std::uint64_t ticket);
  Response get_object(const Route& route, const Request& request, const Settings& settings,
                      SteadyTime as_of) const;
  Response list_objects(const Route& route, const Settings& settings, SteadyTime as_of) const;

  ObjectTable objects_;
};

}  // namespace s3crate::test::strict
