// SPDX-License-Identifier: GPL-3.0-or-later
// The strict server is tested with a client that is not ours (curl and its signer), and with
// requests of that client that were changed on their way.
#include "tests/s3/strict_s3.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/s3/curl_client.h"
#include "tests/s3/text.h"

namespace s3crate::test::strict {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The request as text, with "Connection: close", for raw_exchange.
std::string closing(std::string request) {
  request.insert(request.find("\r\n") + 2, "Connection: close\r\n");
  return request;
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  auto at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what << " is not in\n" << text;
  if (at != std::string::npos) text.replace(at, what.size(), by);
  return text;
}

std::string with_header(std::string request, const std::string& line) {
  return request.insert(request.find("\r\n") + 2, line + "\r\n");
}

// ---- What is good is served --------------------------------------------------------------------

TEST(StrictS3Test, CurlsRequestsAreServed) {
  StrictS3 server;
  CurlAnswer put =
      curl_put(server, "a/b%20%2B%25%C3%A4~", "hello", {"Content-MD5: XUFAKrxLKna5cZ2REBfFkg=="});
  EXPECT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(put.headers["etag"], "\"5d41402abc4b2a76b9719d911017c592\"");
  EXPECT_EQ(server.keys(), std::vector<std::string>{"a/b +%\xc3\xa4~"});
  CurlAnswer get = curl_get(server, "a/b%20%2B%25%C3%A4~");
  EXPECT_EQ(get.body, "hello");
  EXPECT_EQ(get.headers["etag"], put.headers["etag"]);
  EXPECT_FALSE(get.headers["date"].empty());
  CurlAnswer head =
      curl(server, {.method = "HEAD", .path_and_query = "/bucket/a/b%20%2B%25%C3%A4~"});
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers["content-length"], "5");
  EXPECT_EQ(curl(server, {.method = "DELETE", .path_and_query = "/bucket/none"}).status, 204);
  EXPECT_EQ(
      curl(server, {.method = "DELETE", .path_and_query = "/bucket/a/b%20%2B%25%C3%A4~"}).status,
      204);
  EXPECT_EQ(curl_get(server, "a/b%20%2B%25%C3%A4~").code(), "NoSuchKey");
  EXPECT_EQ(server.counter("PutObject"), 1u);
  EXPECT_EQ(server.counter("DeleteObject"), 2u);
  EXPECT_EQ(server.counter("connections"), 6u);
  EXPECT_EQ(server.counter("error.NoSuchKey"), 1u);
}

TEST(StrictS3Test, VirtualHostsAreServed) {
  StrictS3 server;
  server.put_object("a/b", as_bytes("hello"));
  EXPECT_EQ(curl(server, {.path_and_query = "/a/b", .host = "bucket.localhost"}).body, "hello");
  EXPECT_EQ(curl(server, {.path_and_query = "/a/b", .host = "other.localhost"}).code(),
            "NoSuchBucket");
}

TEST(StrictS3Test, RangesAreExact) {
  StrictS3 server;
  server.put_object("o", as_bytes("0123456789"));
  server.put_object("empty", {});
  auto range = [&](const char* text, const char* key = "o") {
    CurlAnswer answer = curl(server, {.path_and_query = fmt::format("/bucket/{}", key),
                                      .headers = {fmt::format("Range: {}", text)}});
    return answer.status == 206 ? fmt::format("{} {}", answer.headers["content-range"], answer.body)
                                : answer.code();
  };
  EXPECT_EQ(range("bytes=3-5"), "bytes 3-5/10 345");
  EXPECT_EQ(range("bytes=8-99"), "bytes 8-9/10 89");
  EXPECT_EQ(range("bytes=7-"), "bytes 7-9/10 789");
  EXPECT_EQ(range("bytes=-2"), "bytes 8-9/10 89");
  EXPECT_EQ(range("bytes=10-12"), "InvalidRange");
  EXPECT_EQ(range("bytes=0-0", "empty"), "InvalidRange");
  EXPECT_EQ(range("bytes=5-3"), "InvalidArgument");
  EXPECT_EQ(range("bytes=1-2,4-5"), "InvalidArgument");
}

