// SPDX-License-Identifier: GPL-3.0-or-later
// Requests over real sockets of this machine, to a server that misbehaves as told.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "s3/http.h"
#include "tests/support/http_server.h"

namespace s3crate::test {
namespace {

using namespace std::chrono_literals;
using s3::Http;
using s3::HttpAnswer;
using s3::HttpRequest;
using s3::Lane;

class HttpTest : public ::testing::Test {
 protected:
  void serve(HttpServer::Handler handler) {
    server_ = std::make_unique<HttpServer>(std::move(handler));
  }

  HttpRequest request(std::string method, std::string path = "/") {
    HttpRequest request;
    request.method = std::move(method);
    request.url = server_->url() + path;
    request.headers = {{"Host", "test"}};
    request.body_max = 1000;
    return request;
  }
  Result<HttpAnswer> perform(const HttpRequest& request) { return http_.perform(request); }
  Result<HttpAnswer> get() { return perform(request("GET")); }

  std::unique_ptr<HttpServer> server_;
  s3::RateLimiter up_{system_env(), 0}, down_{system_env(), 0};
  s3::Pacer pacer_{system_clock()};
  Http http_{{.ca_file = {},
              .user_agent = "test",
              .loopback = true,
              .connect_timeout = 1s,
              .stall_timeout = 1s},
             {up_, down_, pacer_}};
};

TEST_F(HttpTest, OneConnectionServesGoodAndBadAnswersAlike) {
  serve([](const SeenRequest& r) { return reply(r.target == "/bad" ? 404 : 200, "text"); });
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(perform(request("GET", "/bad"))->status, 404);
    auto good = perform(request("GET", "/good"));
    EXPECT_EQ(good->status, 200);
    EXPECT_EQ(as_chars(good->body), "text");
    EXPECT_EQ(good->body_size, 4u);
  }
  EXPECT_EQ(server_->connections(), 1);
  EXPECT_EQ(http_.counters(Lane::meta).requests, 40u);
  EXPECT_EQ(http_.counters(Lane::meta).connects, 1u);
  EXPECT_EQ(http_.counters(Lane::meta).bytes_down, 20u * 4);
}

TEST_F(HttpTest, LanesDoNotShareConnections) {
  serve([](const SeenRequest&) { return reply(200); });
  for (int i = 0; i < 3; ++i) {
    for (Lane lane : {Lane::read, Lane::upload, Lane::meta}) {
      HttpRequest r = request("GET");
      r.lane = lane;
      EXPECT_TRUE(perform(r));
    }
  }
  EXPECT_EQ(server_->connections(), 3);
}

TEST_F(HttpTest, PartsAreSentOneBehindTheOther) {
  serve([](const SeenRequest&) { return reply(200); });
  std::string large(300'000, 'x');
  std::vector<ByteView> parts = {as_bytes(""),    as_bytes("one"), as_bytes(""),
                                 as_bytes(large), as_bytes("two"), as_bytes("")};
  HttpRequest r = request("PUT", "/a/../%2e?x=1");
  r.body = parts;
  EXPECT_EQ(perform(r)->status, 200);
  r.body = {};
  EXPECT_EQ(perform(r)->status, 200);
  SeenRequest seen = server_->seen().at(0);
  EXPECT_EQ(seen.method, "PUT");
  EXPECT_EQ(seen.target, "/a/../%2e?x=1");
  EXPECT_EQ(seen.body, "one" + large + "two");
  EXPECT_EQ(seen.headers["content-length"], "300006");
  EXPECT_EQ(seen.headers["host"], "test");
  EXPECT_EQ(seen.headers["user-agent"], "test");
  EXPECT_EQ(seen.headers.count("expect"), 0u);
  EXPECT_EQ(seen.headers.count("transfer-encoding"), 0u);
  EXPECT_EQ(server_->seen().at(1).headers["content-length"], "0");
  EXPECT_EQ(http_.counters(Lane::meta).bytes_up, 300'006u);
}

TEST_F(HttpTest, AHeadHasNoBody) {
  serve([](const SeenRequest&) {
    return Reply{"HTTP/1.1 200 OK\r\nContent-Length: 123456\r\n\r\n"};
  });
  for (int i = 0; i < 2; ++i) {
    auto answer = perform(request("HEAD"));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->header("content-length"), "123456");
  }
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(HttpTest, TheWantedBodyGoesStraightIntoTheBuffer) {
  serve([](const SeenRequest& r) { return reply(r.target == "/part" ? 206 : 404, "0123456789"); });
  Bytes out(10, '?');
  HttpRequest r = request("GET", "/part");
  r.stored_status = 206;
  r.into = out;
  auto answer = perform(r);
  ASSERT_TRUE(answer);
  EXPECT_EQ(as_chars(out), "0123456789");
  EXPECT_EQ(answer->body_size, 10u);
  EXPECT_TRUE(answer->body.empty());
  out.assign(10, '?');
  r.url = server_->url() + "/other";
  answer = perform(r);
  EXPECT_EQ(as_chars(out), "??????????");
  EXPECT_EQ(as_chars(answer->body), "0123456789");
}

TEST_F(HttpTest, ABodyLongerThanAllowedIsCorruptWhetherAnnouncedOrNot) {
  serve([](const SeenRequest& r) {
    if (r.target == "/announced")
      return Reply{"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx", true};
    return Reply{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
                 std::string(1001, 'x') + "\r\n0\r\n\r\n"};
  });
  EXPECT_TRUE(is(perform(request("GET", "/announced")), Code::kCorrupt));
  EXPECT_TRUE(is(perform(request("GET", "/chunked")), Code::kCorrupt));
  Bytes out(1000);
  HttpRequest r = request("GET", "/chunked");
  r.into = out;
  EXPECT_TRUE(is(perform(r), Code::kCorrupt));
  r = request("GET", "/chunked");
  r.body_max = 1001;
  EXPECT_EQ(perform(r)->body.size(), 1001u);
}

TEST_F(HttpTest, AnEndlessRefusalIsCutAndStillARefusal) {
  serve([](const SeenRequest&) { return reply(403, std::string(1'000'000, 'e')); });
  auto answer = get();
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->status, 403);
  EXPECT_EQ(answer->body.size(), s3::kErrorBodyMax);
}

TEST_F(HttpTest, AnAnswerThatBreaksOffIsTransient) {
  serve([](const SeenRequest& r) {
    if (r.target == "/body")
      return Reply{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", true};
    if (r.target == "/chunk")
      return Reply{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n12345", true};
    if (r.target == "/head") return Reply{"HTTP/1.1 200 O", true};
    return Reply{"", true};
  });
  for (const char* where : {"/body", "/chunk", "/head", "/nothing"}) {
    auto answer = perform(request("GET", where));
    EXPECT_TRUE(is(answer, Code::kTransient)) << where;
  }
}

TEST_F(HttpTest, WhatIsNotHttpIsNoAnswer) {
  serve([](const SeenRequest&) { return Reply{"SSH-2.0-OpenSSH\r\n", true}; });
  EXPECT_TRUE(is(get(), Code::kTransient));
}

TEST_F(HttpTest, NoServerIsTransient) {
  serve([](const SeenRequest&) { return reply(200); });
  HttpRequest r = request("GET");
  server_.reset();
  EXPECT_TRUE(is(perform(r), Code::kTransient));
}

TEST_F(HttpTest, AHostThatDoesNotExistIsTransientEveryTime) {
  serve([](const SeenRequest&) { return reply(200); });
  for (Lane lane : {Lane::read, Lane::upload}) {
    HttpRequest r = request("GET");
    r.lane = lane;
    r.url = "http://nowhere.invalid/";
    EXPECT_TRUE(is(perform(r), Code::kTransient));
    EXPECT_TRUE(is(perform(r), Code::kTransient));
    r.url = server_->url();
    EXPECT_TRUE(perform(r));
  }
}

TEST_F(HttpTest, OneConnectionTakesTurnsWithEveryMethod) {
  serve([](const SeenRequest& r) {
    return r.method == "HEAD" ? Reply{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"}
                              : reply(200, "text");
  });
  std::vector<ByteView> parts = {as_bytes("body")};
  for (const char* before : {"GET", "PUT", "HEAD", "DELETE"}) {
    for (const char* method : {"GET", "PUT", "HEAD", "DELETE"}) {
      for (const char* now : {before, method}) {
        HttpRequest r = request(now);
        if (r.method == "PUT") r.body = parts;
        auto answer = perform(r);
        ASSERT_TRUE(answer) << answer.error().message();
        EXPECT_EQ(as_chars(answer->body), r.method == "HEAD" ? "" : "text");
        SeenRequest seen = server_->seen().back();
        EXPECT_EQ(seen.method, r.method);
        EXPECT_EQ(seen.body, r.method == "PUT" ? "body" : "");
      }
    }
  }
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(HttpTest, OtherProtocolsAreRefused) {
  serve([](const SeenRequest&) { return reply(200); });
  HttpRequest r = request("GET");
  r.url = "file:///etc/hostname";
  EXPECT_FALSE(perform(r));
}

TEST_F(HttpTest, RedirectsAreNotFollowed) {
  serve([this](const SeenRequest&) {
    return reply(307, "", "Location: " + server_->url() + "/elsewhere\r\n");
  });
  auto answer = get();
  EXPECT_EQ(answer->status, 307);
  EXPECT_EQ(answer->header("location"), server_->url() + "/elsewhere");
  EXPECT_EQ(server_->seen().size(), 1u);
}

TEST_F(HttpTest, SilenceIsNotWaitedForForever) {
  serve([](const SeenRequest& r) {
    return Reply{r.target == "/body" ? "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345" : "",
                 false, true};
  });
  std::vector<std::thread> threads;
  for (const char* where : {"/body", "/nothing"}) {
    threads.emplace_back([&, where] {
      EXPECT_TRUE(is(http_.perform(request("GET", where)), Code::kTransient)) << where;
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(HttpTest, CancellingEndsWhatIsUnderWayAndNothingElse) {
  serve([](const SeenRequest& r) {
    if (r.target == "/") return reply(200);
    return Reply{"", false, true};
  });
  // Slow to give up by itself, so that only cancelling can end it.
  Http http({.ca_file = {},
             .user_agent = {},
             .loopback = true,
             .connect_timeout = 1h,
             .stall_timeout = 1h},
            {up_, down_, pacer_});
  Result<HttpAnswer> answer;
  std::thread waiter([&] { answer = http.perform(request("GET", "/silent")); });
  while (server_->seen().empty()) std::this_thread::yield();
  http.cancel();
  waiter.join();
  EXPECT_TRUE(is(answer, Code::kCancelled));
  EXPECT_TRUE(http.perform(request("GET")));
}

TEST_F(HttpTest, CancellingEndsAWaitForTheRate) {
  s3::RateLimiter slow(system_env(), 1);
  Http http({.ca_file = {},
             .user_agent = {},
             .loopback = true,
             .connect_timeout = 1h,
             .stall_timeout = 1h},
            {slow, down_, pacer_});
  serve([](const SeenRequest&) { return reply(200); });
  Bytes data(1'000'000);
  ByteView part = data;
  HttpRequest r = request("PUT");
  r.body = {&part, 1};
  std::atomic<bool> ended = false;
  Result<HttpAnswer> answer;
  std::thread waiter([&] {
    answer = http.perform(r);
    ended = true;
  });
  // Whoever begins to wait after a cancel() is not touched by it, so it is repeated.
  while (server_->connections() == 0) std::this_thread::yield();
  while (!ended) {
    http.cancel();
    std::this_thread::yield();
  }
  waiter.join();
  EXPECT_TRUE(is(answer, Code::kCancelled));
}

// 256 kbit/s, shared by four that send a segment each.
TEST(HttpTimeLimit, LeavesTimeForASegmentOverAPoorLine) {
  constexpr std::uint64_t kSegment = 8 << 20;
  EXPECT_GT(s3::time_limit({}, kSegment, 0), std::chrono::seconds(kSegment / (32'000 / 4)));
  EXPECT_LT(s3::time_limit({}, kSegment, 0), 2h);
  EXPECT_LT(s3::time_limit({}, 0, 64 << 10), 90s);
  EXPECT_GE(s3::time_limit({}, kSegment, 0, 64 << 10), std::chrono::seconds(kSegment >> 10));
  EXPECT_LE(s3::time_limit({}, 1ull << 60, 0), 25h);
}

// Paced by what another upload has seen.
TEST_F(HttpTest, UploadsSendAtThePaceThatTheLineBears) {
  s3::Pacer::Upload other(pacer_);
  std::uint64_t pace = 0;
  for (std::uint64_t delivered = 0; pace == 0; delivered += 400'000) {
    pace = other.pace({.rtt = 100ms, .rtt_min = 0ms, .delivered = delivered});
    std::this_thread::sleep_for(210ms);  // a window is twice the round trip
  }
  ASSERT_LE(pace, 2'000'000u);
  serve([](const SeenRequest&) { return reply(200); });
  Bytes data(2'000'000);
  ByteView part = data;
  HttpRequest r = request("PUT");
  r.body = {&part, 1};
  auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(http_.perform(r)->status, 200);
  // Two share the pace.
  EXPECT_GT(std::chrono::steady_clock::now() - begin, 500ms);
  EXPECT_EQ(server_->seen().at(0).body.size(), data.size());
}

TEST_F(HttpTest, AConnectionThatTheServerClosedIsReplaced) {
  serve([](const SeenRequest&) {
    Reply answer = reply(200, "text");
    answer.hang_up = true;
    return answer;
  });
  std::vector<ByteView> parts = {as_bytes("body")};
  for (int i = 0; i < 10; ++i) {
    HttpRequest r = request("PUT");
    r.body = parts;
    auto answer = perform(r);
    ASSERT_TRUE(answer) << answer.error().message();
    EXPECT_EQ(as_chars(answer->body), "text");
    // A request that meets the end of the connection halfway may be a transient error.
    while (server_->closed() <= i) std::this_thread::yield();
  }
  EXPECT_EQ(server_->connections(), 10);
  for (const SeenRequest& seen : server_->seen()) EXPECT_EQ(seen.body, "body");
}

TEST_F(HttpTest, AKeptConnectionThatBreaksBeforeTheAnswerIsAFailedTry) {
  int asked = 0;
  serve([&](const SeenRequest&) { return ++asked == 2 ? Reply{"", true} : reply(200); });
  EXPECT_EQ(get()->status, 200);
  EXPECT_TRUE(is(get(), Code::kTransient));
  EXPECT_EQ(server_->seen().size(), 2u);
  EXPECT_EQ(get()->status, 200);
}

TEST_F(HttpTest, HeadersAreTrimmedBoundedAndThoseOfTheLastAnswer) {
  serve([](const SeenRequest&) {
    std::string many;
    for (int i = 0; i < 300; ++i) many += fmt::format("X-{}: v\r\n", i);
    return Reply{
        "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\n"
        "DATE:   Fri, 20 Nov 2026 12:00:00 GMT  \r\nContent-Length: 0\r\n" +
        many + "\r\n"};
  });
  auto answer = get();
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->header("date"), "Fri, 20 Nov 2026 12:00:00 GMT");
  EXPECT_EQ(answer->date, WallTime(std::chrono::seconds(1795176000)));
  EXPECT_EQ(answer->header("x-early"), "");
  EXPECT_EQ(answer->header("x-0"), "v");
  EXPECT_LE(answer->headers.size(), 100u);
}

TEST_F(HttpTest, HeadersThatWouldBeTwoAreRefused) {
  serve([](const SeenRequest&) { return reply(200); });
  for (const char* value : {"a\r\nX: y", "a\nb", "\x01", "\x7f"}) {
    HttpRequest r = request("GET");
    r.headers.push_back({"X-Test", value});
    EXPECT_TRUE(is(perform(r), Code::kBadArgument));
  }
  EXPECT_TRUE(server_->seen().empty());
}

}  // namespace
}  // namespace s3crate::test
