// SPDX-License-Identifier: GPL-3.0-or-later
// S3Store against a server that says what the test wants. Against real ones: tests/s3/.
#include "s3/s3_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/http_server.h"
#include "tests/support/seeded_random.h"

namespace s3crate::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// ---- A server that says what the test wants -----------------------------------------------------

// The answer to a PUT that was done.
Reply stored() { return reply(200, "", "ETag: \"900150983cd24fb0d6963f7d28e17f72\"\r\n"); }

class FixedKeys final : public s3::CredentialSource {
 public:
  Result<std::shared_ptr<const s3::Credentials>> get() override {
    if (error) return fail(*error);
    return keys;
  }
  std::shared_ptr<const s3::Credentials> keys =
      std::make_shared<s3::Credentials>("access", Bytes{'s', 'e', 'c', 'r', 'e', 't'}, "token");
  std::optional<Error> error;
};

class S3StoreTest : public ::testing::Test {
 protected:
  void serve(HttpServer::Handler handler) {
    server_ = std::make_unique<HttpServer>(std::move(handler));
    options_.endpoint.url = server_->url();
    options_.endpoint.bucket = "bkt";
    auto made = s3::S3Store::make(env_, options_, keys_);
    ASSERT_TRUE(made) << made.error().message();
    store_ = std::move(*made);
  }
  SeenRequest seen(std::size_t index) { return server_->seen().at(index); }

  FakeClock clock_;
  SeededRandom random_{1};
  FakeExecutor executor_{clock_};
  Env env_{clock_, random_, executor_};
  s3::S3Options options_;
  FixedKeys keys_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<s3::S3Store> store_;
};