TEST(StrictS3Test, ListsComeInPagesAndTokensAreNotForged) {
  StrictS3 server;
  for (const char* key : {"a", "b/1", "b/2", "c &", "d", "e"}) server.put_object(key, {});
  auto list = [&](const std::string& query) {
    return curl(server, {.path_and_query = "/bucket/?" + query}).body;
  };
  std::string first = list("encoding-type=url&list-type=2");
  EXPECT_THAT(first, HasSubstr("<KeyCount>3</KeyCount>"));
  EXPECT_THAT(first, HasSubstr("<IsTruncated>true</IsTruncated>"));
  EXPECT_THAT(first, HasSubstr("<Key>b/2</Key>"));
  EXPECT_THAT(first, Not(HasSubstr("<Key>c")));
  auto from = first.find("<NextContinuationToken>") + 23;
  std::string token = first.substr(from, first.find("</Next") - from);
  std::string second =
      list("continuation-token=" + url_encode(token) + "&encoding-type=url&list-type=2");
  EXPECT_THAT(second, HasSubstr("<Key>c%20%26</Key>"));
  EXPECT_THAT(second, HasSubstr("<Key>e</Key>"));
  EXPECT_THAT(second, HasSubstr("<IsTruncated>false</IsTruncated>"));
  EXPECT_THAT(list("continuation-token=" + url_encode(base64(as_bytes("b/2"))) + "&list-type=2"),
              HasSubstr("InvalidArgument"));
  EXPECT_THAT(list("list-type=2&start-after=b%2F2"), HasSubstr("<Key>c &amp;</Key>"));
  EXPECT_THAT(list("list-type=2&prefix=b%2F"), HasSubstr("<KeyCount>2</KeyCount>"));
  EXPECT_THAT(list("delimiter=%2F&list-type=2"), HasSubstr("<CommonPrefixes><Prefix>b/</Prefix>"));
  EXPECT_THAT(list("list-type=2&max-keys=1"), HasSubstr("<KeyCount>1</KeyCount>"));
  EXPECT_THAT(list("prefix=b"), HasSubstr("NotImplemented"));  // the old LIST
  server.set("page_keys", 1000);
  EXPECT_THAT(list("list-type=2"), HasSubstr("<KeyCount>6</KeyCount>"));
}

TEST(StrictS3Test, AnonymousReadsAreServedOnlyIfAllowed) {
  StrictS3 server;
  server.put_object("o", as_bytes("hello"));
  CurlRequest get{.path_and_query = "/bucket/o", .sign = false};
  EXPECT_EQ(curl(server, get).code(), "AccessDenied");
  server.set("anonymous_read", 1);
  EXPECT_EQ(curl(server, get).body, "hello");
  CurlRequest put{.method = "PUT", .path_and_query = "/bucket/x", .body = "x", .sign = false};
  EXPECT_EQ(curl(server, put).code(), "AccessDenied");
}

// ---- What is not as it must be is refused ------------------------------------------------------

TEST(StrictS3Test, ChangedRequestsAreRefused) {
  StrictS3 server;
  server.put_object("o", as_bytes("hello"));
  server.put_object("p", as_bytes("other"));
  CurlAnswer good = curl_get(server, "o");
  ASSERT_EQ(good.body, "hello");
  std::string request = closing(good.request);
  auto refused = [&](const std::string& changed, const std::string& code) {
    EXPECT_THAT(raw_exchange(server, changed), HasSubstr("<Code>" + code + "</Code>")) << changed;
  };
  EXPECT_THAT(raw_exchange(server, request), HasSubstr("hello")) << "unchanged it is good";
  EXPECT_THAT(raw_exchange(server, with_header(request, "User-Agent2: x")), HasSubstr("hello"));

  refused(replaced(request, "/bucket/o", "/bucket/p"), "SignatureDoesNotMatch");
  refused(replaced(request, "GET", "DELETE"), "SignatureDoesNotMatch");
  refused(replaced(request, "Signature=", "Signature=0"), "SignatureDoesNotMatch");
  refused(replaced(request, "strictaccess", "strictacces2"), "InvalidAccessKeyId");
  refused(replaced(request, "/us-east-1/", "/eu-west-1/"), "AuthorizationHeaderMalformed");
  refused(replaced(request, "/s3/", "/ec2/"), "AuthorizationHeaderMalformed");
  refused(replaced(request, "SignedHeaders=host;", "SignedHeaders="), "AccessDenied");
  refused(replaced(request, "SignedHeaders=", "SignedHeaders=x-none;"),
          "AuthorizationHeaderMalformed");
  refused(with_header(request, "x-amz-acl: public-read"), "AccessDenied");
  refused(with_header(request, "Content-Type: text/plain"), "AccessDenied");
  refused(with_header(request, "Range: bytes=0-1\r\nRange: bytes=0-3"), "InvalidRequest");
  refused(with_header(request, "If-Modified-Since: Fri, 20 Nov 2026 12:00:00 GMT"),
          "NotImplemented");
  refused(replaced(request, "/bucket/o", "/bucket/%6F"), "InvalidURI");
  refused(replaced(request, "/bucket/o", "/bucket/o?acl"), "NotImplemented");
  refused(replaced(request, "/bucket/o", "/bucket/o?a=b&"), "InvalidURI");
  refused(replaced(request, "Host: 127.0.0.1", "Host: example.org"), "InvalidRequest");
}

