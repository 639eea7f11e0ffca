// SPDX-License-Identifier: GPL-3.0-or-later
// S3Store against S3 servers: the contract of ObjectStore, and what S3 adds to it. The same cases
// run against the strict server in all its forms and, so that it stays honest, against a real one
// if the environment names it (scripts/s3-server starts one):
//
//   S3CRATE_TEST_S3_ENDPOINT    http://127.0.0.1:PORT
//   S3CRATE_TEST_S3_BUCKET      an existing bucket; every case works below a fresh prefix in it
//   S3CRATE_TEST_S3_ACCESS_KEY, S3CRATE_TEST_S3_SECRET_KEY

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "s3/s3_store.h"
#include "tests/s3/strict_s3.h"
#include "tests/support/seed.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/store_contract.h"

namespace s3crate::test {
namespace {

using strict::CertificateKind;
using strict::Fault;
using strict::StrictS3;
using ::testing::HasSubstr;

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The machine's clock, some time ahead of what the servers think.
class ShiftedClock final : public Clock {
 public:
  explicit ShiftedClock(Duration ahead) : ahead_(ahead) {}
  MonotonicTime monotonic_now() override { return system_clock().monotonic_now(); }
  BootTime boottime_now() override { return system_clock().boottime_now(); }
  WallTime wall_now() override { return system_clock().wall_now() + ahead_; }

 private:
  const Duration ahead_;
};

class GivenKeys final : public s3::CredentialSource {
 public:
  void set(const std::string& access_key, const std::string& secret,
           const std::string& token = "") {
    keys_ =
        std::make_shared<s3::Credentials>(access_key, Bytes(secret.begin(), secret.end()), token);
  }
  void clear() { keys_.reset(); }
  Result<std::shared_ptr<const s3::Credentials>> get() override { return keys_; }

 private:
  std::shared_ptr<const s3::Credentials> keys_;
};

enum class Form { kStrict, kVirtualHost, kTls, kReal };

// A server, and how a store gets at it. Cases may change `options` and `keys` before make().
struct Server {
  explicit Server(Form form) {
    std::string access_key, secret;
    if (form == Form::kReal) {
      options.endpoint.url = from_environment("S3CRATE_TEST_S3_ENDPOINT");
      options.endpoint.bucket = from_environment("S3CRATE_TEST_S3_BUCKET");
      access_key = from_environment("S3CRATE_TEST_S3_ACCESS_KEY");
      secret = from_environment("S3CRATE_TEST_S3_SECRET_KEY");
    } else {
      StrictS3::Options server_options{.seed = test_seed()};
      if (form == Form::kTls) server_options.tls = CertificateKind::kGood;
      use(std::make_unique<StrictS3>(server_options));
      access_key = fake->settings().access_key;
      secret = fake->settings().secret_key;
    }
    if (form == Form::kVirtualHost) {
      options.endpoint.url = fake->virtual_host_endpoint();
      options.endpoint.style = s3::Style::virtual_host;
    }
    options.prefix = "test " + to_hex(system_random().array<8>()) + "/+%\xc3\xa4";
    keys.set(access_key, secret);
  }

  void use(std::unique_ptr<StrictS3> server) {
    fake = std::move(server);
    options.endpoint.url = fake->endpoint();
    options.endpoint.bucket = fake->settings().bucket;
    if (fake->ca().empty()) return;
    options.ca_file = dir / "ca.pem";
    std::ofstream(options.ca_file) << fake->ca();
  }

  std::unique_ptr<s3::S3Store> make(Clock& clock = system_clock()) {
    Env env = system_env();
    auto made = s3::S3Store::make({clock, env.random, env.executor}, options, keys);
    EXPECT_TRUE(made) << made.error().message();
    return made ? std::move(*made) : nullptr;
  }

  TempDir dir;
  std::unique_ptr<StrictS3> fake;  // null for a real one
  s3::S3Options options;
  GivenKeys keys;
};

struct ServerUnderTest : StoreUnderTest {
  explicit ServerUnderTest(Form form) : server(form), made(server.make()) {}
  store::ObjectStore& store() override { return *made; }

