// SPDX-License-Identifier: GPL-3.0-or-later
// HttpServer: answers requests with what a function of the test says, byte for byte, so that it can
// also misbehave: cut bodies short, lie about lengths, hang up, not answer at all.
#pragma once

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"

namespace s3crate::test {

struct SeenRequest {
  std::string method;
  std::string target;                          // path and query as sent
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct Reply {
  std::string bytes;       // head and body as they go over the line
  bool hang_up = false;    // close the connection after them
  bool be_silent = false;  // then send nothing more until the server ends
};

// A correct answer. `headers` are whole lines, each with its \r\n.
inline Reply reply(int status, const std::string& body = "", const std::string& headers = "") {
  return {fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(),
                      headers, body)};
}

class HttpServer {
 public:
  using Handler = std::function<Reply(const SeenRequest&)>;

  explicit HttpServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHECK(::listen(listener_, 64) == 0);
    socklen_t size = sizeof address;
    CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~HttpServer() {
    stop_ = true;
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  [[nodiscard]] std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }
  [[nodiscard]] int connections() const { return connections_; }
  [[nodiscard]] int closed() const { return closed_; }
  std::vector<SeenRequest> seen() {
    std::lock_guard lock(mu_);
    return seen_;
  }

 private:
  void accept_all() {
    while (!stop_) {
      if (!readable(listener_)) continue;
      int peer = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (peer < 0) continue;
      ++connections_;
      threads_.emplace_back([this, peer] {
        serve(peer);
        ::close(peer);
        ++closed_;
      });
    }
  }

  // Waits a moment at most, so that the end of the server is noticed.
  bool readable(int fd) const {
    pollfd poll_fd{fd, POLLIN, 0};
    return !stop_ && ::poll(&poll_fd, 1, 10) > 0;
  }

  bool receive(int peer, std::string& data) {
    while (!stop_) {
      if (!readable(peer)) continue;
      char buffer[65536];
      ssize_t got = ::recv(peer, buffer, sizeof buffer, 0);
      if (got <= 0) return false;
      data.append(buffer, static_cast<std::size_t>(got));
      return true;
    }
    return false;
  }

  void serve(int peer) {
    std::string data;
    for (;;) {
      std::size_t head_end;
      while ((head_end = data.find("\r\n\r\n")) == std::string::npos) {
        if (!receive(peer, data)) return;
      }
      SeenRequest request = parse(data.substr(0, head_end));
      data.erase(0, head_end + 4);
      std::size_t length = std::strtoull(request.headers["content-length"].c_str(), nullptr, 10);
      while (data.size() < length) {
        if (!receive(peer, data)) return;
      }
      request.body = data.substr(0, length);
      data.erase(0, length);
      {
        std::lock_guard lock(mu_);
        seen_.push_back(request);
      }
      Reply answer = handler_(request);
      for (std::size_t sent = 0; sent < answer.bytes.size();) {
        ssize_t n =
            ::send(peer, answer.bytes.data() + sent, answer.bytes.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) return;
        sent += static_cast<std::size_t>(n);
      }
      while (answer.be_silent && !stop_) ::poll(nullptr, 0, 10);
      if (answer.hang_up) return;
    }
  }

  static SeenRequest parse(const std::string& head) {
    SeenRequest request;
    std::size_t line_end = head.find("\r\n");
    std::string first = head.substr(0, line_end);
    request.method = first.substr(0, first.find(' '));
    request.target = first.substr(request.method.size() + 1);
    request.target.erase(request.target.find(' '));
    while (line_end != std::string::npos) {
      std::size_t from = line_end + 2;
      line_end = head.find("\r\n", from);
      std::string line =
          head.substr(from, line_end == std::string::npos ? line_end : line_end - from);
      std::size_t colon = line.find(':');
      if (colon == std::string::npos) continue;
      std::string name = line.substr(0, colon);
      for (char& c : name) c = static_cast<char>(std::tolower(c));
      std::size_t value = line.find_first_not_of(' ', colon + 1);
      request.headers[name] = value == std::string::npos ? "" : line.substr(value);
    }
    return request;
  }

  const Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<int> connections_ = 0;
  std::atomic<int> closed_ = 0;
  std::thread acceptor_;
  std::list<std::thread> threads_;  // the acceptor's, until it has ended
  std::mutex mu_;
  std::vector<SeenRequest> seen_;
};

}  // namespace s3crate::test
