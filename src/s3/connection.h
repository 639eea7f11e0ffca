// SPDX-License-Identifier: GPL-3.0-or-later
// Connection: one request at a time, over a connection that stays open in between. connection.cc
// alone names curl.
#pragma once

#include <memory>

#include "s3/http.h"

namespace s3crate::s3 {

class Connection {
 public:
  // Once before the first one is made; any number of times.
  static void begin();

  Connection(const HttpOptions& options, Lane lane);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // As Http::perform().
  [[nodiscard]] Result<HttpAnswer> perform(const HttpOptions& options, const HttpRequest& request,
                                           const Traffic& traffic);
  // How often the last request had to connect.
  [[nodiscard]] std::uint64_t connects() const;

  // From any thread: ends perform() until arm() is called.
  void cancel();
  void arm();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace s3crate::s3