  Server server;
  std::unique_ptr<s3::S3Store> made;
};

template <Form form>
std::unique_ptr<StoreUnderTest> under_test() {
  return std::make_unique<ServerUnderTest>(form);
}

bool has_real() { return !from_environment("S3CRATE_TEST_S3_ENDPOINT").empty(); }

std::vector<Form> real_form() {
  return has_real() ? std::vector{Form::kReal} : std::vector<Form>{};
}
std::vector<StoreFactory> real_factory() {
  return has_real() ? std::vector<StoreFactory>{under_test<Form::kReal>}
                    : std::vector<StoreFactory>{};
}

INSTANTIATE_TEST_SUITE_P(Strict, StoreContract, ::testing::Values(under_test<Form::kStrict>));
INSTANTIATE_TEST_SUITE_P(StrictVirtualHost, StoreContract,
                         ::testing::Values(under_test<Form::kVirtualHost>));
INSTANTIATE_TEST_SUITE_P(StrictTls, StoreContract, ::testing::Values(under_test<Form::kTls>));
INSTANTIATE_TEST_SUITE_P(Real, StoreContract, ::testing::ValuesIn(real_factory()));

// ---- What every S3 does ------------------------------------------------------------------------

class S3Conformance : public ::testing::TestWithParam<Form> {
 protected:
  Server server_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Strict, S3Conformance, ::testing::Values(Form::kStrict));
INSTANTIATE_TEST_SUITE_P(StrictVirtualHost, S3Conformance, ::testing::Values(Form::kVirtualHost));
INSTANTIATE_TEST_SUITE_P(StrictTls, S3Conformance, ::testing::Values(Form::kTls));
INSTANTIATE_TEST_SUITE_P(Real, S3Conformance, ::testing::ValuesIn(real_form()));

TEST_P(S3Conformance, AWrongSecretIsDenied) {
  server_.keys.set((*server_.keys.get())->access_key, "not the secret");
  auto store = server_.make();
  auto put = store->put("o", as_bytes("x"));
  EXPECT_TRUE(is(put, Code::kDenied));
  EXPECT_THAT(put.error().message(), HasSubstr("secret key is wrong"));
  EXPECT_TRUE(is(store->list("", "", 10), Code::kDenied));
}

TEST_P(S3Conformance, AnUnknownAccessKeyIsDenied) {
  server_.keys.set("nobody", "not the secret");
  auto store = server_.make();
  auto get = store->get("o", 10);
  EXPECT_TRUE(is(get, Code::kDenied));
  EXPECT_THAT(get.error().message(), HasSubstr("does not know this access key"));
}

TEST_P(S3Conformance, AnonymousRequestsAreDenied) {
  server_.keys.clear();
  auto store = server_.make();
  EXPECT_TRUE(is(store->put("o", as_bytes("x")), Code::kDenied));
  EXPECT_TRUE(is(store->list("", "", 10), Code::kDenied));
}

TEST_P(S3Conformance, AMissingBucketIsNamed) {
  server_.options.endpoint.bucket = "no-such-bucket";
  auto store = server_.make();
  auto put = store->put("o", as_bytes("x"));
  EXPECT_TRUE(is(put, Code::kDenied));
  EXPECT_THAT(put.error().message(), HasSubstr("there is no bucket no-such-bucket"));
  EXPECT_TRUE(is(store->list("", "", 10), Code::kDenied));
}

TEST_P(S3Conformance, AWrongClockIsLearnedFromTheFirstAnswer) {
  for (auto ahead : {std::chrono::hours(-2), std::chrono::hours(2)}) {
    ShiftedClock clock(ahead);
    auto store = server_.make(clock);
    std::string name = fmt::format("o{}", ahead.count());
    ASSERT_TRUE(store->put(name, as_bytes("x")));
    EXPECT_EQ(store->counters(s3::Lane::upload).requests, 2u);
    EXPECT_TRUE(store->get(name, 10));
    EXPECT_EQ(store->counters(s3::Lane::read).requests, 1u);
    ASSERT_TRUE(store->store_time());
    EXPECT_LT(std::chrono::abs(*store->store_time() - system_clock().wall_now()),
              std::chrono::minutes(1));
  }
}

TEST_P(S3Conformance, ConnectionsAreReused) {
  constexpr unsigned kThreads = 4, kCalls = 25;
  auto store = server_.make();
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < kCalls; ++i) {
        std::string name = fmt::format("segments/{}-{}", t, i);
        EXPECT_TRUE(store->put(name, Bytes(100000, 7)));
        EXPECT_TRUE(is(store->put(name, Bytes(100000, 7)), Code::kExists));
        EXPECT_EQ(store->get(name, 100000)->size(), 100000u);
        EXPECT_TRUE(is(store->get(name + "x", 100000), Code::kNotFound));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (auto lane : {s3::Lane::read, s3::Lane::upload}) {
    EXPECT_EQ(store->counters(lane).requests, 2 * kThreads * kCalls);
    EXPECT_LE(store->counters(lane).connects, kThreads);
  }
}

TEST_P(S3Conformance, AWrongChecksumIsRefusedAndNothingKept) {
  server_.options.proof_name = "proof";
  auto store = server_.make();
  ASSERT_TRUE(store->put("o", as_bytes("x")));
  EXPECT_EQ(store->put_check(), s3::PutCheck::sha256);
  EXPECT_TRUE(is(store->head("proof"), Code::kNotFound));
}

TEST_P(S3Conformance, PutsWithoutConditionsLookFirst) {
  server_.options.conditional_puts = false;
  auto store = server_.make();
  EXPECT_TRUE(store->put("o", as_bytes("first")));
  EXPECT_TRUE(is(store->put("o", as_bytes("second")), Code::kExists));
  EXPECT_EQ(as_chars(*store->get("o", 10)), "first");
}

TEST_P(S3Conformance, ALargeObjectComesBackAsItWas) {
  auto store = server_.make();
  Bytes data(9 << 20);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i * i >> 7);
  ASSERT_TRUE(store->put("segments/1", data));
  auto back = store->get("segments/1", data.size());
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_TRUE(*back == data);
  Bytes part(70000);
  ASSERT_TRUE(store->get_range("segments/1", 5000001, part));
  EXPECT_TRUE(equal(part, ByteView(data).subspan(5000001, part.size())));
}

// ---- What only the strict server can be asked for ----------------------------------------------

class StrictStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.options.prefix.clear();
    server_.options.stall_timeout = std::chrono::seconds(1);
    store_ = server_.make();
  }
  StrictS3& server() { return *server_.fake; }
  void order(Fault fault, const std::string& operation) {
    server().inject({.fault = fault, .operation = operation});
  }

  Server server_{Form::kStrict};
  std::unique_ptr<s3::S3Store> store_;
};

