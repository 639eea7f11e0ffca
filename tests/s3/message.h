// SPDX-License-Identifier: GPL-3.0-or-later
// One HTTP request and its answer, as the strict server's parts hand them to each other.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace s3crate::test::strict {

// Bytes that are never initialised twice: an object's content.
struct Blob {
  explicit Blob(std::size_t length)
      : data(std::make_unique_for_overwrite<std::uint8_t[]>(length)), size(length) {}
  [[nodiscard]] ByteView view() const { return {data.get(), size}; }
  std::unique_ptr<std::uint8_t[]> data;
  std::size_t size;
};

struct Request {
  std::string method;
  std::string path, query;                     // as they stand on the request line
  std::map<std::string, std::string> headers;  // names in lower case
  std::string repeated_header;                 // the name of one that came twice
  bool tls = false;
  std::string address;  // the server's own

  std::shared_ptr<Blob> body;  // null if none came
  std::string body_sha256;     // hex; empty if the payload is unsigned and none is announced
  std::uint32_t body_crc32c = 0;  // if x-amz-checksum-crc32c came
  std::string body_md5;        // hex; empty if neither asked for nor given in Content-MD5

  [[nodiscard]] const std::string* header(const std::string& name) const {
    auto found = headers.find(name);
    return found == headers.end() ? nullptr : &found->second;
  }
};

using Query = std::vector<std::pair<std::string, std::string>>;  // decoded, in the order they came

struct Response {
  int status = 200;
  std::map<std::string, std::string> headers;
  std::string text;                  // the body, unless `blob` is set
  std::shared_ptr<const Blob> blob;  // `length` bytes of it from `offset` are the body
  std::size_t offset = 0, length = 0;
  std::string error;  // S3's code, "" if none

  [[nodiscard]] ByteView body() const {
    return blob ? blob->view().subspan(offset, length) : as_bytes(text);
  }
};

// S3's error document; `extra` is XML.
[[nodiscard]] Response error_response(int status, const std::string& code,
                                      const std::string& message, const std::string& extra = "");

}  // namespace s3crate::test::strict
