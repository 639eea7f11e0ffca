// SPDX-License-Identifier: GPL-3.0-or-later
// What a request meets on its way: arrival, draw of a fault, service, answer. HTTP itself is in
// strict_s3_http.cc.
#include "tests/s3/strict_s3.h"

#include <fmt/format.h>

#include <charconv>

#include "base/check.h"
#include "tests/s3/text.h"
#include "tests/s3/verify.h"

namespace s3crate::test::strict {

std::shared_ptr<const Settings> StrictS3::current() const {
  std::lock_guard lock(mu_);
  return settings_;
}

std::time_t StrictS3::now() const {
  return std::time(nullptr) + static_cast<std::time_t>(current()->clock_offset_s);
}

std::string StrictS3::try_set(std::string_view name, std::string_view value) {
  std::lock_guard lock(mu_);
  auto changed = std::make_shared<Settings>(*settings_);
  std::string wrong = apply(*changed, name, value);
  if (!wrong.empty()) return wrong;
  settings_ = changed;
  service_.objects().set_keep(std::chrono::milliseconds(changed->stale_ms));
  return "";
}

void StrictS3::set(const std::string& name, const std::string& value) {
  std::string wrong = try_set(name, value);
  if (!wrong.empty()) fmt::print(stderr, "StrictS3: {}\n", wrong);
  CHECK(wrong.empty());
}

void StrictS3::set(const std::string& name, double value) { set(name, fmt::format("{}", value)); }

void StrictS3::inject(Rule rule) {
  std::lock_guard lock(mu_);
  rules_.push_back(std::move(rule));
}

void StrictS3::count(const std::string& name, std::uint64_t by) {
  std::lock_guard lock(mu_);
  counters_[name] += by;
}

std::map<std::string, std::uint64_t> StrictS3::counters() const {
  std::lock_guard lock(mu_);
  return counters_;
}

std::uint64_t StrictS3::counter(const std::string& name) const {
  std::lock_guard lock(mu_);
  auto found = counters_.find(name);
  return found == counters_.end() ? 0 : found->second;
}

// Rules come first, in the order in which they were given; then one draw for all rates together.
Fault StrictS3::draw(const Route& route, const Settings& settings) {
  std::lock_guard lock(mu_);
  double drawn = std::uniform_real_distribution<double>(0, 1)(random_);
  for (auto rule = rules_.begin(); rule != rules_.end(); ++rule) {
    if (!rule->operation.empty() && rule->operation != route.operation) continue;
    if (!route.key.starts_with(rule->key_prefix)) continue;
    Fault fault = rule->fault;
    if (--rule->times == 0) rules_.erase(rule);
    return fault;
  }
  for (std::size_t i = 1; i < kFaults; ++i) {
    if (drawn < settings.rates[i]) return Fault(i);
    drawn -= settings.rates[i];
  }
  return Fault::kNone;
}

std::string StrictS3::control_inject(const std::string& text) {
  auto parts = split(text, ',');
  Rule rule;
  if (parts.size() != 4) return "inject is FAULT,OPERATION,KEY-PREFIX,TIMES";
  auto fault = fault_named(parts[0]);
  auto [end, error] =
      std::from_chars(parts[3].data(), parts[3].data() + parts[3].size(), rule.times);
  if (!fault || error != std::errc() || *end != '\0' || rule.times == 0)
    return fmt::format("inject: {} is no fault and number", text);
  inject({*fault, parts[1], parts[2], rule.times});
  return "";
}

Response StrictS3::control(const std::string& query) {
  Response out;
  out.headers["Content-Type"] = "text/plain";
  for (const std::string& part : split(query, '&')) {
    if (part.empty()) continue;
    auto equals = part.find('=');
    auto name = url_decode(part.substr(0, equals));
    auto value = url_decode(equals == std::string::npos ? "" : part.substr(equals + 1));
    std::string wrong = !name || !value     ? "bad encoding"
                        : *name == "inject" ? control_inject(*value)
                                            : try_set(*name, *value);
    if (wrong.empty()) continue;
    out.status = 400;
    out.text = wrong + "\n";
    return out;
  }
  for (const auto& [name, value] : counters()) out.text += fmt::format("{}={}\n", name, value);
  return out;
}

std::vector<std::string> StrictS3::keys() {
  std::vector<std::string> out;
  auto now = std::chrono::steady_clock::now();
  for (auto& [key, object] : service_.objects().list("", "", ~std::size_t{0}, now))
    out.push_back(key);
  return out;
}

ObjectPtr StrictS3::object(const std::string& key) {
  return service_.objects().get(key, std::chrono::steady_clock::now());
}

void StrictS3::put_object(const std::string& key, ByteView content) {
  auto blob = std::make_shared<Blob>(content.size());
  std::copy(content.begin(), content.end(), blob->data.get());
  Digest md5(Digest::Kind::kMd5);
  md5.update(content);
  auto object = std::make_shared<Object>(Object{blob, to_hex(md5.finish()), now(), {}});
  CHECK(service_.objects().put(key, object, false, false, 0) == ObjectTable::Put::kDone);
}

void StrictS3::remove_object(const std::string& key) { service_.objects().remove(key); }

}  // namespace s3crate::test::strict
