// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/s3/curl_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>

#include "base/check.h"
#include "tests/s3/text.h"

namespace s3crate::test::strict {
namespace {

std::size_t take_body(char* data, std::size_t, std::size_t size, void* to) {
  static_cast<CurlAnswer*>(to)->body.append(data, size);
  return size;
}

std::size_t take_header(char* data, std::size_t, std::size_t size, void* to) {
  std::string_view line(data, size);
  auto colon = line.find(':');
  auto& headers = static_cast<CurlAnswer*>(to)->headers;
  if (line.starts_with("HTTP/")) headers.clear();  // of a 100 Continue before it
  if (colon == std::string_view::npos) return size;
  std::string_view value = line.substr(colon + 1);
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  value = value.substr(0, value.find_first_of("\r\n"));
  headers[lower_case(line.substr(0, colon))] = value;
  return size;
}

int take_debug(CURL*, curl_infotype type, char* data, std::size_t size, void* to) {
  if (type == CURLINFO_HEADER_OUT) static_cast<CurlAnswer*>(to)->request.append(data, size);
  return 0;
}

struct Upload {
  std::string_view rest;
};

std::size_t give_body(char* out, std::size_t, std::size_t room, void* from) {
  auto& rest = static_cast<Upload*>(from)->rest;
  std::size_t size = rest.copy(out, room);
  rest.remove_prefix(size);
  return size;
}

struct Closer {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::unique_ptr<curl_slist, Closer> header_list(const CurlRequest& request) {
  curl_slist* list = nullptr;
  std::string digest = "x-amz-content-sha256: " + sha256_hex(request.body.value_or(""));
  bool has_digest = false;
  for (const std::string& header : request.headers) {
    has_digest |= header.starts_with("x-amz-content-sha256");
    list = curl_slist_append(list, header.c_str());
  }
  if (!has_digest) list = curl_slist_append(list, digest.c_str());
  return std::unique_ptr<curl_slist, Closer>(list);
}

}  // namespace

std::string CurlAnswer::code() const {
  auto from = body.find("<Code>"), to = body.find("</Code>");
  if (from == std::string::npos || to == std::string::npos) return "";
  return body.substr(from + 6, to - from - 6);
}

CurlAnswer curl(const StrictS3& server, const CurlRequest& request) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK(ready == CURLE_OK);
  CurlAnswer answer;
  std::unique_ptr<CURL, Closer> handle(curl_easy_init());
  CURL* c = handle.get();
  std::string url = server.endpoint();
  if (!request.host.empty()) url.replace(url.find("127.0.0.1"), 9, request.host);
  url += request.path_and_query;
  auto headers = header_list(request);
  std::string user = request.user;
  if (user.empty())
    user = fmt::format("{}:{}", server.settings().access_key, server.settings().secret_key);
  std::string scheme = fmt::format("aws:amz:{}:s3", request.region);
  Upload upload{request.body ? std::string_view(*request.body) : std::string_view()};
  curl_blob ca{const_cast<char*>(request.ca.data()), request.ca.size(), CURL_BLOB_NOCOPY};

  curl_easy_setopt(c, CURLOPT_URL, url.c_str());
  curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_PROXY, "");
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, request.timeout_ms);
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(c, CURLOPT_HEADERDATA, &answer);
  curl_easy_setopt(c, CURLOPT_VERBOSE, 1L);
  curl_easy_setopt(c, CURLOPT_DEBUGFUNCTION, take_debug);
  curl_easy_setopt(c, CURLOPT_DEBUGDATA, &answer);
  if (request.sign) {
    curl_easy_setopt(c, CURLOPT_AWS_SIGV4, scheme.c_str());
    curl_easy_setopt(c, CURLOPT_USERPWD, user.c_str());
  }
  if (!request.ca.empty()) curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca);
  if (request.method == "HEAD") curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
  if (request.method == "PUT") {
    curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(c, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(c, CURLOPT_READDATA, &upload);
    curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(upload.rest.size()));
  }
  curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST,
                   request.method == "HEAD" ? nullptr : request.method.c_str());

  answer.curl_code = curl_easy_perform(c);
  long status = 0;
  curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
  answer.status = static_cast<int>(status);
  return answer;
}

CurlAnswer curl_get(const StrictS3& server, const std::string& key) {
  return curl(server, {.path_and_query = "/bucket/" + key});
}

CurlAnswer curl_put(const StrictS3& server, const std::string& key, const std::string& body,
                    std::vector<std::string> headers) {
  return curl(server, {.method = "PUT",
                       .path_and_query = "/bucket/" + key,
                       .headers = std::move(headers),
                       .body = body});
}

std::string raw_exchange(const StrictS3& server, const std::string& bytes) {
  std::string endpoint = server.endpoint();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port =
      htons(static_cast<std::uint16_t>(std::stoul(endpoint.substr(endpoint.rfind(':') + 1))));
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  timeval limit{20, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  CHECK(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  CHECK(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  std::string out(1 << 16, '\0');
  std::size_t size = 0;
  for (;;) {
    ssize_t n = ::recv(fd, out.data() + size, out.size() - size, 0);
    if (n <= 0) break;
    size += static_cast<std::size_t>(n);
  }
  ::close(fd);
  out.resize(size);
  return out;
}

}  // namespace s3crate::test::strict
