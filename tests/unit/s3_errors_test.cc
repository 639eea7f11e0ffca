// SPDX-License-Identifier: GPL-3.0-or-later
// The table from S3's answers to our codes and sentences; the parsing of what S3 says; endpoints.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "s3/endpoint.h"
#include "s3/errors.h"
#include "s3/xml.h"

namespace s3crate::s3 {
namespace {

using store::Verb;
using ::testing::HasSubstr;

Asked asked(Verb verb) {
  return {.verb = verb,
          .place = "s3://bkt/vol/name",
          .bucket = "bkt",
          .region = "us-east-1",
          .endpoint = "https://store.example",
          .is_signed = true};
}

struct ErrorCase {
  Verb verb;
  int status;
  const char* code;
  Code ours;
  const char* words;  // in the message
};

TEST(S3ErrorsTest, EveryAnswerHasItsCodeAndSaysWhatHelps) {
  const ErrorCase kCases[] = {
      {Verb::get, 403, "AccessDenied", Code::kDenied, "s3:GetObject on bkt"},
      {Verb::get_range, 403, "AccessDenied", Code::kDenied, "s3:GetObject on bkt"},
      {Verb::head, 403, "", Code::kDenied, "s3:GetObject on bkt"},
      {Verb::put, 403, "AccessDenied", Code::kDenied, "s3:PutObject on bkt"},
      {Verb::list, 403, "AccessDenied", Code::kDenied, "s3:ListBucket on bkt"},
      {Verb::remove, 403, "AccessDenied", Code::kDenied, "s3:DeleteObject on bkt"},
      {Verb::put, 401, "", Code::kDenied, "s3:PutObject on bkt"},
      {Verb::get, 403, "InvalidAccessKeyId", Code::kDenied, "does not know this access key"},
      {Verb::get, 403, "SignatureDoesNotMatch", Code::kDenied, "secret key is wrong"},
      {Verb::get, 400, "ExpiredToken", Code::kDenied, "session token has expired"},
      {Verb::get, 403, "RequestTimeTooSkewed", Code::kTransient, "clock"},
      {Verb::put, 404, "NoSuchBucket", Code::kDenied, "no bucket bkt at https://store.example"},
      {Verb::get, 404, "NoSuchKey", Code::kNotFound, "no such object"},
      {Verb::get, 404, "", Code::kDenied, "does not answer as S3 does"},
      {Verb::get_range, 404, "", Code::kDenied, "does not answer as S3 does"},
      {Verb::head, 404, "", Code::kNotFound, "no such object"},
      {Verb::list, 404, "", Code::kDenied, "https://store.example does not answer as S3 does (404)"},
      {Verb::list, 404, "NoSuchBucket", Code::kDenied, "no bucket bkt"},
      {Verb::put, 412, "PreconditionFailed", Code::kExists, "exists"},
      {Verb::put, 409, "ConditionalRequestConflict", Code::kTransient, "same name"},
      {Verb::put, 501, "NotImplemented", Code::kUnsupported, "does not offer"},
      {Verb::put, 403, "QuotaExceeded", Code::kTransient, "quota"},
      {Verb::put, 507, "", Code::kTransient, "full"},
      {Verb::put, 400, "BadDigest", Code::kCorrupt, "not what was sent"},
      {Verb::put, 400, "XAmzContentSHA256Mismatch", Code::kCorrupt, "not what was sent"},
      {Verb::put, 400, "IncompleteBody", Code::kTransient, "not all of it"},
      {Verb::put, 400, "RequestTimeout", Code::kTransient, "too long"},
      {Verb::put, 400, "InvalidStorageClass", Code::kBadArgument, "storage class"},
      {Verb::get, 403, "InvalidObjectState", Code::kDenied, "archived"},
      {Verb::get, 503, "SlowDown", Code::kTransient, "slow down"},
      {Verb::get, 503, "", Code::kTransient, "503"},
      {Verb::get, 429, "", Code::kTransient, "slow down"},
      {Verb::get, 500, "InternalError", Code::kTransient, "500 InternalError"},
      {Verb::get, 502, "", Code::kTransient, "502"},
      {Verb::get, 504, "", Code::kTransient, "504"},
      {Verb::get_range, 416, "InvalidRange", Code::kCorrupt, "shorter"},
      {Verb::get_range, 200, "", Code::kCorrupt, "makes no sense"},
      {Verb::get, 204, "", Code::kCorrupt, "makes no sense"},
      {Verb::get, 418, "Teapot", Code::kDenied, "418 Teapot"},
      {Verb::put, 413, "", Code::kUnsupported, "no objects of that size"},
      {Verb::put, 405, "MethodNotAllowed", Code::kUnsupported, "does not offer"},
      {Verb::put, 405, "", Code::kDenied, "does not answer as S3 does (405)"},
      {Verb::put, 204, "", Code::kDenied, "does not answer as S3 does (204)"},
      {Verb::get, 303, "", Code::kDenied, "does not answer as S3 does (303)"},
      {Verb::list, 302, "", Code::kDenied, "does not answer as S3 does (302)"},
  };
  for (const ErrorCase& c : kCases) {
    SCOPED_TRACE(fmt::format("{} {}", c.status, c.code));
    Error error =
        error_of(asked(c.verb),
                 {.status = c.status, .code = c.code, .message = {}, .region = {}, .endpoint = {}});
    EXPECT_EQ(code_name(error.code()), code_name(c.ours));
    EXPECT_THAT(error.message(), HasSubstr(c.words));
    EXPECT_THAT(error.message(), HasSubstr("s3://bkt/vol/name"));
    EXPECT_EQ(error.message().find('{'), std::string::npos) << error.message();
  }
}

TEST(S3ErrorsTest, ABucketElsewhereIsNamedWithItsRegion) {
  for (int status : {301, 302, 307, 308, 400}) {
    Refusal refusal{.status = status,
                    .code = status == 400 ? "AuthorizationHeaderMalformed" : "PermanentRedirect",
                    .message = "moved",
                    .region = "eu-west-1",
                    .endpoint = {}};
    Error error = error_of(asked(Verb::list), refusal);
    EXPECT_EQ(error.code(), Code::kDenied) << status;
    EXPECT_THAT(error.message(), HasSubstr("--region eu-west-1"));
    refusal.region.clear();
    refusal.endpoint = "bkt.s3.example";
    EXPECT_THAT(error_of(asked(Verb::list), refusal).message(),
                HasSubstr("--endpoint https://bkt.s3.example"));
  }
}

TEST(S3ErrorsTest, AnonymousRequestsAreNotToldOfPermissions) {
  Asked nobody = asked(Verb::put);
  nobody.is_signed = false;
  EXPECT_THAT(
      error_of(nobody,
               {.status = 403, .code = "AccessDenied", .message = {}, .region = {}, .endpoint = {}})
          .message(),
      HasSubstr("anonymous"));
}

TEST(S3ErrorsTest, VerbsAreNamed) {
  EXPECT_EQ(asked_text(Verb::put, "s3://b/n"), "PUT s3://b/n");
  EXPECT_EQ(asked_text(Verb::get_range, "s3://b/n"), "GET s3://b/n");
  EXPECT_EQ(asked_text(Verb::head, "s3://b/n"), "HEAD s3://b/n");
  EXPECT_EQ(asked_text(Verb::list, "s3://b"), "LIST s3://b");
  EXPECT_EQ(asked_text(Verb::remove, "s3://b/n"), "DELETE s3://b/n");
}

// ---- XML ----------------------------------------------------------------------------------------

TEST(S3XmlTest, RefusalsAreReadAndMadeHarmless) {
  Refusal refusal = parse_refusal(
      301,
      as_bytes(
          "<?xml version=\"1.0\"?><Error><Code>PermanentRedirect</Code><Message>a&#27;b\n</Message>"
          "<Region>eu-west-1</Region><Endpoint>e</Endpoint></Error>"));
  EXPECT_EQ(refusal.status, 301);
  EXPECT_EQ(refusal.code, "PermanentRedirect");
  EXPECT_EQ(refusal.message, "a?b?");
  EXPECT_EQ(refusal.region, "eu-west-1");
  EXPECT_EQ(refusal.endpoint, "e");
  std::string endless = "<Error><Code>" + std::string(100000, 'x') + "</Code></Error>";
  EXPECT_LE(parse_refusal(400, as_bytes(endless)).code.size(), 300u);
  for (std::string_view other : {"", "<html>Bad Gateway", "<Error><Code>x", "\xff\xfe"}) {
    EXPECT_EQ(parse_refusal(502, as_bytes(other)).status, 502) << other;
  }
}

std::string list_of(std::string_view inside) {
  return fmt::format(
      "<?xml version=\"1.0\"?>\n<ListBucketResult "
      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
      "{}</ListBucketResult>",
      inside);
}

TEST(S3XmlTest, ListsAreReadAndDecodedIfTheySaySo) {
  const std::string entries =
      "<Contents><Key>a%2Bb+c/%C3%A4</Key><Size>12</Size></Contents><Contents><Key>b</Key><Size>0</"
      "Size></Contents>";
  auto listing = parse_listing(
      as_bytes(list_of("<IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>"
                       "<NextContinuationToken>t&amp;</NextContinuationToken>" +
                       entries)),
      2);
  ASSERT_TRUE(listing);
  EXPECT_TRUE(listing->truncated);
  EXPECT_EQ(listing->token, "t&");
  ASSERT_EQ(listing->keys.size(), 2u);
  EXPECT_EQ(listing->keys[0].name, "a+b c/\xc3\xa4");
  EXPECT_EQ(listing->keys[0].size, 12u);
  listing = parse_listing(as_bytes(list_of("<IsTruncated>false</IsTruncated>" + entries)), 2);
  ASSERT_TRUE(listing);
  EXPECT_EQ(listing->keys[0].name, "a%2Bb+c/%C3%A4");
  EXPECT_FALSE(listing->truncated);
}

TEST(S3XmlTest, BadListsAreCorrupt) {
  const std::string good = "<IsTruncated>false</IsTruncated>";
  const std::string entry = "<Contents><Key>a</Key><Size>1</Size></Contents>";
  ASSERT_TRUE(parse_listing(as_bytes(list_of(good + entry)), 1));
  for (const std::string& bad :
       {std::string("<ListBucketResult>"), std::string("<Other><ListBucketResult/></Other>"), list_of(entry), list_of("<IsTruncated>maybe</IsTruncated>"),
        list_of(good + entry + entry), list_of(good + "<Contents><Key>a</Key></Contents>"),
        list_of(good + "<Contents><Key>a</Key><Size>-1</Size></Contents>"),
        list_of(good + "<Contents><Key>a</Key><Size>1x</Size></Contents>"),
        list_of(good + "<Contents><Key>a</Key><Size>99999999999999999999</Size></Contents>"),
        list_of(
            good +
            "<EncodingType>url</EncodingType><Contents><Key>a%2</Key><Size>1</Size></Contents>"),
        list_of(
            good +
            "<EncodingType>url</EncodingType><Contents><Key>%zz</Key><Size>1</Size></Contents>"),
        list_of(good + "<NextContinuationToken>" + std::string(5000, 't') +
                "</NextContinuationToken>")}) {
    EXPECT_TRUE(is(parse_listing(as_bytes(bad), 1), Code::kCorrupt)) << bad.substr(0, 200);
  }
}

TEST(S3XmlTest, WhatIsNoListAtAllIsToldFromABadOne) {
  for (std::string_view other : {"", "{}", "<Other/>", "<html><body>Welcome</body></html>"})
    EXPECT_TRUE(is(parse_listing(as_bytes(other), 1), Code::kUnsupported)) << other;
}

// ---- Endpoints ----------------------------------------------------------------------------------

struct EndpointCase {
  const char* url;
  const char* region;
  const char* bucket;
  Style style;
  const char* result;  // the URL of the object "a b"
};

TEST(S3EndpointTest, TheBucketGoesIntoTheHostOrThePath) {
  const EndpointCase kCases[] = {
      {"", "", "bkt", Style::guess, "https://bkt.s3.us-east-1.amazonaws.com/a%20b"},
      {"", "eu-west-1", "bkt", Style::guess, "https://bkt.s3.eu-west-1.amazonaws.com/a%20b"},
      {"", "eu-west-1", "b.k", Style::guess, "https://s3.eu-west-1.amazonaws.com/b.k/a%20b"},
      {"", "", "bkt", Style::path, "https://s3.us-east-1.amazonaws.com/bkt/a%20b"},
      {"https://s3.cn-north-1.amazonaws.com.cn", "", "bkt", Style::guess,
       "https://bkt.s3.cn-north-1.amazonaws.com.cn/a%20b"},
      {"https://store.example", "", "bkt", Style::guess, "https://store.example/bkt/a%20b"},
      {"https://store.example:443/", "", "bkt", Style::virtual_host,
       "https://bkt.store.example/a%20b"},
      {"https://store.example:8443", "", "bkt", Style::guess,
       "https://store.example:8443/bkt/a%20b"},
      {"http://127.0.0.1:80", "", "bkt", Style::guess, "http://127.0.0.1/bkt/a%20b"},
      {"http://127.0.0.1:7480", "", "bkt", Style::guess, "http://127.0.0.1:7480/bkt/a%20b"},
      {"http://localhost:7480", "", "bkt", Style::virtual_host, "http://bkt.localhost:7480/a%20b"},
      {"http://[::1]:7480", "", "bkt", Style::guess, "http://[::1]:7480/bkt/a%20b"},
  };
  for (const EndpointCase& c : kCases) {
    auto endpoint =
        Endpoint::make({.url = c.url, .region = c.region, .bucket = c.bucket, .style = c.style});
    ASSERT_TRUE(endpoint) << endpoint.error().message();
    EXPECT_EQ(endpoint->url(endpoint->path("a b"), ""), c.result);
    std::string_view rest = c.result;
    rest.remove_prefix(rest.find("//") + 2);
    EXPECT_EQ(endpoint->host(), rest.substr(0, rest.find('/')));
  }
  auto path = Endpoint::make({.url = "http://127.0.0.1", .region = {}, .bucket = "bkt"});
  EXPECT_EQ(path->url(path->path(""), "x=1"), "http://127.0.0.1/bkt?x=1");
  auto host = Endpoint::make({.url = {}, .region = {}, .bucket = "bkt"});
  EXPECT_EQ(host->url(host->path(""), ""), "https://bkt.s3.us-east-1.amazonaws.com/");
  // However its URL is written, a server is one place.
  for (const char* url : {"https://Store.example", "https://store.example:443/", "https://STORE.EXAMPLE"}) {
    auto made = Endpoint::make({.url = url, .region = {}, .bucket = "bkt"});
    ASSERT_TRUE(made) << url;
    EXPECT_EQ(made->machine(), "store.example");
  }
  EXPECT_EQ(Endpoint::make({.url = "https://store.example:444", .region = {}, .bucket = "bkt"})->machine(),
            "store.example:444");
}

TEST(S3EndpointTest, PlainHttpIsForThisMachineOnly) {
  for (const char* url : {"http://store.example", "http://10.0.0.1", "http://128.0.0.1",
                          "http://127.0.0.1.example", "http://localhost.example", "http://[::2]"}) {
    EXPECT_TRUE(is(Endpoint::make({.url = url, .region = {}, .bucket = "b"}), Code::kBadArgument))
        << url;
    auto forced = Endpoint::make({.url = url, .region = {}, .bucket = "b", .insecure_http = true});
    ASSERT_TRUE(forced) << url;
    EXPECT_FALSE(forced->tls());
    EXPECT_FALSE(forced->loopback());
  }
  for (const char* url : {"http://127.0.0.1", "http://127.9.9.9:1", "http://localhost",
                          "http://b.localhost", "http://[::1]"}) {
    auto endpoint = Endpoint::make({.url = url, .region = {}, .bucket = "b"});
    ASSERT_TRUE(endpoint) << url;
    EXPECT_TRUE(endpoint->loopback());
  }
}

TEST(S3EndpointTest, NonsenseIsRefused) {
  for (const char* url :
       {"store.example", "ftp://x", "https://", "https://:80", "https://a:b",
        "https://a:", "https://a:123456", "https://u@h", "https://h/path", "https://h?q",
        "https://h#f", "https://[::1", "https://[zz]", "https://h h", "https://h\r\nX: y"}) {
    EXPECT_TRUE(is(Endpoint::make({.url = url, .region = {}, .bucket = "b"}), Code::kBadArgument))
        << url;
  }
  for (const char* bucket : {"", ".", "..", "a/b", "a b", "a?b", "b\xc3\xa4"}) {
    EXPECT_TRUE(is(Endpoint::make({.url = {}, .region = {}, .bucket = bucket}), Code::kBadArgument))
        << bucket;
  }
  EXPECT_TRUE(is(Endpoint::make({.url = {}, .region = "a/b", .bucket = "b"}), Code::kBadArgument));
  EXPECT_TRUE(is(
      Endpoint::make(
          {.url = "http://127.0.0.1", .region = {}, .bucket = "b", .style = Style::virtual_host}),
      Code::kBadArgument));
}

}  // namespace
}  // namespace s3crate::s3
