// SPDX-License-Identifier: GPL-3.0-or-later
// strict_s3 [NAME=VALUE]...: the strict server for shell tests and benchmarks. Prints what a client
// needs as shell assignments and serves until SIGTERM or SIGINT, or until it had nothing to do for
// idle_s (60), or until total_s (3600) are over. SIGUSR1 stops it, with its port and objects kept:
// connections are refused until SIGUSR2. Names are those of settings.h and seed, address
// (127.0.0.1), port, tls (good, expired, self_signed, wrong_host, other_ca), ca_file (where the CA
// goes), idle_s, total_s.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "tests/s3/strict_s3.h"

namespace {

using s3crate::test::strict::StrictS3;

int usage(const std::string& wrong) {
  fmt::print(stderr, "strict_s3: {}\nusage: strict_s3 [NAME=VALUE]...\n", wrong);
  for (const char* name : {"seed", "address", "port", "tls", "ca_file", "idle_s", "total_s"})
    fmt::print(stderr, "  {}\n", name);
  for (const auto& info : s3crate::test::strict::all_settings())
    fmt::print(stderr, "  {:16} {}\n", info.name, info.help);
  return 2;
}

void serve(StrictS3& server, const sigset_t& signals, long idle_s, long total_s) {
  std::uint64_t last = 0;
  long idle = 0;
  bool stopped = false;
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(total_s);
  while (std::chrono::steady_clock::now() < end && idle < idle_s) {
    timespec one{1, 0};
    int signal = sigtimedwait(&signals, nullptr, &one);
    if (signal == SIGTERM || signal == SIGINT) return;
    if (signal == SIGUSR1) server.stop();
    if (signal == SIGUSR2 && stopped) server.start();
    if (signal > 0) stopped = signal == SIGUSR1;
    if (signal > 0 || stopped) continue;
    std::uint64_t requests = server.counter("requests") + server.counter("connections");
    idle = requests == last ? idle + 1 : 0;
    last = requests;
  }
}

bool write_file(const std::string& path, const std::string& text) {
  FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return false;
  bool done = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  return std::fclose(file) == 0 && done;
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> own = {
      {"seed", "1"},   {"address", "127.0.0.1"}, {"port", "0"},      {"tls", ""},
      {"ca_file", ""}, {"idle_s", "60"},         {"total_s", "3600"}};
  s3crate::test::strict::Settings checked;
  std::map<std::string, std::string> settings;
  for (int i = 1; i < argc; ++i) {
    std::string arg = argv[i];
    auto equals = arg.find('=');
    if (equals == std::string::npos) return usage(arg);
    std::string name = arg.substr(0, equals), value = arg.substr(equals + 1);
    if (own.contains(name)) {
      own[name] = value;
      continue;
    }
    std::string wrong = apply(checked, name, value);
    if (!wrong.empty()) return usage(wrong);
    settings[name] = value;
  }
  StrictS3::Options options;
  options.seed = std::strtoull(own["seed"].c_str(), nullptr, 10);
  options.address = own["address"];
  in_addr parsed{};
  if (inet_pton(AF_INET, options.address.c_str(), &parsed) != 1)
    return usage("address=" + options.address);
  options.port = static_cast<std::uint16_t>(std::strtoul(own["port"].c_str(), nullptr, 10));
  options.tls = s3crate::test::strict::certificate_kind(own["tls"]);
  if (!own["tls"].empty() && !options.tls) return usage("tls=" + own["tls"]);

  // Blocked before the server's threads exist, so that they inherit it.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGUSR1);
  sigaddset(&signals, SIGUSR2);
  sigprocmask(SIG_BLOCK, &signals, nullptr);

  StrictS3 server(options);
  for (const auto& [name, value] : settings) server.set(name, value);
  if (!own["ca_file"].empty() && !write_file(own["ca_file"], server.ca())) {
    std::perror(own["ca_file"].c_str());
    return 1;
  }
  auto now = server.settings();
  fmt::print(
      "AWS_ENDPOINT_URL={}\nAWS_REGION={}\nAWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n"
      "S3_BUCKET={}\nSTRICT_S3_SEED={}\nSTRICT_S3_PID={}\n",
      server.endpoint(), now.region, now.access_key, now.secret_key, now.bucket, options.seed,
      getpid());
  std::fflush(stdout);
  serve(server, signals, std::strtol(own["idle_s"].c_str(), nullptr, 10),
        std::strtol(own["total_s"].c_str(), nullptr, 10));
  return 0;
}
