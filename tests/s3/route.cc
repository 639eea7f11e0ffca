// SPDX-License-Identifier: GPL-3.0-or-later
// Which operation a request is, on which bucket and key, and whether it is fit to be served.

#include <fmt/format.h>

#include <algorithm>

#include "tests/s3/service.h"
#include "tests/s3/text.h"
#include "tests/s3/verify.h"

namespace s3crate::test::strict {
namespace {

Response bad_request(const std::string& message) {
  return error_response(400, "InvalidRequest", message);
}

// Path style with the server's address or localhost, virtual-host style below localhost.
std::optional<Response> find_address(const Request& request, Route& route) {
  const std::string* header = request.header("host");
  if (header == nullptr) return bad_request("Host is missing");
  std::string host = header->substr(0, header->rfind(':'));
  auto path = url_decode(request.path);
  if (!path || !path->starts_with('/') || url_encode(*path, "/") != request.path)
    return error_response(400, "InvalidURI", "the path is not encoded canonically");
  std::string rest = path->substr(1);
  constexpr std::string_view kTail = ".localhost";
  if (host.size() > kTail.size() && host.ends_with(kTail)) {
    route.bucket = host.substr(0, host.size() - kTail.size());
  } else if (host == request.address || host == "localhost") {
    auto slash = rest.find('/');
    route.bucket = rest.substr(0, slash);
    rest = slash == std::string::npos ? "" : rest.substr(slash + 1);
  } else {
    return bad_request(fmt::format("Host {} is not ours", host));
  }
  if (rest.size() > 1024) return error_response(400, "KeyTooLongError", "Your key is too long");
  route.key = rest;
  return std::nullopt;
}

struct Known {
  const char* method;
  bool key;
  const char* selector;  // the parameter that names a sub-resource, or ""
  const char* name;
  std::vector<std::string> parameters;  // that may come beside it
};

const std::vector<Known>& known_operations() {
  static const std::vector<Known> table = {
      {"PUT", true, "", "PutObject", {"x-id"}},
      {"GET", true, "", "GetObject", {"x-id"}},
      {"HEAD", true, "", "HeadObject", {}},
      {"DELETE", true, "", "DeleteObject", {"x-id"}},
      {"HEAD", false, "", "HeadBucket", {}},
      {"GET",
       false,
       "list-type",
       "ListObjectsV2",
       {"continuation-token", "delimiter", "encoding-type", "fetch-owner", "max-keys", "prefix",
        "start-after"}},
      {"GET", false, "location", "GetBucketLocation", {}},
      {"GET", false, "versioning", "GetBucketVersioning", {}},
      {"GET", false, "lifecycle", "GetBucketLifecycleConfiguration", {}},
      {"GET", false, "policyStatus", "GetBucketPolicyStatus", {}},
      {"GET", false, "object-lock", "GetObjectLockConfiguration", {}},
      {"GET", false, "publicAccessBlock", "GetPublicAccessBlock", {}},
      {"GET", false, "acl", "GetBucketAcl", {}},
  };
  return table;
}

bool has(const Query& query, std::string_view name) {
  return std::any_of(query.begin(), query.end(), [&](const auto& p) { return p.first == name; });
}

std::optional<Response> find_operation(const Request& request, Route& route) {
  for (const Known& known : known_operations()) {
    if (request.method != known.method || known.key != !route.key.empty()) continue;
    std::string selector = known.selector;
    if (!selector.empty() && !has(route.query, selector)) continue;
    for (const auto& [name, value] : route.query) {
      bool fits = name == selector || std::find(known.parameters.begin(), known.parameters.end(),
                                                name) != known.parameters.end();
      if (!fits)
        return error_response(501, "NotImplemented",
                              fmt::format("{} knows no parameter {}", known.name, name));
    }
    route.operation = known.name;
    return std::nullopt;
  }
  return error_response(501, "NotImplemented",
                        fmt::format("{} {} is not implemented", request.method, request.path));
}

std::optional<Response> check_length(const Request& request, const Settings& settings) {
  if (request.header("transfer-encoding") != nullptr)
    return error_response(501, "NotImplemented", "Transfer-Encoding is not implemented");
  const std::string* length = request.header("content-length");
  if (request.method == "PUT" && length == nullptr)
    return error_response(411, "MissingContentLength",
                          "You must provide the Content-Length HTTP header.");
  if (length != nullptr && (length->size() > 12 || std::stoll("0" + *length) > settings.max_object))
    return error_response(400, "EntityTooLarge", "Your proposed upload exceeds the maximum");
  if (request.method != "PUT" && length != nullptr && *length != "0")
    return bad_request("Only PUT has a body here");
  return std::nullopt;
}

bool is_forbidden(const Settings& settings, const std::string& operation) {
  auto list = split(settings.forbid, ',');
  return std::find(list.begin(), list.end(), operation) != list.end();
}

// As S3 does: who lacks a permission is told so before anything about the bucket, but for one that
// does not exist.
std::optional<Response> check_access(const Request& request, const Route& route,
                                     const Settings& settings, std::time_t now) {
  if (request.header("authorization") != nullptr) {
    if (auto bad = verify_signature(request, settings, now)) return bad;
  } else {
    bool reads = route.operation == "GetObject" || route.operation == "HeadObject" ||
                 route.operation == "ListObjectsV2" || route.operation == "HeadBucket";
    if (settings.anonymous_read == 0 || !reads)
      return error_response(403, "AccessDenied", "Access Denied");
  }
  if (route.bucket != settings.bucket || settings.bucket_state == "missing")
    return error_response(404, "NoSuchBucket", "The specified bucket does not exist",
                          fmt::format("<BucketName>{}</BucketName>", xml_escape(route.bucket)));
  if (settings.bucket_state == "forbidden" || is_forbidden(settings, route.operation))
    return error_response(403, "AccessDenied",
                          fmt::format("User is not authorized to perform: s3:{} on resource: "
                                      "arn:aws:s3:::{}/{}",
                                      route.operation, route.bucket, route.key));
  return std::nullopt;
}

std::optional<Response> check_headers(const Request& request, const Route& route) {
  for (const char* name : {"if-match", "if-modified-since", "if-unmodified-since"}) {
    if (request.header(name) != nullptr)
      return error_response(501, "NotImplemented", fmt::format("{} is not implemented", name));
  }
  const std::string* condition = request.header("if-none-match");
  if (condition != nullptr && (route.operation != "PutObject" || *condition != "*"))
    return error_response(501, "NotImplemented", "only PUT with If-None-Match: * is implemented");
  if (request.header("range") != nullptr && route.operation != "GetObject")
    return bad_request("Range is for GetObject");
  return std::nullopt;
}

std::optional<Response> refuse(const Request& request, const Settings& settings, std::time_t now,
                               Route& route) {
  if (!request.repeated_header.empty())
    return bad_request(fmt::format("the header {} came twice", request.repeated_header));
  if (auto bad = find_address(request, route)) return bad;
  if (auto bad = parse_query(request.query, route.query)) return bad;
  if (auto bad = find_operation(request, route)) return bad;
  if (auto bad = check_length(request, settings)) return bad;
  if (auto bad = check_headers(request, route)) return bad;
  return check_access(request, route, settings, now);
}

}  // namespace

Route Service::route(const Request& request, const Settings& settings, std::time_t now) {
  Route route;
  route.refusal = refuse(request, settings, now, route);
  return route;
}

}  // namespace s3crate::test::strict
