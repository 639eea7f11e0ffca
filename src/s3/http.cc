// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/http.h"

#include <algorithm>

#include "s3/connection.h"

namespace s3crate::s3 {
namespace {

bool is_header_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c == '\t' || (c >= ' ' && c != 0x7f); });
}

// By how many a rate that was set may be shared.
constexpr double kSharers = 64;
constexpr double kSecondsMax = 86400;

double seconds_at(std::uint64_t bytes, std::uint64_t slowest, std::uint64_t rate) {
  auto least = static_cast<double>(slowest);
  if (rate != 0) least = std::min(least, static_cast<double>(rate) / kSharers);
  return static_cast<double>(bytes) / least;
}

}  // namespace

Duration time_limit(const HttpOptions& options, std::uint64_t bytes_up, std::uint64_t bytes_down,
                    std::uint64_t rate_up, std::uint64_t rate_down) {
  const double seconds = seconds_at(bytes_up, options.slowest_upload, rate_up) +
                         seconds_at(bytes_down, options.slowest_download, rate_down);
  return options.connect_timeout + 2 * options.stall_timeout +
         std::chrono::seconds(static_cast<std::int64_t>(std::min(seconds, kSecondsMax)));
}

std::string_view HttpAnswer::header(std::string_view name) const {
  auto at = std::ranges::find(headers, name, &Header::name);
  return at == headers.end() ? std::string_view() : std::string_view(at->value);
}

bool HttpAnswer::is_page() const {
  constexpr std::string_view kHtml = "text/html";
  const std::string_view type = header("content-type").substr(0, kHtml.size());
  return std::ranges::equal(type, kHtml, {}, [](char c) { return static_cast<char>(c | 0x20); });
}

Http::Http(HttpOptions options, Traffic traffic) : options_(std::move(options)), traffic_(traffic) {
  Connection::begin();
  CHECK(options_.stall_timeout >= std::chrono::seconds(1) && options_.slowest_upload > 0 &&
        options_.slowest_download > 0);
}

Http::~Http() {
  MutexLock lock(mu_);
  CHECK(busy_.empty());
}

Result<HttpAnswer> Http::perform(const HttpRequest& request) {
  for (const Header& header : request.headers) {
    if (!is_header_text(header.name) || !is_header_text(header.value)) {
      return fail(Code::kBadArgument, "the header {} has characters that none may have",
                  header.name);
    }
  }
  auto lane = static_cast<std::size_t>(request.lane);
  Connections mine;
  {
    MutexLock lock(mu_);
    if (!idle_.at(lane).empty()) mine.splice(mine.begin(), idle_.at(lane), idle_.at(lane).begin());
  }
  if (mine.empty()) mine.push_back(std::make_unique<Connection>(options_, request.lane));
  const auto at = mine.begin();
  Connection& connection = **at;
  {
    MutexLock lock(mu_);
    connection.arm();
    busy_.splice(busy_.begin(), mine);
  }
  auto answer = connection.perform(options_, request, traffic_);
  Counters& counters = counters_.at(lane);
  ++counters.requests;
  counters.connects += connection.connects();
  if (answer) {
    for (ByteView part : request.body) counters.bytes_up += part.size();
    counters.bytes_down += answer->body_size;
  }
  MutexLock lock(mu_);
  idle_.at(lane).splice(idle_.at(lane).begin(), busy_, at);
  return answer;
}

void Http::cancel() {
  {
    MutexLock lock(mu_);
    for (const auto& connection : busy_) connection->cancel();
  }
  traffic_.up.cancel();
  traffic_.down.cancel();
}

LaneCounters Http::counters(Lane lane) const {
  const Counters& counters = counters_.at(static_cast<std::size_t>(lane));
  return {counters.requests, counters.connects, counters.bytes_up, counters.bytes_down};
}

}  // namespace s3crate::s3
