// SPDX-License-Identifier: GPL-3.0-or-later
// What a server answers, byte for byte as it comes over the line, to each verb of S3Store: an input is the verb and the
// answer, which every request of that verb gets.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "s3/s3_store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/fake_clock.h"

namespace s3crate::fuzz {
namespace {

constexpr std::size_t kObjectBytes = 8;

// One connection a request. Lives as long as the process.
class Server {
 public:
  Server() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHECK(::listen(listener_, 64) == 0);
    socklen_t size = sizeof address;
    CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    std::thread([this] { serve(); }).detach();
  }
  [[nodiscard]] std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }
  void set_answer(ByteView answer) {
    MutexLock lock(mu_);
    answer_ = to_bytes(answer);
  }

 private:
  void serve() {
    for (;;) {
      const int peer = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (peer < 0) continue;
      // Requests end with their head, or with the object that is put. Whoever closes with something unread loses
      // what he has sent.
      std::string request;
      char piece[4096];
      for (ssize_t n = 1; n > 0 && !is_whole(request);) {
        n = ::recv(peer, piece, sizeof piece, 0);
        if (n > 0) request.append(piece, static_cast<std::size_t>(n));
      }
      const Bytes answer = this->answer();
      (void)::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
      ::shutdown(peer, SHUT_WR);
      while (::recv(peer, piece, sizeof piece, 0) > 0) continue;
      ::close(peer);
    }
  }
  static bool is_whole(const std::string& request) {
    const std::size_t end = request.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    return !request.starts_with("PUT") || request.size() >= end + 4 + kObjectBytes;
  }
  Bytes answer() {
    MutexLock lock(mu_);
    return answer_;
  }

  int listener_ = -1;
  int port_ = 0;
  Mutex mu_;
  Bytes answer_ GUARDED_BY(mu_);
};

class FixedKeys final : public s3::CredentialSource {
 public:
  Result<std::shared_ptr<const s3::Credentials>> get() override { return keys_; }

 private:
  const std::shared_ptr<const s3::Credentials> keys_ = std::make_shared<s3::Credentials>("a", Bytes{'s'}, "");
};

std::vector<Bytes> seeds() {
  const std::string_view head = "HTTP/1.1 200 OK\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\nServer: AmazonS3\r\n";
  std::vector<Bytes> out;
  const auto add = [&out](std::uint8_t verb, std::string_view start, std::string_view rest) {
    out.push_back(choice(verb, as_bytes(fmt::format("{}{}", start, rest))));
  };
  add(0, head, "ETag: \"x\"\r\nContent-Length: 8\r\n\r\n12345678");
  add(0, head, "ETag: \"x\"\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n0\r\n\r\n");
  add(1, "HTTP/1.1 206 X\r\n", "Content-Range: bytes 16-23/100\r\nContent-Length: 8\r\n\r\n12345678");
  add(2, head, "ETag: \"x\"\r\nContent-Length: 8\r\n\r\n");
  add(3, head,
      "Content-Length: 165\r\n\r\n<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t"
      "</NextContinuationToken><Contents><Key>p/a</Key><Size>12</Size></Contents></ListBucketResult>");
  add(4, "HTTP/1.1 204 X\r\n", "Connection: close\r\n\r\n");
  add(5, "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nETag: \"25d55ad283aa400af464c76d713c07ad\"\r\nContent-Length: 0\r\n\r\n");
  add(5, "HTTP/1.1 503 Slow Down\r\n", "Retry-After: Fri, 20 Nov 2026 12:01:00 GMT\r\nContent-Length: 0\r\n\r\n");
  add(6, "HTTP/1.1 403 X\r\n", "Retry-After: 7\r\nContent-Type: text/HTML; x\r\nx-amz-bucket-region: r\r\n\r\n<html>");
  add(0, "HTTP/1.1 404 X\r\n", "Content-Type: application/xml\r\n\r\n<Error><Code>NoSuchKey</Code></Error>");
  return out;
}

template <typename T>
bool is_sane(const Result<T>& result) {
  static constexpr std::array kCodes = {Code::kNotFound, Code::kExists,      Code::kTransient,   Code::kDenied,
                                        Code::kCorrupt,  Code::kBadArgument, Code::kUnsupported, Code::kNoSpace};
  return result || std::ranges::count(kCodes, result.error().code()) == 1;
}

void run(ByteView input) {
  if (input.empty()) return;
  static Server& server = *new Server;
  server.set_answer(input.subspan(1));
  test::FakeClock clock;
  test::FakeExecutor executor(clock);
  FixedKeys keys;
  s3::S3Options options;
  options.endpoint.url = server.url();
  options.endpoint.bucket = "bkt";
  options.prefix = "p";
  // The store is asked to prove that it verifies checksums, or trusted.
  if (input[0] & 8) options.proof_name = "proof";
  options.conditional_puts = (input[0] & 16) == 0;
  auto store = s3::S3Store::make(Env{clock, random(), executor}, options, keys);
  CHECK(store);
  Bytes bytes(kObjectBytes, 1);
  switch (input[0] % 8) {
    case 0: {
      const auto got = (*store)->get("a", kObjectBytes);
      CHECK(is_sane(got) && (!got || got->size() <= kObjectBytes));
      break;
    }
    case 1: CHECK(is_sane((*store)->get_range("a", 16, bytes))); break;
    case 2: CHECK(is_sane((*store)->head("a"))); break;
    case 3: {
      const auto page = (*store)->list("", "", 2);
      CHECK(is_sane(page) && (!page || page->objects.size() <= 2));
      break;
    }
    case 4: CHECK(is_sane((*store)->remove("a"))); break;
    case 5: CHECK(is_sane((*store)->put("a", bytes))); break;
    default: CHECK(is_sane((*store)->ask_bucket("versioning", "s3:GetBucketVersioning")));
  }
}

const Target target("http", seeds, run, Pace::slow);

}  // namespace
}  // namespace s3crate::fuzz
