// SPDX-License-Identifier: GPL-3.0-or-later
// S3 within one process: objects of 8 MiB over four connections to the strict server of the tests,
// with SHA-256 payloads. First the server alone (bare sockets that repeat one signed request), then
// with our client; beside it the hash by itself, which both must compute of every byte put.

#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/executor.h"
#include "crypto/crypto.h"
#include "s3/s3_store.h"
#include "tests/s3/curl_client.h"
#include "tests/s3/strict_s3.h"

namespace s3crate {
namespace {

constexpr std::size_t kSegment = 8 << 20;
constexpr int kThreads = 4;

void count_bytes(benchmark::State& state, std::size_t bytes = kSegment) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
}

// One server for all threads of all cases; its MD5s would cost more than all the rest.
test::strict::StrictS3& server() {
  static test::strict::StrictS3 server;
  static const bool once = [] {
    server.set("etag", "opaque");
    server.put_object("segment", Bytes(kSegment, 0x5a));
    server.put_object("small", Bytes(4096, 0x5a));
    return true;
  }();
  static_cast<void>(once);
  return server;
}

void sha256(benchmark::State& state) {
  const Bytes data(kSegment, 0x5a);
  const ByteView view = data;
  for (auto _ : state) benchmark::DoNotOptimize(crypto::sha256({&view, 1}));
  count_bytes(state);
}
BENCHMARK(sha256)->UseRealTime();

// A socket that sends the same bytes again and again.
class Repeater {
 public:
  Repeater() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), buffer_(256 << 10) {
    std::string endpoint = server().endpoint();
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port =
        htons(static_cast<std::uint16_t>(std::stoul(endpoint.substr(endpoint.rfind(':') + 1))));
    CHECK(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~Repeater() { ::close(fd_); }
  Repeater(const Repeater&) = delete;
  Repeater& operator=(const Repeater&) = delete;

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      CHECK(n > 0);
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  // An answer with a body of that size.
  void receive(std::size_t body) {
    std::size_t wanted = 0, seen = 0;
    while (wanted == 0 || seen < wanted) {
      ssize_t n = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
      CHECK(n > 0);
      std::string_view text(buffer_.data(), static_cast<std::size_t>(n));
      if (wanted == 0) {
        CHECK(text.starts_with("HTTP/1.1 200"));
        wanted = text.find("\r\n\r\n") + 4 + body;
      }
      seen += text.size();
    }
  }

 private:
  const int fd_;
  std::vector<char> buffer_;
};

void strict_server_put(benchmark::State& state) {
  std::string body(kSegment, 'x');
  std::string name = "put" + std::to_string(state.thread_index());
  std::string head = test::strict::curl_put(server(), name, body).request;
  // Without it no 100 Continue comes; the signature does not cover it.
  constexpr std::string_view kExpect = "Expect: 100-continue\r\n";
  if (auto at = head.find(kExpect); at != std::string::npos) head.erase(at, kExpect.size());
  Repeater repeater;
  for (auto _ : state) {
    repeater.send(head);
    repeater.send(body);
    repeater.receive(0);
  }
  count_bytes(state);
}
BENCHMARK(strict_server_put)->Threads(kThreads)->MeasureProcessCPUTime()->UseRealTime();

void strict_server_get(benchmark::State& state) {
  std::string head = test::strict::curl_get(server(), "segment").request;
  Repeater repeater;
  for (auto _ : state) {
    repeater.send(head);
    repeater.receive(kSegment);
  }
  count_bytes(state);
}
BENCHMARK(strict_server_get)->Threads(kThreads)->MeasureProcessCPUTime()->UseRealTime();

void strict_server_get_small(benchmark::State& state) {
  std::string head = test::strict::curl_get(server(), "small").request;
  Repeater repeater;
  for (auto _ : state) {
    repeater.send(head);
    repeater.receive(4096);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(strict_server_get_small)
    ->Threads(1)
    ->Threads(kThreads)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

// How much more than the wanted latency a request takes, in microseconds.
void strict_server_latency_excess(benchmark::State& state) {
  std::string head = test::strict::curl_get(server(), "small").request;
  server().set("latency_us", static_cast<double>(state.range(0)));
  Repeater repeater;
  double total = 0, most = 0;
  for (auto _ : state) {
    auto from = std::chrono::steady_clock::now();
    repeater.send(head);
    repeater.receive(4096);
    std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - from;
    double excess = took.count() - static_cast<double>(state.range(0));
    total += excess;
    most = std::max(most, excess);
  }
  server().set("latency_us", 0.0);
  state.counters["mean_us"] = total / static_cast<double>(state.iterations());
  state.counters["max_us"] = most;
}
BENCHMARK(strict_server_latency_excess)->Arg(1000)->Arg(30000)->Iterations(100)->UseRealTime();

class Keys final : public s3::CredentialSource {
 public:
  Result<std::shared_ptr<const s3::Credentials>> get() override { return keys_; }

 private:
  static std::shared_ptr<const s3::Credentials> make() {
    auto settings = server().settings();
    const std::string& secret = settings.secret_key;
    return std::make_shared<s3::Credentials>(settings.access_key,
                                             Bytes(secret.begin(), secret.end()), "");
  }
  std::shared_ptr<const s3::Credentials> keys_ = make();
};

s3::S3Store& store() {
  static Keys keys;
  static const std::unique_ptr<s3::S3Store> store = [] {
    s3::S3Options options;
    options.endpoint.url = server().endpoint();
    options.endpoint.bucket = server().settings().bucket;
    auto made = s3::S3Store::make(system_env(), options, keys);
    CHECK(made);
    return std::move(*made);
  }();
  return *store;
}

// Each object is dropped behind the store's back at once, so that memory does not fill.
void s3_store_put(benchmark::State& state) {
  const Bytes data(kSegment, 0x5a);
  std::size_t n = 0;
  for (auto _ : state) {
    std::string name = fmt::format("put/{}-{}", state.thread_index(), n++);
    CHECK(store().put(name, data));
    server().remove_object(name);
  }
  count_bytes(state);
}
BENCHMARK(s3_store_put)->Threads(kThreads)->MeasureProcessCPUTime()->UseRealTime();

void s3_store_get(benchmark::State& state) {
  for (auto _ : state) CHECK(store().get("segment", kSegment));
  count_bytes(state);
}
BENCHMARK(s3_store_get)->Threads(kThreads)->MeasureProcessCPUTime()->UseRealTime();

}  // namespace
}  // namespace s3crate
