// SPDX-License-Identifier: GPL-3.0-or-later
// bare_s3 put CONNECTIONS PREFIX BYTES | get CONNECTIONS PREFIX BYTES <KEYS: what a plain client of libcurl does, as the limit
// of ours. Objects of 8 MiB, signed by curl with a SHA-256 of each body, or over https with a CRC-32C of it instead, as many at once
// as there are connections, which are kept. put sends BYTES bytes under new names; get reads the first 8 MiB of each key of its input.
// Prints the seconds.
//
// The server is that of AWS_ENDPOINT_URL, S3_BUCKET, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_CA_BUNDLE.
#include <curl/curl.h>
#include <openssl/evp.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace {

constexpr std::size_t kObject = 8 << 20;

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) {
    std::fprintf(stderr, "bare_s3: %s is not set\n", name);
    std::exit(2);
  }
  return value;
}

std::string sha256_hex(const std::string& data) {
  unsigned char digest[32];
  EVP_Digest(data.data(), data.size(), digest, nullptr, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned char byte : digest) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

std::string crc32c_base64(const std::string& data) {
  const std::uint32_t crc = s3crate::crc32c(s3crate::as_bytes(data));
  const unsigned char bytes[] = {static_cast<unsigned char>(crc >> 24), static_cast<unsigned char>(crc >> 16),
                                 static_cast<unsigned char>(crc >> 8), static_cast<unsigned char>(crc)};
  unsigned char text[9];
  EVP_EncodeBlock(text, bytes, sizeof bytes);
  return reinterpret_cast<const char*>(text);
}

std::size_t give(char* out, std::size_t, std::size_t room, void* from) {
  auto& rest = *static_cast<std::string_view*>(from);
  const std::size_t size = rest.copy(out, room);
  rest.remove_prefix(size);
  return size;
}

std::size_t take(char* data, std::size_t, std::size_t size, void* to) {
  auto& room = *static_cast<std::vector<char>*>(to);
  room.assign(data, data + size);
  return size;
}

// One kept connection.
class Client {
 public:
  Client() {
    curl_easy_setopt(curl_, CURLOPT_AWS_SIGV4, "aws:amz:us-east-1:s3");
    curl_easy_setopt(curl_, CURLOPT_USERPWD, user_.c_str());
    curl_easy_setopt(curl_, CURLOPT_BUFFERSIZE, 128L << 10);
    curl_easy_setopt(curl_, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
    curl_easy_setopt(curl_, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl_, CURLOPT_EXPECT_100_TIMEOUT_MS, 1L);  // "Expect:" to be without it would be signed by curl, but not sent
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &room_);
    curl_easy_setopt(curl_, CURLOPT_READFUNCTION, give);
    if (is_tls_) curl_easy_setopt(curl_, CURLOPT_CAINFO, from_environment("AWS_CA_BUNDLE").c_str());
  }
  ~Client() { curl_easy_cleanup(curl_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool put(const std::string& key, const std::string& body) {
    std::string_view rest = body;
    curl_easy_setopt(curl_, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl_, CURLOPT_READDATA, &rest);
    curl_easy_setopt(curl_, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(body.size()));
    if (!is_tls_) return perform(key, {"x-amz-content-sha256: " + sha256_hex(body), "If-None-Match: *"});
    return perform(key, {"x-amz-content-sha256: UNSIGNED-PAYLOAD", "x-amz-checksum-crc32c: " + crc32c_base64(body), "If-None-Match: *"});
  }
  bool get(const std::string& key) {
    return perform(key, {"x-amz-content-sha256: " + sha256_hex(""), "Range: bytes=0-" + std::to_string(kObject - 1)});
  }

 private:
  bool perform(const std::string& key, std::initializer_list<std::string> headers) {
    curl_slist* list = nullptr;
    for (const std::string& header : headers) list = curl_slist_append(list, header.c_str());
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl_, CURLOPT_URL, (bucket_ + "/" + key).c_str());
    const CURLcode code = curl_easy_perform(curl_);
    long status = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(list);
    if (code == CURLE_OK && status / 100 == 2) return true;
    std::fprintf(stderr, "bare_s3: %s: %s, status %ld: %.*s\n", key.c_str(), curl_easy_strerror(code), status,
                 static_cast<int>(room_.size()), room_.data());
    return false;
  }

  const std::string bucket_ = from_environment("AWS_ENDPOINT_URL") + "/" + from_environment("S3_BUCKET");
  const bool is_tls_ = bucket_.starts_with("https:");
  const std::string user_ = from_environment("AWS_ACCESS_KEY_ID") + ":" + from_environment("AWS_SECRET_ACCESS_KEY");
  CURL* const curl_ = curl_easy_init();
  std::vector<char> room_;  // the last piece that came
};

std::string random_body(unsigned seed) {
  std::string body(kObject, 0);
  std::mt19937_64 random(seed);
  for (std::size_t at = 0; at < body.size(); at += sizeof(std::uint64_t)) {
    const std::uint64_t value = random();
    std::memcpy(body.data() + at, &value, sizeof value);
  }
  return body;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc == 5 ? argv[1] : "";
  const unsigned long connections = argc == 5 ? std::strtoul(argv[2], nullptr, 10) : 0;
  if ((what != "put" && what != "get") || connections == 0 || connections > 1000) {
    std::fprintf(stderr, "usage: bare_s3 put|get CONNECTIONS PREFIX BYTES\n");
    return 2;
  }
  std::vector<std::string> keys;
  const std::size_t objects = std::strtoull(argv[4], nullptr, 10) / kObject;
  if (what == "put")
    for (std::size_t i = 0; i < objects; ++i) keys.push_back(std::string(argv[3]) + "/" + std::to_string(i));
  else
    for (std::string key; std::getline(std::cin, key);) keys.push_back(key);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  std::vector<std::string> bodies;
  if (what == "put")
    for (unsigned i = 0; i < connections; ++i) bodies.push_back(random_body(i));

  std::atomic<std::size_t> next = 0;
  std::atomic<bool> failed = false;
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < connections; ++i)
    threads.emplace_back([&, i] {
      Client client;
      for (std::size_t n = next++; n < keys.size() && !failed; n = next++)
        if (!(what == "put" ? client.put(keys[n], bodies[i]) : client.get(keys[n]))) failed = true;
    });
  for (std::thread& thread : threads) thread.join();
  std::printf("%.6f\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  return failed ? 1 : 0;
}
