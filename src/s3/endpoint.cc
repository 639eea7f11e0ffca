// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/endpoint.h"

#include <algorithm>

#include "s3/sigv4.h"

namespace s3crate::s3 {
namespace {

constexpr std::string_view kDefaultRegion = "us-east-1";
constexpr std::size_t kBucketBytesMax = 255;
constexpr std::size_t kRegionBytesMax = 64;
constexpr std::size_t kHostBytesMax = 255;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_word(char c) {
  return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
}

bool is_bucket(std::string_view name) {
  return !name.empty() && name.size() <= kBucketBytesMax && name != "." && name != ".." &&
         std::ranges::all_of(name, is_word);
}

// Whether the bucket's name can be one label of a host name, which is also all that the wildcard of
// a certificate covers.
bool is_label(std::string_view name) {
  return name.size() <= 63 && name.front() != '-' && name.back() != '-' &&
         std::ranges::all_of(name, [](char c) { return is_digit(c) || is_lower(c) || c == '-'; });
}

struct Host {
  std::string name;  // without brackets
  std::string port;  // with its colon, or empty
  bool is_v6 = false;
};

Result<Host> parse_host(std::string_view text) {
  Host host;
  std::size_t port_from = std::string_view::npos;
  if (text.starts_with('[')) {
    std::size_t end = text.find(']');
    if (end == std::string_view::npos) return fail(Code::kBadArgument, "no ] in it");
    host.name = text.substr(1, end - 1);
    host.is_v6 = true;
    port_from = end + 1;
    if (!std::ranges::all_of(host.name, [](char c) {
          return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' ||
                 c == '.';
        })) {
      return fail(Code::kBadArgument, "no IPv6 address in []");
    }
  } else {
    port_from = std::min(text.find(':'), text.size());
    host.name = text.substr(0, port_from);
    if (!std::ranges::all_of(host.name, is_word))
      return fail(Code::kBadArgument, "no host name in it");
  }
  host.port = text.substr(port_from);
  std::string_view digits = host.port;
  if (!digits.empty()) {
    digits.remove_prefix(1);
    if (host.port[0] != ':' || digits.empty() || digits.size() > 5 ||
        !std::ranges::all_of(digits, is_digit)) {
      return fail(Code::kBadArgument, "a bad port in it");
    }
  }
  if (host.name.empty() || host.name.size() > kHostBytesMax)
    return fail(Code::kBadArgument, "no host in it");
  return host;
}

bool is_v4(std::string_view host) {
  return std::ranges::all_of(host, [](char c) { return is_digit(c) || c == '.'; });
}

bool is_loopback(const Host& host) {
  return host.name == "localhost" || host.name.ends_with(".localhost") || host.name == "::1" ||
         (is_v4(host.name) && host.name.starts_with("127."));
}

}  // namespace

Result<Endpoint> Endpoint::make(const EndpointOptions& options) {
  Endpoint endpoint;
  if (!is_bucket(options.bucket)) {
    return fail(Code::kBadArgument, "\"{}\" is no name for a bucket", options.bucket);
  }
  endpoint.region_ = options.region.empty() ? kDefaultRegion : std::string_view(options.region);
  if (endpoint.region_.size() > kRegionBytesMax ||
      !std::ranges::all_of(endpoint.region_, is_word)) {
    return fail(Code::kBadArgument, "\"{}\" is no name for a region", options.region);
  }
  std::string url = options.url.empty()
                        ? fmt::format("https://s3.{}.amazonaws.com", endpoint.region_)
                        : options.url;
  while (url.ends_with('/')) url.pop_back();
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
    endpoint.tls_ = false;
  } else {
    return fail(Code::kBadArgument, "endpoint {}: it has to begin with https:// or http://",
                options.url);
  }
  auto host = parse_host(rest);
  if (!host) return fail(host.error().within(fmt::format("endpoint {}", options.url)));
  endpoint.loopback_ = is_loopback(*host);
  if (!endpoint.tls_ && !endpoint.loopback_ && !options.insecure_http) {
    return fail(Code::kBadArgument,
                "endpoint {}: plain http to another machine; use https, or add --insecure-http",
                url);
  }
  endpoint.text_ = url;
  if (host->port == (endpoint.tls_ ? ":443" : ":80")) host->port.clear();
  bool is_name = !host->is_v6 && !is_v4(host->name);
  bool is_amazon =
      host->name.ends_with(".amazonaws.com") || host->name.ends_with(".amazonaws.com.cn");
  bool virtual_host = options.style == Style::virtual_host ||
                      (options.style == Style::guess && is_amazon && is_label(options.bucket));
  if (virtual_host && !is_name) {
    return fail(Code::kBadArgument,
                "endpoint {}: an address has no virtual hosts; use --path-style", url);
  }
  std::string name = host->is_v6 ? "[" + host->name + "]" : host->name;
  endpoint.machine_ = name + host->port;
  for (char& c : endpoint.machine_)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (virtual_host) {
    endpoint.host_ = options.bucket + "." + name + host->port;
  } else {
    endpoint.host_ = name + host->port;
    endpoint.bucket_path_ = "/" + options.bucket;
  }
  return endpoint;
}

std::string Endpoint::path(std::string_view key) const {
  if (key.empty() && !bucket_path_.empty()) return bucket_path_;
  return bucket_path_ + "/" + uri_encode_path(key);
}

std::string Endpoint::url(std::string_view path, std::string_view query) const {
  return fmt::format("{}://{}{}{}{}", tls_ ? "https" : "http", host_, path,
                     query.empty() ? "" : "?", query);
}

}  // namespace s3crate::s3