TEST_F(StrictStoreTest, EveryRequestIsFitForTheStrictest) {
  ASSERT_TRUE(store_->put("a/b", as_bytes("x")));
  ASSERT_TRUE(store_->head("a/b"));
  ASSERT_TRUE(store_->get("a/b", 1));
  ASSERT_TRUE(store_->list("a/", "a/a", 1000));
  ASSERT_TRUE(store_->remove("a/b"));
  for (const auto& [name, value] : server().counters())
    EXPECT_FALSE(name.starts_with("error.")) << name << " " << value;
  EXPECT_EQ(server().counter("requests"), 5u);
}

TEST_F(StrictStoreTest, FaultsAreTransientAndNothingIsBelieved) {
  server().put_object("o", as_bytes("0123456789"));
  for (Fault fault : {Fault::kError500, Fault::kErrorAfter, Fault::kSlowDown, Fault::kReset,
                      Fault::kLostReply, Fault::kTruncate}) {
    auto store = server_.make();  // its connections are new, see below
    order(fault, "GetObject");
    Bytes out(10);
    EXPECT_TRUE(is(store->get_range("o", 0, out), Code::kTransient)) << strict::fault_name(fault);
    order(fault, "ListObjectsV2");
    EXPECT_TRUE(is(store->list("", "", 10), Code::kTransient)) << strict::fault_name(fault);
    EXPECT_EQ(server().counter(fmt::format("fault.{}", strict::fault_name(fault))), 2u);
  }
  EXPECT_EQ(as_chars(*store_->get("o", 10)), "0123456789");
}

// libcurl would send the request once more by itself on a connection that was used before, and who lost
// a reply would meet himself; a failed try is to be one here too.
TEST_F(StrictStoreTest, OnAUsedConnectionALostReplyIsAFailedTryAsWell) {
  ASSERT_TRUE(store_->put("a", as_bytes("x")));
  order(Fault::kLostReply, "PutObject");
  EXPECT_TRUE(is(store_->put("o", as_bytes("x")), Code::kTransient));
  EXPECT_EQ(server().counter("PutObject"), 2u);
  EXPECT_TRUE(is(store_->put("o", as_bytes("x")), Code::kExists));
  EXPECT_EQ(as_chars(*store_->get("o", 10)), "x");
}

TEST_F(StrictStoreTest, ABodyThatStallsIsATimeout) {
  server().put_object("o", as_bytes("0123456789"));
  order(Fault::kStall, "GetObject");
  EXPECT_TRUE(is(store_->get("o", 10), Code::kTransient));
  EXPECT_EQ(server().counter("fault.stall"), 1u);
}

