// SPDX-License-Identifier: GPL-3.0-or-later
// What a mount tells about itself: statistics as text for people, as JSON and as OpenMetrics, and what it guarantees.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/mutex.h"
#include "cli/stack.h"
#include "device/disk.h"

namespace s3crate::cli {

// What does not change while mounted.
struct MountFacts {
  std::string url;
  std::string mountpoint;
  std::string disk_path;
  std::string state_dir;
  Duration upload_delay{};
  bool store_durability = false;
};

// "fsync survives a crash of this machine; ..."
[[nodiscard]] std::string guarantee(const device::Stats& stats, const MountFacts& facts);
[[nodiscard]] std::string losetup_line(const device::Stats& stats, const MountFacts& facts);

class Reporter {
 public:
  Reporter(Env env, device::Disk& disk, const Stack& stack, MountFacts facts);

  // Thread-safe.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] nlohmann::json json() const;
  [[nodiscard]] std::string metrics() const;
  // To be called every now and then: current rates are those since the last two calls that were some seconds apart.
  void sample();

  [[nodiscard]] const MountFacts& facts() const { return facts_; }

 private:
  struct Sample {
    MonotonicTime at{};
    std::uint64_t read_bytes = 0, written_bytes = 0;
  };
  struct Rates {
    std::uint64_t read_now = 0, read_mean = 0, write_now = 0, write_mean = 0;  // bytes a second
  };
  [[nodiscard]] Rates rates(const device::Stats& stats) const;

  Env env_;
  device::Disk& disk_;
  const Stack& stack_;
  const MountFacts facts_;
  mutable Mutex mu_;
  Sample older_ GUARDED_BY(mu_), newer_ GUARDED_BY(mu_);
};

}  // namespace s3crate::cli