TEST(StrictS3Test, QueriesMustBeCanonical) {
  StrictS3 server;
  auto code = [&](const std::string& query) {
    CurlAnswer answer = curl(server, {.path_and_query = "/bucket/?" + query});
    return answer.status == 200 ? "fine" : answer.code();
  };
  EXPECT_EQ(code("delimiter=%2F&list-type=2&prefix=a%20b"), "fine");
  EXPECT_EQ(code("list-type=2&delimiter=%2F"), "InvalidURI") << "unsorted";
  EXPECT_EQ(code("list-type=2&list-type=2"), "InvalidURI") << "repeated";
  EXPECT_EQ(code("list-type=2&prefix=a/b"), "InvalidURI") << "/ is to be encoded";
  EXPECT_EQ(code("list-type=2&prefix=%2f"), "InvalidURI") << "in upper case";
  EXPECT_EQ(code("list-type=2&prefix=a+b"), "InvalidURI") << "a space is %20";
}

TEST(StrictS3Test, BodiesMustBeWhatTheirHeadersSay) {
  StrictS3 server;
  auto put = [&](std::vector<std::string> headers) {
    return curl_put(server, "o", "hello", std::move(headers)).code();
  };
  EXPECT_EQ(put({"x-amz-content-sha256: " + sha256_hex("hallo")}), "XAmzContentSHA256Mismatch");
  EXPECT_EQ(put({"x-amz-content-sha256: UNSIGNED-PAYLOAD"}), "InvalidRequest");
  EXPECT_EQ(put({"x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}), "NotImplemented");
  EXPECT_EQ(put({"x-amz-content-sha256: abc"}), "InvalidArgument");
  EXPECT_EQ(put({"Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg=="}), "BadDigest");
  EXPECT_EQ(put({"Content-MD5: abc"}), "InvalidDigest");
  EXPECT_EQ(put({"x-amz-checksum-sha256: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}),
            "BadDigest");
  EXPECT_EQ(put({"x-amz-checksum-crc32: AAAAAA=="}), "NotImplemented");
  EXPECT_EQ(put({"x-amz-checksum-crc32c: AAAAAA=="}), "BadDigest");
  EXPECT_EQ(put({"x-amz-checksum-crc32c: abc"}), "InvalidRequest");
  EXPECT_EQ(put({"x-amz-sdk-checksum-algorithm: CRC32C"}), "InvalidRequest");
  EXPECT_EQ(put({"x-amz-checksum-crc32c: TLtxmg=="}), "BadDigest") << "the bytes are in the other order";
  EXPECT_EQ(put({"Transfer-Encoding: chunked"}), "NotImplemented");
  server.set("max_object", 4);
  EXPECT_EQ(put({}), "EntityTooLarge");
  server.set("max_object", 5);
  EXPECT_TRUE(server.keys().empty()) << "what was refused left nothing";
  EXPECT_EQ(put({}), "");
  EXPECT_EQ(put({"x-amz-checksum-crc32c: mnG7TA=="}), "");
  EXPECT_EQ(server.keys().size(), 1u);

  std::string request = curl_put(server, "o", "hello").request;
  std::string changed = replaced(closing(request), "Content-Length: 5\r\n", "");
  EXPECT_THAT(raw_exchange(server, changed), HasSubstr("MissingContentLength"));
  EXPECT_THAT(raw_exchange(server, closing(request) + "hallo"),
              HasSubstr("XAmzContentSHA256Mismatch"));
}

TEST(StrictS3Test, StaleRequestsAreRefusedAndToldTheTime) {
  StrictS3 server;
  server.put_object("o", as_bytes("hello"));
  for (int offset : {-1000, 1000}) {
    server.set("clock_offset_s", offset);
    CurlAnswer answer = curl_get(server, "o");
    EXPECT_EQ(answer.code(), "RequestTimeTooSkewed");
    EXPECT_THAT(answer.body, HasSubstr("<ServerTime>"));
  }
  for (int offset : {-800, 800}) {
    server.set("clock_offset_s", offset);
    EXPECT_EQ(curl_get(server, "o").body, "hello");
  }
}

TEST(StrictS3Test, TheWrongRegionIsToldTheRightOne) {
  StrictS3 server;
  server.set("region", "eu-central-1");
  CurlAnswer answer = curl(server, {.path_and_query = "/bucket/o"});
  EXPECT_EQ(answer.code(), "AuthorizationHeaderMalformed");
  EXPECT_THAT(answer.body, HasSubstr("<Region>eu-central-1</Region>"));
  EXPECT_EQ(curl(server, {.path_and_query = "/bucket/o", .region = "eu-central-1"}).code(),
            "NoSuchKey");
}

TEST(StrictS3Test, SessionTokensMustBeTheGivenOne) {
  StrictS3 server;
  server.put_object("o", as_bytes("hello"));
  auto get = [&](std::vector<std::string> headers) {
    CurlAnswer answer = curl(server, {.path_and_query = "/bucket/o", .headers = headers});
    return answer.status == 200 ? answer.body : answer.code();
  };
  EXPECT_EQ(get({"x-amz-security-token: token"}), "InvalidToken");
  server.set("session_token", "token");
  EXPECT_EQ(get({"x-amz-security-token: token"}), "hello");
  EXPECT_EQ(get({"x-amz-security-token: other"}), "InvalidToken");
  EXPECT_EQ(get({}), "InvalidAccessKeyId");
}

TEST(StrictS3Test, AWrongSecretIsRefused) {
  StrictS3 server;
  EXPECT_EQ(curl(server, {.path_and_query = "/bucket/o", .user = "strictaccess:other"}).code(),
            "SignatureDoesNotMatch");
}

// ---- Buckets and permissions -------------------------------------------------------------------

TEST(StrictS3Test, EachOperationCanBeForbidden) {
  StrictS3 server;
  server.put_object("o", as_bytes("hello"));
  struct Case {
    const char* operation;
    CurlRequest request;
  };
  const std::vector<Case> cases = {
      {"PutObject", {.method = "PUT", .path_and_query = "/bucket/p", .body = "x"}},
      {"GetObject", {.path_and_query = "/bucket/o"}},
      {"HeadObject", {.method = "HEAD", .path_and_query = "/bucket/o"}},
      {"ListObjectsV2", {.path_and_query = "/bucket/?list-type=2"}},
      {"DeleteObject", {.method = "DELETE", .path_and_query = "/bucket/none"}},
      {"HeadBucket", {.method = "HEAD", .path_and_query = "/bucket/"}},
      {"GetBucketVersioning", {.path_and_query = "/bucket/?versioning="}},
      {"GetBucketLocation", {.path_and_query = "/bucket/?location="}},
  };
  for (const Case& forbidden : cases) {
    server.set("forbid", forbidden.operation);
    for (const Case& asked : cases) {
      CurlAnswer answer = curl(server, asked.request);
      bool same = std::string(forbidden.operation) == asked.operation;
      EXPECT_EQ(answer.status == 403, same)
          << asked.operation << " without " << forbidden.operation;
    }
  }
}

TEST(StrictS3Test, WithoutTheRightToListMissingLooksForbidden) {
  StrictS3 server;
  server.set("forbid", "ListObjectsV2");
  EXPECT_EQ(curl_get(server, "none").code(), "AccessDenied");
}

TEST(StrictS3Test, BucketsCanBeMissingForbiddenAndOfAnyKind) {
  StrictS3 server;
  auto ask = [&](const std::string& query) {
    return curl(server, {.path_and_query = "/bucket/" + query}).body;
  };
  EXPECT_THAT(ask("?versioning="), Not(HasSubstr("<Status>")));
  EXPECT_THAT(ask("?lifecycle="), HasSubstr("NoSuchLifecycleConfiguration"));
  EXPECT_THAT(ask("?policyStatus="), HasSubstr("NoSuchBucketPolicy"));
  EXPECT_THAT(ask("?object-lock="), HasSubstr("ObjectLockConfigurationNotFoundError"));
  EXPECT_THAT(ask("?location="), HasSubstr("LocationConstraint"));
  EXPECT_THAT(ask("?publicAccessBlock="), HasSubstr("NoSuchPublicAccessBlockConfiguration"));
  EXPECT_THAT(ask("?acl="), Not(HasSubstr("AllUsers")));
  server.set("public_access_block", "on");
  server.set("acl", "public-read");
  EXPECT_THAT(ask("?publicAccessBlock="), HasSubstr("<BlockPublicAcls>true"));
  EXPECT_THAT(ask("?acl="), HasSubstr("global/AllUsers</URI>"));
  server.set("versioning", "Enabled");
  server.set("lifecycle", "<LifecycleConfiguration/>");
  server.set("policy_status", "public");
  server.set("object_lock", "501");
  EXPECT_THAT(ask("?versioning="), HasSubstr("<Status>Enabled</Status>"));
  EXPECT_THAT(ask("?lifecycle="), HasSubstr("<LifecycleConfiguration/>"));
  EXPECT_THAT(ask("?policyStatus="), HasSubstr("<IsPublic>true"));
  EXPECT_THAT(ask("?object-lock="), HasSubstr("NotImplemented"));
  server.set("bucket_state", "forbidden");
  EXPECT_THAT(ask("o"), HasSubstr("AccessDenied"));
  server.set("bucket_state", "missing");
  EXPECT_THAT(ask("o"), HasSubstr("NoSuchBucket"));
  CurlAnswer head = curl(server, {.method = "HEAD", .path_and_query = "/bucket/o"});
  EXPECT_EQ(head.status, 404);
  EXPECT_EQ(head.body, "");
}

}  // namespace
}  // namespace s3crate::test::strict