TEST_F(StrictStoreTest, AServerThatHangsIsATimeout) {
  order(Fault::kHang, "PutObject");
  EXPECT_TRUE(is(store_->put("o", as_bytes("x")), Code::kTransient));
  EXPECT_TRUE(store_->put("o", as_bytes("x")));
}

TEST_F(StrictStoreTest, APutWhoseReplyWasLostIsThere) {
  order(Fault::kLostReply, "PutObject");
  EXPECT_TRUE(is(store_->put("o", as_bytes("x")), Code::kTransient));
  EXPECT_TRUE(is(store_->put("o", as_bytes("x")), Code::kExists));
  EXPECT_EQ(as_chars(*store_->get("o", 10)), "x");
}

TEST_F(StrictStoreTest, EveryForbiddenVerbNamesItsPermission) {
  server().put_object("o", as_bytes("x"));
  auto message = [&](const char* operation) {
    server().set("forbid", operation);
    std::string name = operation;
    Bytes byte(1);
    Result<> done = name == "PutObject"      ? store_->put("p", as_bytes("x"))
                    : name == "GetObject"    ? store_->get_range("o", 0, byte)
                    : name == "DeleteObject" ? store_->remove("o")
                    : name == "HeadObject"   ? store_->head("o").map([](auto) {})
                                             : store_->list("", "", 1).map([](auto) {});
    return is(done, Code::kDenied) ? done.error().message() : "not denied";
  };
  EXPECT_THAT(message("PutObject"), HasSubstr("s3:PutObject on bucket"));
  EXPECT_THAT(message("GetObject"), HasSubstr("s3:GetObject on bucket"));
  EXPECT_THAT(message("HeadObject"), HasSubstr("s3:GetObject on bucket"));
  EXPECT_THAT(message("DeleteObject"), HasSubstr("s3:DeleteObject on bucket"));
  EXPECT_THAT(message("ListObjectsV2"), HasSubstr("s3:ListBucket on bucket"));
}

TEST_F(StrictStoreTest, TheWrongRegionIsToldTheRightOne) {
  server().set("region", "eu-central-1");
  auto put = store_->put("o", as_bytes("x"));
  EXPECT_TRUE(is(put, Code::kDenied));
  EXPECT_THAT(put.error().message(), HasSubstr("--region eu-central-1"));
}

TEST_F(StrictStoreTest, SessionTokensAreSentAndSigned) {
  server().set("session_token", "a token");
  EXPECT_TRUE(is(store_->put("o", as_bytes("x")), Code::kDenied));
  auto settings = server().settings();
  server_.keys.set(settings.access_key, settings.secret_key, "a token");
  EXPECT_TRUE(store_->put("o", as_bytes("x")));
}

TEST_F(StrictStoreTest, AStoreWithoutConditionsIsUnsupported) {
  server().set("conditions", "501");
  EXPECT_TRUE(is(store_->put("o", as_bytes("x")), Code::kUnsupported));
}

TEST_F(StrictStoreTest, ListsComeInPagesAsSmallAsTheServerLikes) {
  for (int i = 0; i < 10; ++i) server().put_object(fmt::format("o{}", i), {});
  for (int page_keys : {1, 2, 3, 9, 10, 11}) {
    server().set("page_keys", page_keys);
    auto page = store_->list("", "", 1000);
    ASSERT_TRUE(page);
    EXPECT_EQ(page->objects.size(), static_cast<std::size_t>(std::min(page_keys, 10)));
    EXPECT_EQ(page->more, page_keys < 10);
  }
}

TEST_F(StrictStoreTest, StorageClassAndEncryptionReachTheObject) {
  server_.options.storage_class = "STANDARD_IA";
  server_.options.sse = "aws:kms";
  server_.options.sse_key_id = "key-1";
  auto store = server_.make();
  server().set("etag", "opaque");
  ASSERT_TRUE(store->put("o", as_bytes("x")));
  auto headers = server().object("o")->headers;
  EXPECT_EQ(headers["x-amz-storage-class"], "STANDARD_IA");
  EXPECT_EQ(headers["x-amz-server-side-encryption"], "aws:kms");
  EXPECT_EQ(headers["x-amz-server-side-encryption-aws-kms-key-id"], "key-1");
}

TEST_F(StrictStoreTest, AServerThatWentAndCameBackIsUsedAgain) {
  ASSERT_TRUE(store_->put("o", as_bytes("x")));
  server().stop();
  EXPECT_TRUE(is(store_->get("o", 10), Code::kTransient));
  server().start();
  EXPECT_EQ(as_chars(*store_->get("o", 10)), "x");
}

