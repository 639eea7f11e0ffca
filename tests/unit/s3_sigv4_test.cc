// SPDX-License-Identifier: GPL-3.0-or-later
// Signatures against what AWS published: the "Signature Version 4 test suite" and the examples of
// S3's own documentation. Cases of the suite that fold headers over lines or normalise paths are
// left out: S3 does neither.

#include <gtest/gtest.h>

#include "s3/sigv4.h"

namespace s3crate::s3 {
namespace {

constexpr std::string_view kNoBody =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr std::string_view kUnreserved =
    "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

Credentials credentials(std::string access_key, std::string_view secret, std::string token = "") {
  return {std::move(access_key), Bytes(secret.begin(), secret.end()), std::move(token)};
}

// ---- The suite ----------------------------------------------------------------------------------

constexpr std::string_view kSuiteDate = "20150830T123600Z";
constexpr SigningScope kSuiteScope = {"us-east-1", "service"};

struct SuiteCase {
  std::string name;
  std::string_view method;
  std::string path;  // in plain text
  Query query;
  Headers headers;  // besides Host and X-Amz-Date
  std::string_view body;
  std::string_view hash;  // of the canonical request
  std::string_view signature;
};

void PrintTo(const SuiteCase& c, std::ostream* out) { *out << c.name; }

const std::string kToken =
    "AQoDYXdzEPT//////////"
    "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeo"
    "IYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/"
    "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5V"
    "SXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"
    "scqKmlzm8FDrypNC9Yj"
    "c8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

const SuiteCase kSuite[] = {
    {"get-vanilla",
     "GET",
     "/",
     {},
     {},
     "",
     "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-vanilla-empty-query-key",
     "GET",
     "/",
     {{"Param1", "value1"}},
     {},
     "",
     "1e24db194ed7d0eec2de28d7369675a243488e08526e8c1c73571282f7c517ab",
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get-vanilla-query-order-key",
     "GET",
     "/",
     {{"Param1", "value2"}, {"Param1", "Value1"}},
     {},
     "",
     "704b4cef673542d84cdff252633f065e8daeba5f168b77116f8b1bcaf3d38f89",
     "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/",
     {{"Param2", "value2"}, {"Param1", "value1"}},
     {},
     "",
     "816cd5b414d056048ba4f7c5386d6e0533120fb1fcfa93762cf0fc39e2cf19e0",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-order-value",
     "GET",
     "/",
     {{"Param1", "value2"}, {"Param1", "value1"}},
     {},
     "",
     "c968629d70850097a2d8781c9bf7edcb988b04cac14cca9be4acc3595f884606",
     "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
    {"get-vanilla-query-unreserved",
     "GET",
     "/",
     {{std::string(kUnreserved), std::string(kUnreserved)}},
     {},
     "",
     "c30d4703d9f799439be92736156d47ccfb2d879ddf56f5befa6d1d6aab979177",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query",
     "GET",
     "/",
     {{"\xe1\x88\xb4", "bar"}},
     {},
     "",
     "eb30c5bed55734080471a834cc727ae56beb50e5f39d1bff6d0d38cb192a7073",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-unreserved",
     "GET",
     "/" + std::string(kUnreserved),
     {},
     {},
     "",
     "6a968768eefaa713e2a6b16b589a8ea192661f098f37349f4e2c0082757446f9",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-utf8",
     "GET",
     "/\xe1\x88\xb4",
     {},
     {},
     "",
     "2a0a97d02205e45ce2e994789806b19270cfbbb0921b278ccf58f5249ac42102",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-space",
     "GET",
     "/example space/",
     {},
     {},
     "",
     "63ee75631ed7234ae61b5f736dfc7754cdccfedbff4b5128a915706ee9390d86",
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"get-header-key-duplicate",
     "GET",
     "/",
     {},
     {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
     "",
     "dc7f04a3abfde8d472b0ab1a418b741b7c67174dad1551b4117b15527fbe966c",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-order",
     "GET",
     "/",
     {},
     {{"My-Header1", "value4"},
      {"My-Header1", "value1"},
      {"My-Header1", "value3"},
      {"My-Header1", "value2"}},
     "",
     "31ce73cd3f3d9f66977ad3dd957dc47af14df92fcd8509f59b349e9137c58b86",
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"get-header-value-trim",
     "GET",
     "/",
     {},
     {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
     "",
     "a726db9b0df21c14f559d0a978e563112acb1b9e05476f0a6a1c7d68f28605c7",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"post-vanilla",
     "POST",
     "/",
     {},
     {},
     "",
     "553f88c9e4d10fc9e109e2aeb65f030801b70c2f6468faca261d401ae622fc87",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-vanilla-query",
     "POST",
     "/",
     {{"Param1", "value1"}},
     {},
     "",
     "9d659678c1756bb3113e2ce898845a0a79dbbc57b740555917687f1b3340fbbd",
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"post-header-key-sort",
     "POST",
     "/",
     {},
     {{"My-Header1", "value1"}},
     "",
     "9368318c2967cf6de74404b30c65a91e8f6253e0a8659d6d5319f1a812f87d65",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case",
     "POST",
     "/",
     {},
     {{"My-Header1", "VALUE1"}},
     "",
     "d51ced243e649e3de6ef63afbbdcbca03131a21a7103a1583706a64618606a93",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     {},
     {{"Content-Type", "application/x-www-form-urlencoded"}},
     "Param1=value1",
     "42a5e5bb34198acb3e84da4f085bb7927f2bc277ca766e6d19c73c2154021281",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"post-sts-header-before",
     "POST",
     "/",
     {},
     {{"X-Amz-Security-Token", kToken}},
     "",
     "c237e1b440d4c63c32ca95b5b99481081cb7b13c7e40434868e71567c1a882f6",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
};

class SigV4Suite : public ::testing::TestWithParam<SuiteCase> {};

TEST_P(SigV4Suite, Matches) {
  const SuiteCase& c = GetParam();
  Headers headers = c.headers;
  headers.insert(headers.begin(), {"Host", "example.amazonaws.com"});
  headers.push_back({"X-Amz-Date", std::string(kSuiteDate)});
  std::string path = uri_encode_path(c.path);
  std::string query = canonical_query(c.query);
  std::string hash = to_hex(crypto::sha256(as_bytes(c.body)));
  SignedRequest request{c.method, path, query, headers, hash};
  std::string to_sign = string_to_sign(kSuiteDate, kSuiteScope, canonical_request(request));
  EXPECT_EQ(to_sign,
            fmt::format("AWS4-HMAC-SHA256\n{}\n20150830/us-east-1/service/aws4_request\n{}",
                        kSuiteDate, c.hash));
  std::string value =
      authorization(credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                    kSuiteDate, kSuiteScope, request);
  EXPECT_TRUE(
      value.starts_with("AWS4-HMAC-SHA256 "
                        "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                        "SignedHeaders="))
      << value;
  EXPECT_TRUE(value.ends_with(fmt::format(", Signature={}", c.signature))) << value;
}

INSTANTIATE_TEST_SUITE_P(Aws, SigV4Suite, ::testing::ValuesIn(kSuite), [](const auto& info) {
  std::string name = info.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(SigV4Test, TheCanonicalRequestIsTheOneOfTheSuite) {
  Headers headers = {{"Host", "example.amazonaws.com"},
                     {"My-Header1", " value1"},
                     {"My-Header2", " \"a   b   c\""},
                     {"X-Amz-Date", std::string(kSuiteDate)}};
  EXPECT_EQ(canonical_request({"GET", "/", "", headers, kNoBody}),
            "GET\n/\n\nhost:example.amazonaws.com\nmy-header1:value1\nmy-header2:\"a b c\"\n"
            "x-amz-date:20150830T123600Z\n\nhost;my-header1;my-header2;x-amz-date\n" +
                std::string(kNoBody));
}

// ---- S3's documentation -------------------------------------------------------------------------

std::string documented(std::string_view method, std::string_view path, const Query& query,
                       std::string_view body, Headers headers) {
  auto keys = credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
  headers.push_back({"Host", "examplebucket.s3.amazonaws.com"});
  WallTime time{std::chrono::seconds(1369353600)};  // 2013-05-24T00:00:00Z
  sign_s3(&keys, "us-east-1", time, method, uri_encode_path(path), canonical_query(query),
          to_hex(crypto::sha256(as_bytes(body))), headers);
  EXPECT_EQ(headers.back().name, "Authorization");
  return headers.back().value;
}

constexpr std::string_view kDocumented =
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
    "SignedHeaders={}, Signature={}";

TEST(SigV4Test, DocumentedGetOfARange) {
  EXPECT_EQ(documented("GET", "/test.txt", {}, "", {{"Range", "bytes=0-9"}}),
            fmt::format(kDocumented, "host;range;x-amz-content-sha256;x-amz-date",
                        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"));
}

TEST(SigV4Test, DocumentedPutWithStorageClass) {
  EXPECT_EQ(
      documented("PUT", "/test$file.text", {}, "Welcome to Amazon S3.",
                 {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                  {"x-amz-storage-class", "REDUCED_REDUNDANCY"}}),
      fmt::format(kDocumented, "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(SigV4Test, DocumentedGetOfLifecycle) {
  EXPECT_EQ(documented("GET", "/", {{"lifecycle", ""}}, "", {}),
            fmt::format(kDocumented, "host;x-amz-content-sha256;x-amz-date",
                        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
}

TEST(SigV4Test, DocumentedList) {
  EXPECT_EQ(documented("GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, "", {}),
            fmt::format(kDocumented, "host;x-amz-content-sha256;x-amz-date",
                        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

// ---- Our own ------------------------------------------------------------------------------------

TEST(SigV4Test, ATokenIsSentAndSigned) {
  auto keys = credentials("A", "B", "token");
  Headers headers = {{"Host", "h"}};
  sign_s3(&keys, "r", WallTime(std::chrono::seconds(1)), "GET", "/", "", kUnsignedPayload, headers);
  ASSERT_EQ(headers.size(), 5u);
  EXPECT_EQ(headers[1].value, "19700101T000001Z");
  EXPECT_EQ(headers[2].value, "UNSIGNED-PAYLOAD");
  EXPECT_EQ(headers[3].name, "x-amz-security-token");
  EXPECT_EQ(headers[3].value, "token");
  EXPECT_NE(headers[4].value.find("x-amz-date;x-amz-security-token,"), std::string::npos);
}

TEST(SigV4Test, NobodySignsNothing) {
  Headers headers = {{"Host", "h"}};
  sign_s3(nullptr, "r", WallTime(std::chrono::seconds(1)), "GET", "/", "", kNoBody, headers);
  EXPECT_EQ(headers.size(), 1u);
}

TEST(SigV4Test, EncodingCoversEveryByte) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  std::string encoded = uri_encode(all);
  EXPECT_EQ(encoded.size(), kUnreserved.size() + 3 * (256 - kUnreserved.size()));
  EXPECT_TRUE(encoded.starts_with("%00%01"));
  EXPECT_TRUE(encoded.ends_with("%FE%FF"));
  EXPECT_EQ(uri_encode("a/b+c d%"), "a%2Fb%2Bc%20d%25");
  EXPECT_EQ(uri_encode_path("a/b+c d%"), "a/b%2Bc%20d%25");
}

}  // namespace
}  // namespace s3crate::s3
