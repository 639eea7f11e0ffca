// SPDX-License-Identifier: GPL-3.0-or-later
// An S3 client that is not ours: libcurl with its own implementation of AWS Signature Version 4.
// And a bare socket, for requests that no client would send.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/s3/strict_s3.h"

namespace s3crate::test::strict {

struct CurlAnswer {
  int curl_code = 0;  // CURLE_OK is 0
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string request;  // line and headers as they were sent

  [[nodiscard]] std::string code() const;  // S3's <Code>, "" if none
};

struct CurlRequest {
  std::string method = "GET";
  std::string path_and_query;  // after http://127.0.0.1:PORT
  std::vector<std::string> headers = {};
  std::optional<std::string> body = {};  // of a PUT
  std::string region = "us-east-1";
  std::string user = {};  // KEY:SECRET; empty: the server's
  bool sign = true;
  std::string ca = {};  // PEM, for https
  long timeout_ms = 20000;
  std::string host = {};  // instead of 127.0.0.1
};

// On a connection of its own.
[[nodiscard]] CurlAnswer curl(const StrictS3& server, const CurlRequest& request);
// Short forms; the key is encoded already.
[[nodiscard]] CurlAnswer curl_get(const StrictS3& server, const std::string& key);
[[nodiscard]] CurlAnswer curl_put(const StrictS3& server, const std::string& key,
                                  const std::string& body, std::vector<std::string> headers = {});

// Sends the bytes, and gives back all that comes until the server closes the connection.
[[nodiscard]] std::string raw_exchange(const StrictS3& server, const std::string& bytes);

}  // namespace s3crate::test::strict
