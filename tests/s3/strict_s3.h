// SPDX-License-Identifier: GPL-3.0-or-later
// StrictS3: an S3 on a free port, of 127.0.0.1 unless told otherwise, that is stricter than S3,
// keeps its objects in memory and fails on demand. It judges every request by itself (verify.h,
// route.h), serves it (service.h) and does to it what a seeded draw, or a rule given by inject(),
// says.
//
//   StrictS3 s3({.seed = seed});
//   s3.set("slow_down", 0.2);
//   ... s3.endpoint() ... s3.settings().access_key ...
//   EXPECT_EQ(s3.counter("PutObject"), 1u);
//
// One thread a connection (libmicrohttpd), so that waiting is simple and exact. What it does with
// faults depends on the seed and on the order in which requests arrive.
//
// The control address GET /~control?NAME=VALUE&... sets what StrictS3::set does and answers with
// all counters, a line each; inject=FAULT,OPERATION,KEY-PREFIX,TIMES adds a rule.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/s3/certificates.h"
#include "tests/s3/message.h"
#include "tests/s3/service.h"
#include "tests/s3/settings.h"

struct MHD_Connection;
struct MHD_Daemon;

namespace s3crate::test::strict {

// The next `times` requests of that operation for such keys (empty: any) meet this fault.
struct Rule {
  Fault fault = Fault::kNone;
  std::string operation = {};
  std::string key_prefix = {};
  std::uint64_t times = 1;
};

class StrictS3 {
 public:
  struct Options {
    std::uint64_t seed = 1;
    std::optional<CertificateKind> tls = {};  // plain http if none
    std::string address = "127.0.0.1";
    std::uint16_t port = 0;  // 0: a free one
  };

  StrictS3() : StrictS3(Options()) {}
  explicit StrictS3(Options options);  // started; a CHECK fails if that cannot be
  ~StrictS3();
  StrictS3(const StrictS3&) = delete;
  StrictS3& operator=(const StrictS3&) = delete;

  // Refuses connections, keeps the objects; start() takes the same port again.
  void stop();
  void start();

  [[nodiscard]] std::string endpoint() const;                              // http://ADDRESS:PORT
  [[nodiscard]] std::string virtual_host_endpoint() const;                 // http://localhost:PORT
  [[nodiscard]] const std::string& ca() const { return certificate_.ca; }  // PEM, if TLS
  [[nodiscard]] Settings settings() const { return *current(); }

  // By the names of settings.h; a CHECK fails if there is no such name or value.
  void set(const std::string& name, const std::string& value);
  void set(const std::string& name, double value);
  void inject(Rule rule);

  // Requests by operation ("PutObject"), by error code ("error.SlowDown"), by fault
  // ("fault.lost_reply"); "connections", "requests", "bytes.in", "bytes.out".
  [[nodiscard]] std::map<std::string, std::uint64_t> counters() const;
  [[nodiscard]] std::uint64_t counter(const std::string& name) const;

  // Past the doorkeeper: for tests that look at, damage or lose what is stored.
  [[nodiscard]] std::vector<std::string> keys();
  [[nodiscard]] ObjectPtr object(const std::string& key);
  void put_object(const std::string& key, ByteView content);
  void remove_object(const std::string& key);

 private:
  friend struct HttpCallbacks;
  struct Pending;  // a request that arrives

  void begin(Pending& pending, MHD_Connection* connection);
  bool answer_early(Pending& pending, MHD_Connection* connection);
  static void receive(Pending& pending, ByteView piece);
  bool finish(Pending& pending, MHD_Connection* connection);
  bool send(const Pending& pending, MHD_Connection* connection, Response response, Fault fault);
  bool wait_for_client(int socket);
  static void reset(int socket);

  Response control(const std::string& query);
  std::string control_inject(const std::string& text);
  Fault draw(const Route& route, const Settings& settings);
  void count(const std::string& name, std::uint64_t by = 1);
  [[nodiscard]] std::shared_ptr<const Settings> current() const;
  [[nodiscard]] std::time_t now() const;
  std::string try_set(std::string_view name, std::string_view value);

  const Options options_;
  const Certificate certificate_;
  std::uint16_t port_ = 0;
  int stop_event_ = -1;  // readable while stopping: ends all waits
  MHD_Daemon* daemon_ = nullptr;
  Service service_;

  mutable std::mutex mu_;  // guards all below
  std::condition_variable stopping_changed_;
  bool stopping_ = false;
  std::shared_ptr<const Settings> settings_ = std::make_shared<Settings>();
  std::map<std::string, std::uint64_t> counters_;
  std::list<Rule> rules_;
  std::mt19937_64 random_;
  std::uint64_t next_id_ = 1;
};

}  // namespace s3crate::test::strict
