// SPDX-License-Identifier: GPL-3.0-or-later
// Figures beside their limits: one table, or JSON.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace s3crate::bench {

class Figures {
 public:
  // `limit`: more than that is a miss.
  void add(const std::string& group, const std::string& name, double value, const std::string& unit,
           std::optional<double> limit = {}) {
    all_.push_back({group, name, value, unit, limit});
  }
  [[nodiscard]] bool any_missed() const {
    for (const Figure& figure : all_)
      if (figure.missed()) return true;
    return false;
  }
  void print_table() const {
    std::string group;
    fmt::print("{:<58} {:>12} {:<10} {:>10}\n", "", "figure", "", "at most");
    for (const Figure& f : all_) {
      if (f.group != group) fmt::print("\n{}\n", group = f.group);
      fmt::print("  {:<56} {:>12} {:<10} {:>10}{}\n", f.name, number(f.value), f.unit,
                 f.limit ? number(*f.limit) : "", f.missed() ? "  MISSED" : "");
    }
  }
  void print_json() const {
    auto out = nlohmann::json::array();
    for (const Figure& f : all_) {
      nlohmann::json line{
          {"group", f.group}, {"name", f.name}, {"value", f.value}, {"unit", f.unit}};
      if (f.limit) line["limit"] = *f.limit;
      line["missed"] = f.missed();
      out.push_back(line);
    }
    fmt::print("{}\n", out.dump(1));
  }

 private:
  struct Figure {
    std::string group, name;
    double value = 0;
    std::string unit;
    std::optional<double> limit;
    [[nodiscard]] bool missed() const { return limit && value > *limit; }
  };
  static std::string number(double value) {
    const bool whole = value == static_cast<double>(static_cast<std::int64_t>(value));
    return fmt::format("{:.{}f}", value, whole ? 0 : value < 10 ? 3 : 1);
  }
  std::vector<Figure> all_;
};

}  // namespace s3crate::bench
