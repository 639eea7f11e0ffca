// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/config_file.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "cli/files.h"
#include "cli/nearest.h"

namespace s3crate::cli {
namespace {

constexpr std::size_t kConfigMax = 1 << 20;

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

tl::unexpected<Error> unknown_key(const std::string& where, std::string_view name) {
  std::vector<std::string_view> names;
  for (const OptionSpec& option : options()) {
    if (option.persistent) names.push_back(option.name);
  }
  return fail(Code::kBadArgument, "{}: \"{}\" cannot be set in this file{}", where, name, did_you_mean(name, names));
}

}  // namespace

std::vector<std::string> config_file_paths() {
  std::vector<std::string> paths;
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (config != nullptr && config[0] == '/') paths.push_back(fmt::format("{}/s3crate-blk.conf", config));
  else if (home != nullptr && home[0] == '/') paths.push_back(fmt::format("{}/.config/s3crate-blk.conf", home));
  paths.emplace_back("/etc/s3crate-blk.conf");
  return paths;
}

Result<> read_config_file(const std::string& path, Arguments& arguments) {
  auto content = read_small_file(path, kConfigMax);
  if (is(content, Code::kNotFound)) return {};
  if (!content) return fail(std::move(content.error()));
  Arguments from_file = arguments;  // so that two lines of this file do not fight over precedence
  std::vector<std::string_view> seen;
  int number = 0;
  for (std::string_view rest = *content; !rest.empty();) {
    const auto end = std::min(rest.find('\n'), rest.size());
    const auto line = trim(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const auto where = fmt::format("{}:{}", path, ++number);
    if (line.empty() || line[0] == '#') continue;
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) return fail(Code::kBadArgument, "{}: a line has the form name = value", where);
    const auto name = trim(line.substr(0, equals));
    const auto value = trim(line.substr(equals + 1));
    const OptionSpec* option = find_option(name);
    if (option == nullptr || !option->persistent) return unknown_key(where, name);
    if (std::find(seen.begin(), seen.end(), option->name) != seen.end()) {
      return fail(Code::kBadArgument, "{}: {} is set twice", where, name);
    }
    seen.push_back(option->name);
    Arguments scratch(arguments.command(), {});
    const bool wanted = (option->commands & bit(arguments.command())) != 0 && !arguments.has(option->name);
    TRY((wanted ? from_file : scratch).set(*option, value, Source::kConfigFile, where));
  }
  arguments = std::move(from_file);
  return {};
}

}  // namespace s3crate::cli
