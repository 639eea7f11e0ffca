// SPDX-License-Identifier: GPL-3.0-or-later
// Http: blocking HTTP/1.1 requests to one server over connections that are kept and reused.
//
// A lane has its own connections, the one used last is used first. Redirects are not followed, and
// answers of a connection are not believed before its certificate is verified. A body that came is
// bounded before it is stored; one that is shorter than announced is no answer. A page of HTML is
// never what was wanted: who does not know S3 answers with one, whatever the status.
#pragma once

#include <atomic>
#include <list>
#include <optional>

#include "s3/limits.h"
#include "s3/pacer.h"
#include "s3/sigv4.h"

namespace s3crate::s3 {

struct HttpOptions {
  std::string ca_file;  // PEM; empty: the system's
  std::string user_agent;
  bool loopback = false;  // the server is this machine: no proxy of the environment is asked
  Duration connect_timeout = std::chrono::seconds(10);
  // A request that moves less than a byte a second for so long has failed. At least 1 s.
  Duration stall_timeout = std::chrono::seconds(30);
  // A request may take connect_timeout + 2 * stall_timeout, and its bytes at these rates (per
  // second): so slow may be one of several uploads that share a poor line.
  std::uint64_t slowest_upload = 2 * 1024;
  std::uint64_t slowest_download = 16 * 1024;
};

// How long a request with these bodies may take; rates that the user set may be shared by all that
// goes at once. 0: none is set.
[[nodiscard]] Duration time_limit(const HttpOptions& options, std::uint64_t bytes_up,
                                  std::uint64_t bytes_down, std::uint64_t rate_up = 0,
                                  std::uint64_t rate_down = 0);

// Of an answer that was not wanted, so much is kept to say why.
inline constexpr std::size_t kErrorBodyMax = 64 * 1024;

struct HttpRequest {
  Lane lane = Lane::meta;
  std::string method;
  std::string url;
  Headers headers;                      // with Host
  std::span<const ByteView> body = {};  // sent with Content-Length by PUT
  // Where the body of an answer with status `stored_status` goes, unless it is a page: straight into
  // `into` if that is not empty, else into HttpAnswer::body, of at most body_max bytes. Other bodies
  // are cut at kErrorBodyMax.
  int stored_status = 200;
  MutableByteView into = {};
  std::uint64_t body_max = 0;
};

struct HttpAnswer {
  int status = 0;
  Headers headers;  // names in lower case
  Bytes body;       // if it did not go into `into`
  std::size_t body_size = 0;
  std::optional<WallTime> date;         // the Date header
  std::optional<WallTime> retry_after;  // that header, if it is a date

  // Empty if there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
  // HTML, made for people.
  [[nodiscard]] bool is_page() const;
};

struct LaneCounters {
  std::uint64_t requests = 0;
  std::uint64_t connects = 0;
  std::uint64_t bytes_up = 0;  // of bodies
  std::uint64_t bytes_down = 0;
};

// How fast, over all connections. `up` and `down` are what the user wants, `pacer` what the line
// bears.
struct Traffic {
  RateLimiter& up;
  RateLimiter& down;
  Pacer& pacer;
};

class Connection;

class Http {
 public:
  // What `traffic` names must outlive this.
  Http(HttpOptions options, Traffic traffic);
  ~Http();

  // Thread-safe. kTransient: no answer, or not all of it; kCorrupt: a body of more than body_max
  // bytes (into.size() if that is used); kDenied: the server is not whom its certificate should
  // say; kCancelled.
  [[nodiscard]] Result<HttpAnswer> perform(const HttpRequest& request);

  // Ends the requests under way; those that begin later are not touched.
  void cancel();

  [[nodiscard]] LaneCounters counters(Lane lane) const;

 private:
  struct Counters {
    std::atomic<std::uint64_t> requests = 0, connects = 0, bytes_up = 0, bytes_down = 0;
  };
  using Connections = std::list<std::unique_ptr<Connection>>;

  const HttpOptions options_;
  const Traffic traffic_;
  std::array<Counters, kLanes> counters_;

  Mutex mu_;
  std::array<Connections, kLanes> idle_ GUARDED_BY(mu_);  // the one used last in front
  Connections busy_ GUARDED_BY(mu_);
};

}  // namespace s3crate::s3
