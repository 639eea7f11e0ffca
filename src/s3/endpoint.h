// SPDX-License-Identifier: GPL-3.0-or-later
// Where a bucket is: scheme, host, and whether the bucket's name goes into the host or the path.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace s3crate::s3 {

enum class Style {
  guess,         // virtual_host for Amazon and names that fit into a host name, else path
  path,          // https://host/bucket/name
  virtual_host,  // https://bucket.host/name
};

struct EndpointOptions {
  std::string url;     // "https://host[:port]"; empty: Amazon's for the region
  std::string region;  // empty: us-east-1
  std::string bucket;
  Style style = Style::guess;
  bool insecure_http = false;  // plain http also to other machines
};

// Immutable.
class Endpoint {
 public:
  // kBadArgument.
  [[nodiscard]] static Result<Endpoint> make(const EndpointOptions& options);

  [[nodiscard]] bool tls() const { return tls_; }
  [[nodiscard]] bool loopback() const { return loopback_; }
  [[nodiscard]] const std::string& region() const { return region_; }
  // "https://host:port", as users know it.
  [[nodiscard]] const std::string& text() const { return text_; }
  // The bucket's name is in the host, else in the path.
  [[nodiscard]] bool virtual_host() const { return bucket_path_.empty(); }
  // The server, however its URL was written: host in lower case, and port if it is not the usual one.
  [[nodiscard]] const std::string& machine() const { return machine_; }
  // The Host header.
  [[nodiscard]] const std::string& host() const { return host_; }
  // Encoded, of the object with this whole name; of the bucket if it is empty.
  [[nodiscard]] std::string path(std::string_view key) const;
  // `query` is encoded.
  [[nodiscard]] std::string url(std::string_view path, std::string_view query) const;

 private:
  Endpoint() = default;
  bool tls_ = true;
  bool loopback_ = false;
  std::string region_;
  std::string text_;
  std::string machine_;
  std::string host_;
  std::string bucket_path_;  // "/bucket" in path style, else empty
};

}  // namespace s3crate::s3