TEST(StrictTlsTest, CertificatesThatAreNotTheServersAreRefusedWithTheReason) {
  const std::pair<CertificateKind, const char*> cases[] = {
      {CertificateKind::kExpired, "expired"},
      {CertificateKind::kSelfSigned, "self-signed"},
      {CertificateKind::kWrongHost, "no alternative certificate subject name matches"},
      {CertificateKind::kOtherCa, "unknown authority"},
  };
  for (const auto& [kind, reason] : cases) {
    Server server(Form::kStrict);
    server.use(std::make_unique<StrictS3>(StrictS3::Options{.tls = kind}));
    auto put = server.make()->put("o", as_bytes("x"));
    EXPECT_TRUE(is(put, Code::kDenied)) << static_cast<int>(kind);
    EXPECT_THAT(put.error().message(), HasSubstr(reason));
    EXPECT_EQ(server.fake->counter("requests"), 0u);
  }
}

// ---- A CRC-32C in place of the SHA-256, over TLS -------------------------------------------------

struct TlsServer : Server {
  TlsServer() : Server(Form::kTls) {
    options.proof_name = "sha256-proof";
    options.crc32c_proof_name = "crc32c-proof";
  }
  std::uint64_t puts() { return fake->counter("PutObject"); }
};

TEST(StrictTlsTest, AStoreThatVerifiesACrc32cNeedsNoSha256) {
  TlsServer server;
  auto store = server.make();
  const std::vector<ByteView> parts = {as_bytes("12345"), as_bytes(""), as_bytes("6789")};
  ASSERT_TRUE(store->put("o", parts));
  ASSERT_TRUE(store->put("p", as_bytes("x")));
  EXPECT_EQ(store->put_check(), s3::PutCheck::crc32c);
  EXPECT_EQ(server.puts(), 3u);
  EXPECT_EQ(as_chars(*store->get("o", 9)), "123456789");
  EXPECT_TRUE(is(store->put("o", as_bytes("y")), Code::kExists));
  EXPECT_TRUE(is(store->head("crc32c-proof"), Code::kNotFound)) << "a wrong one was refused";
}

TEST(StrictTlsTest, ACrc32cIsFoundInAllTheWaysThatStoresHave) {
  for (const char* how : {"with_algorithm", "minio"}) {
    TlsServer server;
    server.fake->set("crc32c", how);
    auto store = server.make();
    ASSERT_TRUE(store->put("o", as_bytes("x"))) << how;
    EXPECT_EQ(store->put_check(), s3::PutCheck::crc32c) << how;
  }
}

TEST(StrictTlsTest, AStoreThatDoesNotVerifyACrc32cGetsASha256) {
  for (const char* how : {"ignored", "501"}) {
    TlsServer server;
    server.fake->set("crc32c", how);
    auto store = server.make();
    ASSERT_TRUE(store->put("o", as_bytes("x"))) << how;
    EXPECT_EQ(store->put_check(), s3::PutCheck::sha256) << how;
    EXPECT_EQ(server.puts(), 3u) << how;
    // The proof that is there says for ever that the store took it.
    auto again = server.make();
    ASSERT_TRUE(again->put("p", as_bytes("x"))) << how;
    EXPECT_EQ(again->put_check(), s3::PutCheck::sha256) << how;
  }
  TlsServer server;
  server.fake->set("crc32c", "500");
  auto store = server.make();
  for (const char* name : {"o", "p"}) ASSERT_TRUE(store->put(name, as_bytes("x")));
  EXPECT_EQ(store->put_check(), s3::PutCheck::sha256) << "in trouble twice";
}

TEST(StrictTlsTest, AStoreThatRefusesTheFirstRightCrc32cGetsASha256) {
  TlsServer server;
  server.fake->set("crc32c", "swapped");
  auto store = server.make();
  ASSERT_TRUE(store->put("o", as_bytes("abc")));
  EXPECT_EQ(store->put_check(), s3::PutCheck::sha256);
  EXPECT_EQ(as_chars(*store->get("o", 3)), "abc");
}

TEST(StrictTlsTest, OneThatHasTakenOneBeforeGetsASha256ForWhatItRefuses) {
  for (const char* how : {"swapped", "501"}) {
    TlsServer server;
    auto store = server.make();
    ASSERT_TRUE(store->put("o", as_bytes("abc")));
    server.fake->set("crc32c", how);
    ASSERT_TRUE(store->put("p", as_bytes("abc"))) << how;
    EXPECT_EQ(store->put_check(), s3::PutCheck::crc32c) << how << ": another front end";
  }
}