TEST_F(S3StoreTest, APutSaysAllThatTheStoreHasToCheck) {
  options_.prefix = "my vol";
  options_.storage_class = "STANDARD_IA";
  options_.sse = "aws:kms";
  options_.sse_key_id = "key-1";
  serve([](const SeenRequest&) { return stored(); });
  std::vector<ByteView> parts = {as_bytes("a"), as_bytes("bc")};
  ASSERT_TRUE(store_->put("x/y", parts));
  SeenRequest put = seen(0);
  EXPECT_EQ(put.method, "PUT");
  EXPECT_EQ(put.target, "/bkt/my%20vol/x/y");
  EXPECT_EQ(put.body, "abc");
  EXPECT_EQ(put.headers["if-none-match"], "*");
  EXPECT_EQ(put.headers["x-amz-content-sha256"],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(put.headers["x-amz-storage-class"], "STANDARD_IA");
  EXPECT_EQ(put.headers["x-amz-server-side-encryption"], "aws:kms");
  EXPECT_EQ(put.headers["x-amz-server-side-encryption-aws-kms-key-id"], "key-1");
  EXPECT_EQ(put.headers["x-amz-security-token"], "token");
  EXPECT_THAT(put.headers["authorization"],
              HasSubstr("SignedHeaders=host;if-none-match;x-amz-content-sha256;x-amz-date;"
                        "x-amz-security-token;x-amz-server-side-encryption;"
                        "x-amz-server-side-encryption-aws-kms-key-id;x-amz-storage-class,"));
  EXPECT_EQ(store_->describe(), "s3://bkt/my vol");
  EXPECT_TRUE(store_->caps().put_if_absent);
  EXPECT_TRUE(store_->caps().verifies_puts);
  EXPECT_FALSE(store_->caps().local);
}

TEST_F(S3StoreTest, NobodySignsNothingAndAChecksumGoesWithAPut) {
  serve([](const SeenRequest&) { return stored(); });
  keys_.keys.reset();
  ASSERT_TRUE(store_->put("x", as_bytes("abc")));
  EXPECT_EQ(seen(0).headers.count("authorization"), 0u);
  EXPECT_EQ(seen(0).headers.count("x-amz-date"), 0u);
  EXPECT_EQ(seen(0).headers["content-md5"], "kAFQmDzST7DWlj99KOF/cg==");
}

TEST_F(S3StoreTest, WithoutCredentialsNothingIsSent) {
  serve([](const SeenRequest&) { return reply(200); });
  keys_.error = Error(Code::kDenied, "no keys");
  EXPECT_TRUE(is(store_->put("x", as_bytes("abc")), Code::kDenied));
  EXPECT_TRUE(server_->seen().empty());
}

TEST_F(S3StoreTest, AnUnconditionalPutLooksFirst) {
  options_.conditional_puts = false;
  serve([](const SeenRequest& r) {
    if (r.method == "PUT") return stored();
    return r.target == "/bkt/taken"  ? Reply{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"}
           : r.target == "/bkt/free" ? Reply{"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"}
                                     : Reply{"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"};
  });
  EXPECT_FALSE(store_->caps().put_if_absent);
  EXPECT_TRUE(is(store_->put("taken", as_bytes("x")), Code::kExists));
  EXPECT_TRUE(is(store_->put("unknown", as_bytes("x")), Code::kTransient));
  EXPECT_EQ(server_->seen().size(), 2u);
  EXPECT_TRUE(store_->put("free", as_bytes("x")));
  EXPECT_EQ(seen(3).method, "PUT");
  EXPECT_EQ(seen(3).headers.count("if-none-match"), 0u);
}

TEST_F(S3StoreTest, BadPrefixesAreRefused) {
  options_.endpoint = {.url = "http://127.0.0.1:1", .region = {}, .bucket = "bkt"};
  for (const std::string& prefix :
       {std::string("/a"), std::string("a/"), std::string("a//b"), std::string("a\nb"),
        std::string("\x7f"), std::string(501, 'a')}) {
    options_.prefix = prefix;
    EXPECT_TRUE(is(s3::S3Store::make(env_, options_, keys_), Code::kBadArgument)) << prefix;
  }
}

std::string range_reply(int status, const std::string& range, const std::string& body) {
  return reply(status, body, range.empty() ? "" : "Content-Range: " + range + "\r\n").bytes;
}

TEST_F(S3StoreTest, ARangeIsExactlyTheOneAskedForOrNoAnswer) {
  serve([](const SeenRequest& r) {
    const std::string name = r.target.substr(5);
    if (name == "good") return Reply{range_reply(206, "bytes 10-13/100", "abcd")};
    if (name == "star") return Reply{range_reply(206, "bytes 10-13/*", "abcd")};
    if (name == "whole") return Reply{range_reply(200, "", std::string(100000, 'x'))};
    if (name == "elsewhere") return Reply{range_reply(206, "bytes 0-3/100", "abcd")};
    if (name == "silent") return Reply{range_reply(206, "", "abcd")};
    if (name == "short") return Reply{range_reply(206, "bytes 10-11/12", "ab")};
    if (name == "liar") return Reply{range_reply(206, "bytes 10-13/100", "ab")};
    if (name == "long") return Reply{range_reply(206, "bytes 10-13/100", "abcdef")};
    return Reply{range_reply(416, "bytes */5", "")};
  });
  for (const char* name : {"good", "star"}) {
    Bytes out(4);
    EXPECT_TRUE(store_->get_range(name, 10, out)) << name;
    EXPECT_EQ(as_chars(out), "abcd");
  }
  EXPECT_EQ(seen(0).headers["range"], "bytes=10-13");
  for (const char* name : {"whole", "elsewhere", "silent", "short", "liar", "long", "beyond"}) {
    Bytes out(4);
    EXPECT_TRUE(is(store_->get_range(name, 10, out), Code::kCorrupt)) << name;
    EXPECT_TRUE(is(store_->get_range_ahead(name, 10, out), Code::kCorrupt)) << name;
  }
  EXPECT_EQ(store_->counters(s3::Lane::read).requests, 9u);
  EXPECT_EQ(store_->counters(s3::Lane::ahead).requests, 7u) << "reads ahead have places of their own";
}

TEST_F(S3StoreTest, AnObjectWithoutALengthIsCorrupt) {
  serve([](const SeenRequest& r) {
    if (r.method == "HEAD") return Reply{"HTTP/1.1 200 OK\r\n\r\n"};
    return Reply{"HTTP/1.1 200 OK\r\n\r\nabc", true};
  });
  EXPECT_TRUE(is(store_->get("x", 100), Code::kCorrupt));
  EXPECT_TRUE(is(store_->head("x"), Code::kCorrupt));
}

TEST_F(S3StoreTest, RefusalsSayWhatWasAskedAndWhatIsMissing) {
  serve([](const SeenRequest&) {
    return reply(403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
  });
  auto put = store_->put("x", as_bytes("abc"));
  EXPECT_TRUE(is(put, Code::kDenied));
  EXPECT_THAT(put.error().message(), StartsWith("PUT s3://bkt/x: access is denied"));
  EXPECT_THAT(put.error().message(), HasSubstr("s3:PutObject on bkt"));
  EXPECT_THAT(store_->list("", "", 1).error().message(), HasSubstr("s3:ListBucket on bkt"));
  EXPECT_THAT(store_->remove("x").error().message(), HasSubstr("s3:DeleteObject on bkt"));
  EXPECT_EQ(server_->seen().size(), 3u);
}

TEST_F(S3StoreTest, ARefusedHeadIsExplainedByAGet) {
  serve([](const SeenRequest& request) {
    if (request.method == "HEAD") return Reply{"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n"};
    return reply(403, "<Error><Code>InvalidAccessKeyId</Code></Error>");
  });
  auto head = store_->head("x");
  EXPECT_TRUE(is(head, Code::kDenied));
  EXPECT_THAT(head.error().message(), StartsWith("HEAD s3://bkt/x: the store does not know this access key"));
  EXPECT_EQ(server_->seen().size(), 2u);
}

TEST_F(S3StoreTest, TheRegionOfABucketElsewhereIsTakenFromTheHeaderToo) {
  serve([](const SeenRequest&) {
    return Reply{"HTTP/1.1 301 X\r\nContent-Length: 0\r\nx-amz-bucket-region: eu-west-1\r\n\r\n"};
  });
  auto head = store_->head("x");
  EXPECT_TRUE(is(head, Code::kDenied));
  EXPECT_THAT(head.error().message(), HasSubstr("--region eu-west-1"));
}

TEST_F(S3StoreTest, ABucketIsAskedAboutItselfWhateverThePrefix) {
  options_.prefix = "p";
  serve([](const SeenRequest& request) {
    return request.target == "/bkt?versioning=" ? reply(200, "<a/>")
                                                : reply(403, "<Error><Code>AccessDenied</Code></Error>");
  });
  auto answer = store_->ask_bucket("versioning", "s3:GetBucketVersioning");
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(as_chars(*answer), "<a/>");
  auto denied = store_->ask_bucket("acl", "s3:GetBucketAcl");
  EXPECT_TRUE(is(denied, Code::kDenied));
  EXPECT_THAT(denied.error().message(), HasSubstr("this needs s3:GetBucketAcl on bkt"));
  EXPECT_THAT(denied.error().message(), StartsWith("GET s3://bkt?acl: "));
}

// ---- Checksums ----------------------------------------------------------------------------------

// A store that keeps what it gets, spoilt if the test wants that.
struct Keeper {
  Reply operator()(const SeenRequest& r) {
    if (r.method == "PUT") {
      const bool wrong = r.headers.at("x-amz-content-sha256") != to_hex(crypto::sha256(as_bytes(r.body)));
      if (verifies && wrong) return reply(400, "<Error><Code>XAmzContentSHA256Mismatch</Code></Error>");
      if (refusal != 0) return reply(refusal, refusal == 412 ? "" : "<Error><Code>AccessDenied</Code></Error>");
      std::string& kept = objects[r.target];
      kept = r.body;
      if (spoils) kept[0] = static_cast<char>(kept[0] ^ 1);
      const ByteView bytes = as_bytes(kept);
      const std::string md5 = to_hex(crypto::md5({&bytes, 1}));
      return reply(200, "", fmt::format("ETag: \"{}\"\r\n", opaque ? "abc-1" : md5));
    }
    return objects.contains(r.target) ? reply(200, objects[r.target], "ETag: \"x\"\r\n")
                                      : reply(404, "<Error><Code>NoSuchKey</Code></Error>");
  }
  bool verifies = true, opaque = false, spoils = false;
  int refusal = 0;
  std::map<std::string, std::string> objects = {};
};

class S3ChecksumTest : public S3StoreTest {
 protected:
  void keep() {
    options_.proof_name = "proof";
    options_.crc32c_proof_name = "crc32c-proof";  // not over http: nothing would stand for the body in the signature
    serve([this](const SeenRequest& r) { return keeper_(r); });
  }
  Keeper keeper_;
};

TEST_F(S3ChecksumTest, AStoreThatVerifiesIsAskedOnceAndTrusted) {
  keeper_.opaque = true;
  keep();
  EXPECT_EQ(store_->put_check(), s3::PutCheck::unknown);
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(store_->put(name, as_bytes("x")));
  EXPECT_EQ(store_->put_check(), s3::PutCheck::sha256);
  EXPECT_EQ(server_->seen().size(), 4u);
  EXPECT_EQ(seen(0).target, "/bkt/proof");
  EXPECT_EQ(seen(0).headers["if-none-match"], "*");
  EXPECT_FALSE(keeper_.objects.contains("/bkt/proof"));
}

TEST_F(S3ChecksumTest, OfAStoreThatVerifiesNothingTheETagIsTheProof) {
  keeper_.verifies = false;
  keep();
  ASSERT_TRUE(store_->put("a", as_bytes("x")));
  EXPECT_EQ(store_->put_check(), s3::PutCheck::nothing);
  EXPECT_EQ(server_->seen().size(), 2u);
  keeper_.spoils = true;
  EXPECT_TRUE(is(store_->put("b", as_bytes("x")), Code::kExists));
}

TEST_F(S3ChecksumTest, OrElseItIsReadBack) {
  keeper_.verifies = false;
  keeper_.opaque = true;
  keep();
  const std::vector<ByteView> parts = {as_bytes("one"), as_bytes(""), as_bytes("two")};
  ASSERT_TRUE(store_->put("a", parts));
  EXPECT_EQ(server_->seen().size(), 3u);
  EXPECT_EQ(seen(2).method, "GET");
  keeper_.spoils = true;
  EXPECT_TRUE(is(store_->put("b", parts), Code::kExists));
}

TEST_F(S3ChecksumTest, AnAnswerThatSaysNothingOfTheChecksumProvesNothing) {
  for (int refusal : {403, 412}) {
    keeper_ = {.verifies = false, .refusal = refusal};
    keep();
    EXPECT_FALSE(store_->put("a", as_bytes("x")));
    keeper_.refusal = 0;
    EXPECT_TRUE(store_->put("a", as_bytes("x")));
    EXPECT_EQ(store_->put_check(), s3::PutCheck::nothing) << refusal;
  }
  keeper_ = {.verifies = false, .refusal = 503};
  keep();
  EXPECT_TRUE(is(store_->put("a", as_bytes("x")), Code::kTransient));
  EXPECT_EQ(store_->put_check(), s3::PutCheck::unknown);
}

// ---- Answers that are not S3's ------------------------------------------------------------------

const std::string kPage = "<!DOCTYPE html><html><body>Welcome to the hotel</body></html>";

Reply page(int status) {
  return reply(status, kPage, "Content-Type: Text/HTML; charset=utf-8\r\nETag: \"1\"\r\n");
}

// What each verb makes of the answers.
std::vector<Result<>> ask_all(s3::S3Store& store) {
  Bytes out(4);
  return {store.put("x", as_bytes("abc")),
          store.get("x", 1000).map([](auto) {}),
          store.get("x", 10).map([](auto) {}),
          store.get_range("x", 0, out),
          store.head("x").map([](auto) {}),
          store.list("", "", 10).map([](auto) {}),
          store.remove("x")};
}

TEST_F(S3StoreTest, APageForPeopleIsNoAnswerToAnything) {
  for (int status : {200, 202, 302, 307, 400, 401, 405, 418, 501}) {
    serve([status](const SeenRequest& r) {
      if (r.headers.contains("range") && status == 200)
        return Reply{range_reply(206, "bytes 0-3/100\r\nContent-Type: text/html", "<htm")};
      return page(status);
    });
    for (const auto& answer : ask_all(*store_)) {
      ASSERT_TRUE(is(answer, Code::kDenied)) << status << (answer ? " is believed" : answer.error().message());
      EXPECT_THAT(answer.error().message(), HasSubstr("does not answer as S3 does")) << status;
    }
  }
}

TEST_F(S3StoreTest, APutIsDoneOnlyIfS3SaysSo) {
  serve([](const SeenRequest& r) {
    return r.method == "PUT" ? reply(200) : reply(200, "<ListBucketResult/>");
  });
  auto put = store_->put("x", as_bytes("abc"));
  EXPECT_TRUE(is(put, Code::kDenied));
  EXPECT_THAT(put.error().message(), HasSubstr("does not answer as S3 does (200: there is no ETag in it)"));
}

TEST_F(S3StoreTest, SomethingElseThanAListIsNoDamage) {
  for (const char* body : {"", "OK", "<html/>", "{}"}) {
    serve([body](const SeenRequest&) { return reply(200, body); });
    auto list = store_->list("", "", 10);
    EXPECT_TRUE(is(list, Code::kDenied)) << body;
    EXPECT_THAT(list.error().message(), HasSubstr("does not answer as S3 does"));
  }
}

TEST_F(S3StoreTest, OnceS3HasAnsweredAnythingElseIsAnOutage) {
  std::atomic<bool> away = false;
  serve([&](const SeenRequest& r) {
    if (away) return page(r.method == "HEAD" ? 200 : r.method == "GET" ? 404 : 405);
    return reply(404, "<Error><Code>NoSuchKey</Code></Error>");
  });
  EXPECT_TRUE(is(store_->get("x", 10), Code::kNotFound));
  away = true;
  for (const auto& answer : ask_all(*store_)) EXPECT_TRUE(is(answer, Code::kTransient));
  away = false;
  EXPECT_TRUE(is(store_->get("x", 10), Code::kNotFound));
}

// ---- Time ---------------------------------------------------------------------------------------

constexpr const char* kDate = "Date: Fri, 20 Nov 2026 12:00:00 GMT\r\n";
constexpr WallTime kDateTime{std::chrono::seconds(1795176000)};

TEST_F(S3StoreTest, TheStoresTimeIsLearnedKeptForAWhileAndSignedWith) {
  serve([](const SeenRequest&) { return reply(404, "", kDate); });
  EXPECT_EQ(store_->store_time(), std::nullopt);
  static_cast<void>(store_->get("x", 1));
  EXPECT_THAT(seen(0).headers["x-amz-date"], Not(StartsWith("20261120")));
  clock_.advance(90s);
  EXPECT_EQ(store_->store_time(), kDateTime + 90s);
  static_cast<void>(store_->get("x", 1));
  EXPECT_EQ(seen(1).headers["x-amz-date"], "20261120T120130Z");
  clock_.advance(16min);
  EXPECT_EQ(store_->store_time(), std::nullopt);
}

TEST_F(S3StoreTest, AWrongClockCostsOneMoreRequestAndOnlyOne) {
  serve([](const SeenRequest& r) {
    bool right = r.headers.at("x-amz-date") == "20261120T120000Z";
    return r.method == "HEAD" && right ? reply(200, "", kDate) : reply(403, "", kDate);
  });
  EXPECT_TRUE(store_->head("x"));
  EXPECT_EQ(server_->seen().size(), 2u);
  clock_.advance(20min);
  EXPECT_TRUE(is(store_->get("x", 1), Code::kDenied));
  EXPECT_EQ(server_->seen().size(), 4u);
  EXPECT_TRUE(is(store_->get("x", 1), Code::kDenied));
  EXPECT_EQ(server_->seen().size(), 5u);
}

TEST_F(S3StoreTest, WhoIsAskedToWaitWaitsWithEveryRequest) {
  serve([](const SeenRequest& r) {
    return r.target == "/bkt/busy" ? reply(503, "", "Retry-After: 7\r\n") : reply(404);
  });
  EXPECT_TRUE(is(store_->get("busy", 1), Code::kTransient));
  Duration before = clock_.now();
  EXPECT_TRUE(is(store_->head("other"), Code::kNotFound));
  EXPECT_EQ(clock_.now() - before, 7s);
}

struct Wait {
  const char* header;  // Retry-After
  Duration asked;      // kept
};

TEST_F(S3StoreTest, HowLongToWaitIsSaidInSecondsOrAsADateAndIsBounded) {
  options_.pause_max = 90s;
  const Wait kWaits[] = {{"1", 1s},
                         {"3600", 90s},
                         {"99999999999999999", 90s},
                         {"99999999999999999999999", 0s},
                         {"-1", 0s},
                         {"soon", 0s},
                         {"", 0s},
                         {"Fri, 20 Nov 2026 12:00:45 GMT", 45s},
                         {"Friday, 20-Nov-26 12:00:45 GMT", 45s},
                         {"Fri Nov 20 12:00:45 2026", 45s},
                         {"Sat, 20 Nov 2027 12:00:00 GMT", 90s},
                         {"Fri, 20 Nov 2026 12:00:00 GMT", 0s},
                         {"Fri, 20 Nov 2026 11:00:00 GMT", 0s}};
  for (const Wait& wait : kWaits) {
    serve([&](const SeenRequest& r) {
      return r.target == "/bkt/busy" ? reply(503, "", fmt::format("{}Retry-After: {}\r\n", kDate, wait.header)) : reply(404);
    });
    EXPECT_TRUE(is(store_->get("busy", 1), Code::kTransient));
    const Duration before = clock_.now();
    EXPECT_TRUE(is(store_->head("other"), Code::kNotFound));
    EXPECT_EQ(clock_.now() - before, wait.asked) << wait.header;
  }
}

TEST_F(S3StoreTest, AStoreThatTurnsAwayIsAskedLessAtOnce) {
  serve([](const SeenRequest&) { return reply(503); });
  int before = store_->limit(s3::Lane::upload);
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(store_->put("x", as_bytes("y")));
  EXPECT_LE(store_->limit(s3::Lane::upload), before / 2);
}

// ---- Lists --------------------------------------------------------------------------------------

std::string list_page(const std::vector<std::string>& keys, bool truncated,
                      const std::string& token = "") {
  std::string body = "<ListBucketResult><EncodingType>url</EncodingType>";
  body += fmt::format("<IsTruncated>{}</IsTruncated>", truncated);
  if (!token.empty()) body += "<NextContinuationToken>" + token + "</NextContinuationToken>";
  for (const std::string& key : keys)
    body += "<Contents><Key>" + key + "</Key><Size>3</Size></Contents>";
  return body + "</ListBucketResult>";
}

TEST_F(S3StoreTest, AListAsksForItsNamesInSortedAndEncodedForm) {
  options_.prefix = "p q";
  serve([](const SeenRequest&) {
    return reply(200, list_page({"p+q/a/b", "p%20q/a/c"}, true, "t"));
  });
  auto page = store_->list("a/", "a/a", 2);
  ASSERT_TRUE(page) << page.error().message();
  EXPECT_EQ(seen(0).target,
            "/bkt?encoding-type=url&list-type=2&max-keys=2&prefix=p%20q%2Fa%2F&start-after=p%20q%"
            "2Fa%2Fa");
  ASSERT_EQ(page->objects.size(), 2u);
  EXPECT_EQ(page->objects[0].name, "a/b");
  EXPECT_EQ(page->objects[1].name, "a/c");
  EXPECT_EQ(page->objects[1].size, 3u);
  EXPECT_TRUE(page->more);
}

TEST_F(S3StoreTest, PagesOfForeignNamesAreSkipped) {
  serve([](const SeenRequest& r) {
    if (r.target.find("continuation-token=t%2B1") != std::string::npos) {
      return reply(200, list_page({}, true, "t2"));
    }
    if (r.target.find("continuation-token=t2") != std::string::npos) {
      return reply(200, list_page({"a%2F", "b"}, false));
    }
    return reply(200, list_page({"a%20b", "a%21"}, true, "t+1"));
  });
  auto page = store_->list("", "", 2);
  ASSERT_TRUE(page) << page.error().message();
  ASSERT_EQ(page->objects.size(), 1u);
  EXPECT_EQ(page->objects[0].name, "b");
  EXPECT_FALSE(page->more);
  EXPECT_EQ(server_->seen().size(), 3u);
}

// Otherwise looking for one name below the root of a bucket that others use takes a request for each of theirs.
TEST_F(S3StoreTest, ForeignNamesAreSkippedByLargeSteps) {
  serve([](const SeenRequest& r) {
    const auto at = r.target.find("max-keys=");
    const auto max = std::stoul(r.target.substr(at + 9));
    const auto token = r.target.find("continuation-token=");
    std::size_t from = token == std::string::npos ? 0 : std::stoul(r.target.substr(token + 19));
    std::vector<std::string> keys;
    for (; keys.size() < max && from < 5010; ++from) {
      keys.push_back(from < 5000 ? fmt::format("photo%20{:05}", from) : fmt::format("volume{}", from));
    }
    return reply(200, list_page(keys, from < 5010, std::to_string(from)));
  });
  auto page = store_->list("", "", 2);
  ASSERT_TRUE(page) << page.error().message();
  ASSERT_EQ(page->objects.size(), 2u);
  EXPECT_EQ(page->objects[0].name, "volume5000");
  EXPECT_EQ(page->objects[1].name, "volume5001");
  EXPECT_TRUE(page->more);
  EXPECT_LE(server_->seen().size(), 8u);
}

TEST_F(S3StoreTest, ListsThatMakeNoSenseAreCorrupt) {
  for (const std::string& body : {list_page({"b", "a"}, false), list_page({"a", "a"}, false),
                                  list_page({"x"}, false), list_page({"a", "b", "c"}, false),
                                  list_page({}, true), std::string("<ListBucketResult>")}) {
    serve([body](const SeenRequest&) { return reply(200, body); });
    EXPECT_TRUE(is(store_->list("", "x", 2), Code::kCorrupt)) << body;
  }
  // A token that leads back to itself.
  serve([](const SeenRequest&) { return reply(200, list_page({}, true, "t")); });
  EXPECT_TRUE(is(store_->list("", "", 2), Code::kCorrupt));
  EXPECT_EQ(server_->seen().size(), 2u);
}

}  // namespace
}  // namespace s3crate::test
