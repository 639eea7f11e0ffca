// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/arguments.h"

#include "base/check.h"
#include "base/time_text.h"
#include "cli/nearest.h"
#include "cli/parse.h"

namespace s3crate::cli {
namespace {

constexpr std::size_t kTextMax = 4096;

Result<> check_bounds(const OptionSpec& option, std::uint64_t value, std::string (*show)(std::uint64_t)) {
  if (value >= option.min && value <= option.max) return {};
  return fail(Code::kBadArgument, "{} is not between {} and {}", show(value), show(option.min), show(option.max));
}

Result<> check_choice(std::string_view choices, std::string_view text) {
  std::vector<std::string_view> words;
  for (std::string_view rest = choices; !rest.empty();) {
    const auto bar = std::min(rest.find('|'), rest.size());
    words.push_back(rest.substr(0, bar));
    if (words.back() == text) return {};
    rest.remove_prefix(std::min(bar + 1, rest.size()));
  }
  return fail(Code::kBadArgument, "\"{}\" is not {}", text, one_of(words));
}

std::string show_ms(std::uint64_t ms) { return format_duration(std::chrono::milliseconds(ms)); }
std::string show_count(std::uint64_t n) { return fmt::format("{}", n); }

Result<> check(const OptionSpec& option, std::string_view text) {
  switch (option.type) {
    case OptionType::kFlag: TRY(parse_flag(text)); return {};
    case OptionType::kSize: return check_bounds(option, TRY(parse_size(text)), short_size);
    case OptionType::kCount: return check_bounds(option, TRY(parse_count(text)), show_count);
    case OptionType::kPercent: TRY(parse_percent(text)); return {};
    case OptionType::kTime:
      return check_bounds(option, static_cast<std::uint64_t>(TRY(parse_duration(text)).count() / 1'000'000), show_ms);
    case OptionType::kChoice: return check_choice(option.value, text);
    case OptionType::kText:
    case OptionType::kTexts:
    case OptionType::kWords:
      if (text.empty()) return fail(Code::kBadArgument, "a value is missing");
      if (text.size() > kTextMax || text.find_first_of(std::string_view("\0\n", 2)) != std::string_view::npos) {
        return fail(Code::kBadArgument, "the value is too long or has a line break");
      }
      return {};
  }
  return {};
}

}  // namespace

Result<> Arguments::set(const OptionSpec& option, std::string_view text, Source source, std::string_view where) {
  if (auto good = check(option, text); !good) return fail(good.error().within(where));
  const auto found = values_.find(option.name);
  if (found != values_.end() && found->second.source > source) return {};
  // None of them has a line break.
  if (option.type == OptionType::kTexts && found != values_.end() && found->second.source == source) found->second.text.append("\n").append(text);
  else values_.insert_or_assign(std::string(option.name), Value{std::string(text), source});
  return {};
}

Arguments Arguments::as(Command command, std::vector<std::string> positionals) const {
  Arguments other(command, std::move(positionals));
  for (const auto& [name, value] : values_) {
    if ((find_option(name)->commands & bit(command)) != 0) other.values_.emplace(name, value);
  }
  return other;
}

bool Arguments::has(std::string_view option) const {
  CHECK(find_option(option) != nullptr);
  return values_.contains(option);
}

bool Arguments::typed(std::string_view option) const {
  CHECK(find_option(option) != nullptr);
  const auto found = values_.find(option);
  return found != values_.end() && found->second.source == Source::kCommandLine;
}

const OptionSpec& Arguments::spec(std::string_view option) const {
  const OptionSpec* found = find_option(option);
  CHECK(found != nullptr && (found->commands & bit(command_)) != 0);
  return *found;
}

std::string Arguments::value(std::string_view option, OptionType type) const {
  const OptionSpec& found = spec(option);
  CHECK(found.type == type);
  const auto given = values_.find(option);
  CHECK(given != values_.end() || !found.fallback.empty());
  return given != values_.end() ? given->second.text : std::string(found.fallback);
}

bool Arguments::flag(std::string_view option) const {
  if (spec(option).fallback.empty() && !has(option)) return false;
  return *parse_flag(value(option, OptionType::kFlag));
}

std::string Arguments::text(std::string_view option) const {
  return value(option, spec(option).type == OptionType::kChoice ? OptionType::kChoice : OptionType::kText);
}

std::vector<std::string> Arguments::texts(std::string_view option) const {
  std::vector<std::string> out;
  if (!has(option)) return out;
  const std::string all = value(option, OptionType::kTexts);
  for (std::size_t begin = 0; begin <= all.size();) {
    const auto end = std::min(all.find('\n', begin), all.size());
    out.push_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

std::uint64_t Arguments::size(std::string_view option) const { return *parse_size(value(option, OptionType::kSize)); }
std::uint64_t Arguments::count(std::string_view option) const { return *parse_count(value(option, OptionType::kCount)); }
std::uint64_t Arguments::percent(std::string_view option) const { return *parse_percent(value(option, OptionType::kPercent)); }
Duration Arguments::time(std::string_view option) const { return *parse_duration(value(option, OptionType::kTime)); }

}  // namespace s3crate::cli