TEST(StrictTlsTest, TroubleOfAMomentDoesNotSettleIt) {
  TlsServer server;
  server.fake->set("crc32c", "500");
  auto store = server.make();
  ASSERT_TRUE(store->put("o", as_bytes("abc"))) << "with a SHA-256";
  server.fake->set("crc32c", "verified");
  ASSERT_TRUE(store->put("p", as_bytes("abc")));
  EXPECT_EQ(store->put_check(), s3::PutCheck::crc32c);
}

TEST(StrictTlsTest, WhoDoesNotRepeatACrc32cMayNotHaveLookedAtIt) {
  TlsServer server;
  server.fake->set("crc32c", "silent");
  auto store = server.make();
  ASSERT_TRUE(store->put("o", as_bytes("abc"))) << "its ETag is its MD5";
  EXPECT_EQ(server.puts(), 2u);
  ASSERT_TRUE(store->put("p", as_bytes("abc")));
  EXPECT_EQ(store->put_check(), s3::PutCheck::sha256);
  // One of several front ends.
  TlsServer cluster;
  auto other = cluster.make();
  ASSERT_TRUE(other->put("o", as_bytes("abc")));
  cluster.fake->set("crc32c", "ignored");
  cluster.fake->set("etag", "opaque");
  ASSERT_TRUE(other->put("p", as_bytes("abc")));
  EXPECT_EQ(cluster.fake->counter("GetObject"), 1u) << "read back";
  EXPECT_EQ(other->put_check(), s3::PutCheck::crc32c);
}

TEST(StrictTlsTest, RefusalsThatAreNotAboutTheChecksumAreThoseOfTheFirstPut) {
  TlsServer server;
  auto store = server.make();
  ASSERT_TRUE(server.make()->put("o", as_bytes("abc")));
  EXPECT_TRUE(is(store->put("o", as_bytes("abc")), Code::kExists));
  EXPECT_EQ(store->put_check(), s3::PutCheck::crc32c);
  server.fake->set("max_object", 100.0);
  EXPECT_TRUE(is(store->put("p", Bytes(200)), Code::kUnsupported));
  server.fake->set("forbid", "PutObject");
  EXPECT_TRUE(is(store->put("q", as_bytes("abc")), Code::kDenied));
  EXPECT_EQ(store->put_check(), s3::PutCheck::crc32c);
}

TEST(StrictTlsTest, ManyFirstPutsAtOnceAllFindTheirWay) {
  for (const char* how : {"verified", "swapped", "silent", "ignored"}) {
    TlsServer server;
    server.fake->set("crc32c", how);
    server.fake->set("conflict", 1.0);
    auto store = server.make();
    std::vector<std::thread> threads;
    std::atomic<int> stored = 0;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&, i] {
        for (int k = 0; k < 4; ++k) {
          Result<> done;
          do done = store->put(fmt::format("{}-{}", i, k), as_bytes("abc"));
          while (is(done, Code::kTransient));  // proofs that meet
          stored += done ? 1 : 0;
        }
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(stored, 32) << how;
    ASSERT_TRUE(store->put("last", as_bytes("abc")));
    EXPECT_EQ(store->put_check(), std::string_view(how) == "verified" ? s3::PutCheck::crc32c : s3::PutCheck::sha256) << how;
  }
}

TEST(StrictTlsTest, OfAStoreThatVerifiesNeitherTheETagIsTheProof) {
  TlsServer server;
  server.fake->set("checksums", "ignored");
  auto store = server.make();
  ASSERT_TRUE(store->put("o", as_bytes("abc")));
  EXPECT_EQ(store->put_check(), s3::PutCheck::nothing);
}

TEST(StrictTlsTest, AStoreThatIsAwayProvesNothing) {
  TlsServer server;
  server.fake->set("error_500", 1.0);
  auto store = server.make();
  EXPECT_TRUE(is(store->put("o", as_bytes("abc")), Code::kTransient));
  EXPECT_EQ(store->put_check(), s3::PutCheck::unknown);
  server.fake->set("error_500", 0.0);
  ASSERT_TRUE(store->put("o", as_bytes("abc")));
  EXPECT_EQ(store->put_check(), s3::PutCheck::crc32c);
}

}  // namespace
}  // namespace s3crate::test
