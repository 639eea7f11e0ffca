// SPDX-License-Identifier: GPL-3.0-or-later
// What the strict server does when it is told to: conditions, faults, certificates, its control
// address. With libcurl as the client, as in strict_s3_test.cc.

#include <curl/curl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/s3/curl_client.h"
#include "tests/s3/strict_s3.h"
#include "tests/support/seed.h"

namespace s3crate::test::strict {
namespace {

using ::testing::HasSubstr;

// ---- Conditions --------------------------------------------------------------------------------

TEST(StrictS3FaultsTest, ConditionsAreEnforcedIgnoredOrUnknown) {
  StrictS3 server;
  auto put = [&](const char* body) {
    return curl_put(server, "o", body, {"If-None-Match: *"}).status;
  };
  auto content = [&] { return std::string(as_chars(server.object("o")->content->view())); };
  EXPECT_EQ(put("first"), 200);
  EXPECT_EQ(put("second"), 412);
  EXPECT_EQ(content(), "first");
  server.set("conditions", "501");
  EXPECT_EQ(put("second"), 501);
  EXPECT_EQ(content(), "first");
  server.set("conditions", "ignored");
  EXPECT_EQ(put("second"), 200);
  EXPECT_EQ(content(), "second");
  EXPECT_EQ(curl_put(server, "o", "third", {"If-None-Match: \"abc\""}).code(), "NotImplemented");
}

TEST(StrictS3FaultsTest, OneOfManyConditionalPutsWins) {
  StrictS3 server;
  for (bool conflict : {false, true}) {
    server.set("conflict", conflict ? 1 : 0);
    std::atomic<int> done = 0, refused = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        int status =
            curl_put(server, conflict ? "b" : "a", std::to_string(t), {"If-None-Match: *"}).status;
        if (status == 200) ++done;
        if (status == 412 || (conflict && status == 409)) ++refused;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(done, 1);
    EXPECT_EQ(refused, 7);
  }
}

TEST(StrictS3FaultsTest, ALaterWriterMeetsAConflictWhileAnEarlierOneSends) {
  StrictS3 server;
  server.set("conflict", 1);
  ObjectTable table;
  auto object = std::make_shared<Object>();
  auto first = table.begin_put("o"), second = table.begin_put("o");
  EXPECT_EQ(table.put("o", object, true, true, second), ObjectTable::Put::kConflict);
  table.end_put("o", second);
  EXPECT_EQ(table.put("o", object, true, true, first), ObjectTable::Put::kDone);
  table.end_put("o", first);
  EXPECT_EQ(table.put("o", object, true, true, table.begin_put("o")), ObjectTable::Put::kExists);
}

// ---- Faults ------------------------------------------------------------------------------------

TEST(StrictS3FaultsTest, FaultsComeAsTheyAreOrdered) {
  StrictS3 server;
  server.put_object("o", as_bytes("0123456789"));
  auto order = [&](Fault fault) { server.inject({.fault = fault, .operation = "GetObject"}); };

  order(Fault::kError500);
  EXPECT_EQ(curl_get(server, "o").code(), "InternalError");
  order(Fault::kSlowDown);
  CurlAnswer slow = curl_get(server, "o");
  EXPECT_EQ(slow.status, 503);
  EXPECT_FALSE(slow.headers.contains("retry-after"));
  server.set("retry_after_s", 7);
  order(Fault::kSlowDown);
  EXPECT_EQ(curl_get(server, "o").headers["retry-after"], "7");
  order(Fault::kReset);
  EXPECT_EQ(curl_get(server, "o").curl_code, CURLE_RECV_ERROR);
  order(Fault::kTruncate);
  CurlAnswer cut = curl_get(server, "o");
  EXPECT_EQ(cut.curl_code, CURLE_PARTIAL_FILE);
  EXPECT_EQ(cut.body, "01234");
  order(Fault::kCorrupt);
  CurlAnswer bad = curl_get(server, "o");
  EXPECT_EQ(bad.body.size(), 10u);
  EXPECT_NE(bad.body, "0123456789");
  CurlRequest impatient{.path_and_query = "/bucket/o", .timeout_ms = 200};
  order(Fault::kHang);
  EXPECT_EQ(curl(server, impatient).curl_code, CURLE_OPERATION_TIMEDOUT);
  order(Fault::kStall);
  CurlAnswer stalled = curl(server, impatient);
  EXPECT_EQ(stalled.curl_code, CURLE_OPERATION_TIMEDOUT);
  EXPECT_EQ(stalled.body, "01234");

  EXPECT_EQ(curl_get(server, "o").body, "0123456789") << "then all is well";
  for (const char* name : {"error_500", "reset", "truncate", "corrupt", "hang", "stall"})
    EXPECT_EQ(server.counter(fmt::format("fault.{}", name)), 1u) << name;
  EXPECT_EQ(server.counter("fault.slow_down"), 2u);
}

TEST(StrictS3FaultsTest, WorkIsDoneOrNotAsTheFaultSays) {
  StrictS3 server;
  auto put = [&](Fault fault, const char* key) {
    server.inject({.fault = fault, .operation = "PutObject", .key_prefix = key});
    return curl_put(server, key, "x");
  };
  EXPECT_EQ(put(Fault::kLostReply, "lost").curl_code, CURLE_RECV_ERROR);
  EXPECT_EQ(put(Fault::kErrorAfter, "after").status, 500);
  EXPECT_EQ(put(Fault::kReset, "reset").curl_code, CURLE_RECV_ERROR);
  EXPECT_EQ(put(Fault::kError500, "error").status, 500);
  EXPECT_EQ(server.keys(), (std::vector<std::string>{"after", "lost"}));
}

TEST(StrictS3FaultsTest, StaleAnswersShowWhatWas) {
  StrictS3 server;
  server.set("stale_ms", 60000);
  server.put_object("new", as_bytes("x"));
  server.set("stale", 1);
  EXPECT_EQ(curl_get(server, "new").code(), "NoSuchKey");
  EXPECT_THAT(curl(server, {.path_and_query = "/bucket/?list-type=2"}).body,
              HasSubstr("<KeyCount>0"));
  server.set("stale", 0.0);
  EXPECT_EQ(curl_get(server, "new").body, "x");
}

TEST(StrictS3FaultsTest, AnOldStateIsKeptAsLongAsItMayBeShown) {
  ObjectTable table;
  auto object = [](const char* etag) {
    return std::make_shared<Object>(Object{std::make_shared<Blob>(0), etag, 0, {}});
  };
  auto put = [&](const char* key, const char* etag) {
    EXPECT_EQ(table.put(key, object(etag), false, false, 0), ObjectTable::Put::kDone);
    return std::chrono::steady_clock::now();
  };
  auto start = std::chrono::steady_clock::now();
  auto first = put("o", "1");
  auto second = put("o", "2");
  table.remove("o");
  EXPECT_EQ(table.get("o", start), nullptr);
  EXPECT_EQ(table.get("o", first)->etag, "1");
  EXPECT_EQ(table.get("o", second)->etag, "2");
  EXPECT_EQ(table.get("o", std::chrono::steady_clock::now()), nullptr);
  table.set_keep(std::chrono::milliseconds(0));
  put("p", "3");
  EXPECT_EQ(table.get("o", second), nullptr);
}

TEST(StrictS3FaultsTest, TheSameSeedFailsTheSameRequests) {
  SEEDED_TEST(seed);
  auto run = [](std::uint64_t with) {
    StrictS3 server({.seed = with});
    server.put_object("o", as_bytes("x"));
    server.set("error_500", 0.3);
    server.set("slow_down", 0.2);
    std::string out;
    for (int i = 0; i < 60; ++i) out += std::to_string(curl_get(server, "o").status) + " ";
    return out;
  };
  std::string first = run(seed);
  EXPECT_EQ(first, run(seed));
  EXPECT_NE(first, run(seed + 1));
}

TEST(StrictS3FaultsTest, StoppedItRefusesAndForgetsNothing) {
  StrictS3 server;
  server.put_object("o", as_bytes("hello"));
  server.inject({.fault = Fault::kHang});
  std::thread waiting([&] { EXPECT_NE(curl_get(server, "o").curl_code, CURLE_OK); });
  while (server.counter("fault.hang") == 0) std::this_thread::yield();
  server.stop();
  waiting.join();
  EXPECT_EQ(curl_get(server, "o").curl_code, CURLE_COULDNT_CONNECT);
  server.start();
  EXPECT_EQ(curl_get(server, "o").body, "hello");
}

TEST(StrictS3FaultsTest, TheControlAddressSetsAndTells) {
  StrictS3 server;
  server.put_object("o", as_bytes("hello"));
  auto control = [&](const std::string& query) {
    return curl(server, {.path_and_query = "/~control?" + query, .sign = false});
  };
  EXPECT_EQ(control("slow_down=1&retry_after_s=2").status, 200);
  EXPECT_EQ(curl_get(server, "o").headers["retry-after"], "2");
  EXPECT_EQ(control("slow_down=0&inject=reset,GetObject,o,1").status, 200);
  EXPECT_EQ(curl_get(server, "o").curl_code, CURLE_RECV_ERROR);
  EXPECT_EQ(curl_get(server, "o").body, "hello");
  EXPECT_THAT(control("").body, HasSubstr("fault.reset=1\n"));
  EXPECT_EQ(control("slow_down=2").status, 400);
  EXPECT_EQ(control("nonsense=2").status, 400);
  EXPECT_EQ(control("inject=reset").status, 400);
}

// ---- TLS ---------------------------------------------------------------------------------------

TEST(StrictS3FaultsTest, EachCertificateIsGoodOrBadAsItsKindSays) {
  for (auto kind : {CertificateKind::kGood, CertificateKind::kExpired, CertificateKind::kSelfSigned,
                    CertificateKind::kWrongHost, CertificateKind::kOtherCa}) {
    StrictS3 server({.tls = kind});
    server.put_object("o", as_bytes("hello"));
    CurlAnswer answer = curl(server, {.path_and_query = "/bucket/o", .ca = server.ca()});
    bool good = kind == CertificateKind::kGood;
    EXPECT_EQ(answer.curl_code, good ? CURLE_OK : CURLE_PEER_FAILED_VERIFICATION) << int(kind);
    EXPECT_EQ(answer.body, good ? "hello" : "");
    EXPECT_EQ(server.counter("requests"), good ? 1u : 0u);
  }
}

TEST(StrictS3FaultsTest, OverTlsAPayloadMayBeUnsigned) {
  StrictS3 server({.tls = CertificateKind::kGood});
  CurlRequest put{.method = "PUT",
                  .path_and_query = "/bucket/o",
                  .headers = {"x-amz-content-sha256: UNSIGNED-PAYLOAD"},
                  .body = "hello",
                  .ca = server.ca()};
  EXPECT_EQ(curl(server, put).status, 200);
}

}  // namespace
}  // namespace s3crate::test::strict
