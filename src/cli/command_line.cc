// SPDX-License-Identifier: GPL-3.0-or-later
// CLI11 splits the words of one command into options and the rest; what a value may be is decided by Arguments.
#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/config_file.h"
#include "cli/nearest.h"
#include "config.h"

namespace s3crate::cli {
namespace {

std::string dashed(std::string_view name) { return fmt::format("--{}", name); }

std::string help_of(const OptionSpec& option) {
  const auto fallback = option.shown.empty() ? option.fallback : option.shown;
  return fallback.empty() ? std::string(option.help) : fmt::format("{} (default: {})", option.help, fallback);
}

struct Grammar {
  // The name is for the usage line, which CLI11 prints without the arguments: positionals are not its business.
  Grammar(const CommandSpec& command)
      : app(std::string(command.help), fmt::format("s3crate-blk {} {}", command.name, command.arguments)) {
    app.set_help_flag("-h,--help", "Show this");
    app.get_formatter()->column_width(34);
    app.allow_extras();
    app.footer(fmt::format("Example:\n  s3crate-blk {}", command.example));
    for (const OptionSpec& option : options()) {
      if ((option.commands & bit(command.command)) == 0) continue;
      const auto names = option.letter == 0 ? dashed(option.name) : fmt::format("-{},{}", option.letter, dashed(option.name));
      if (option.type == OptionType::kFlag) {
        app.add_flag(names)->disable_flag_override()->description(help_of(option));
        continue;
      }
      auto take = [&all = values[std::string(option.name)]](const CLI::results_t& given) {
        all = given;
        return true;
      };
      app.add_option(names, CLI::callback_t(take), help_of(option))
          ->type_name(std::string(option.value))
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
          ->allow_extra_args(false);
    }
  }
  CLI::App app;
  std::map<std::string, std::vector<std::string>> values;
};

const CommandSpec* find_command(const std::vector<std::string>& words, std::size_t& used) {
  for (const CommandSpec& command : commands()) {
    const auto space = command.name.find(' ');
    used = space == std::string_view::npos ? 1 : 2;
    if (words.size() < used || words[0] != command.name.substr(0, space)) continue;
    if (used == 2 && words[1] != command.name.substr(space + 1)) continue;
    return &command;
  }
  return nullptr;
}

tl::unexpected<Error> unknown_command(const std::vector<std::string>& words) {
  std::vector<std::string_view> names = {"help", "version"};
  std::vector<std::string_view> group;
  for (const CommandSpec& command : commands()) {
    const auto space = command.name.find(' ');
    names.push_back(command.name.substr(0, space));
    if (space != std::string_view::npos && command.name.substr(0, space) == words[0]) {
      group.push_back(command.name.substr(space + 1));
    }
  }
  if (!group.empty()) return fail(Code::kBadArgument, "{} what? {} (see s3crate-blk --help)", words[0], one_of(group));
  const char* kind = words[0].starts_with("-") ? "option" : "command";
  return fail(Code::kBadArgument, "there is no {} \"{}\"{} (see s3crate-blk --help)", kind, words[0], did_you_mean(words[0], names));
}

tl::unexpected<Error> unknown_option(const CommandSpec& command, const std::string& word) {
  std::vector<std::string> names = {"--help"};
  for (const OptionSpec& option : options()) {
    if ((option.commands & bit(command.command)) != 0) names.push_back(dashed(option.name));
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  const auto name = word.substr(0, word.find('='));
  return fail(Code::kBadArgument, "{} has no option \"{}\"{} (see s3crate-blk {} --help)", command.name, name,
              did_you_mean(name, views), command.name);
}

// What fstab lines may hold without meaning anything to us.
bool is_fstab_word(std::string_view word) {
  static constexpr std::array<std::string_view, 15> kWords = {"rw", "auto", "noauto", "nofail", "_netdev", "defaults", "user",
                                                              "nouser", "users", "suid", "nosuid", "dev", "nodev", "exec", "noexec"};
  return word.starts_with("x-") || std::find(kWords.begin(), kWords.end(), word) != kWords.end();
}

// "name=value,flag": a comma in a value is written "\,".
Result<> set_mount_options(Arguments& arguments, std::string_view list) {
  while (!list.empty()) {
    std::string word;
    while (!list.empty() && list[0] != ',') {
      if (list.starts_with("\\,") || list.starts_with("\\\\")) list.remove_prefix(1);
      word += list[0];
      list.remove_prefix(1);
    }
    list.remove_prefix(std::min<std::size_t>(1, list.size()));
    if (word.empty() || is_fstab_word(word)) continue;
    if (word == "ro") word = "read-only";
    auto equals = std::min(word.find('='), word.size());
    std::string name = word.substr(0, equals);
    std::replace(name.begin(), name.end(), '_', '-');  // allow_other, as all FUSE filesystems have it
    const OptionSpec* option = find_option(name);
    if (option == nullptr || (option->commands & bit(Command::kMount)) == 0 || option->type == OptionType::kWords ||
        option->letter == 'f') {
      std::vector<std::string_view> names;
      for (const OptionSpec& o : options()) {
        if ((o.commands & bit(Command::kMount)) != 0) names.push_back(o.name);
      }
      return fail(Code::kBadArgument, "mount has no option \"{}\" behind -o{}", word, did_you_mean(name, names));
    }
    const bool has_value = equals < word.size();
    if (!has_value && option->type != OptionType::kFlag) return fail(Code::kBadArgument, "-o {}: write {}={}", word, word, option->value);
    TRY(arguments.set(*option, has_value ? word.substr(equals + 1) : "yes", Source::kCommandLine, "-o " + name));
  }
  return {};
}

// --read-data alone takes no value, least of all the word behind it.
void complete_percentages(std::vector<std::string>& words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  for (auto word = words.begin(); word != end; ++word) {
    const OptionSpec* option = word->starts_with("--") ? find_option(word->substr(2)) : nullptr;
    if (option != nullptr && option->type == OptionType::kPercent) *word += "=100";
  }
}

Result<Arguments> split(const CommandSpec& command, std::vector<std::string> words) {
  complete_percentages(words);
  Grammar grammar(command);
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    grammar.app.parse(std::move(words));
  } catch (const CLI::ParseError& e) {
    return fail(Code::kBadArgument, "{} (see s3crate-blk {} --help)", e.what(), command.name);
  }
  std::vector<std::string> positionals;
  bool only_positionals = false;
  for (auto& word : grammar.app.remaining()) {
    if (word == "--" && !only_positionals) only_positionals = true;
    else if (!only_positionals && word.size() > 1 && word[0] == '-') return unknown_option(command, word);
    else positionals.push_back(std::move(word));
  }
  if (positionals.size() < command.arguments_min || positionals.size() > command.arguments_max) {
    const char* few = positionals.size() < command.arguments_min ? "something is missing" : "that is too much";
    return fail(Code::kBadArgument, "{}: the form is s3crate-blk {} {} [OPTIONS]", few, command.name, command.arguments);
  }
  Arguments arguments(command.command, std::move(positionals));
  for (const OptionSpec& option : options()) {
    if ((option.commands & bit(command.command)) == 0) continue;
    if (option.type == OptionType::kFlag) {
      if (grammar.app.count(dashed(option.name)) > 0) TRY(arguments.set(option, "yes", Source::kCommandLine, dashed(option.name)));
      continue;
    }
    const auto& given = grammar.values[std::string(option.name)];
    if (given.size() > 1 && option.type != OptionType::kWords && option.type != OptionType::kTexts) {
      return fail(Code::kBadArgument, "{} is given more than once", dashed(option.name));
    }
    for (const auto& value : given) {
      if (option.type == OptionType::kWords) TRY(set_mount_options(arguments, value));
      else TRY(arguments.set(option, value, Source::kCommandLine, dashed(option.name)));
    }
  }
  return arguments;
}

bool is_help(const std::string& word) { return word == "--help" || word == "-h"; }

}  // namespace

Result<Parsed> parse_command_line(const std::vector<std::string>& words, const std::vector<std::string>& config_files) {
  if (words.empty()) return fail(Code::kBadArgument, "a command is missing\n\n{}", help());
  if (words[0] == "--version" || words[0] == "version") return Parsed{std::nullopt, PACKAGE_STRING "\n"};
  if (is_help(words[0]) || (words[0] == "help" && words.size() == 1)) return Parsed{std::nullopt, help()};
  const bool help_word = words[0] == "help";
  const std::vector<std::string> rest(words.begin() + (help_word ? 1 : 0), words.end());
  std::size_t used = 0;
  const CommandSpec* command = find_command(rest, used);
  if (command == nullptr) return unknown_command(rest);
  if (help_word || std::any_of(rest.begin(), std::find(rest.begin(), rest.end(), "--"), is_help)) {
    return Parsed{std::nullopt, help(command->command)};
  }
  auto arguments = TRY(split(*command, {rest.begin() + static_cast<std::ptrdiff_t>(used), rest.end()}));
  for (const auto& file : config_files) TRY(read_config_file(file, arguments));
  return Parsed{std::move(arguments), ""};
}

Result<std::optional<std::vector<std::string>>> mount_helper_words(const std::vector<std::string>& words) {
  std::vector<std::string> out = {"mount"};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto& word = words[i];
    if (word.size() < 2 || word[0] != '-') {
      out.push_back(word);
      continue;
    }
    for (const char letter : word.substr(1)) {
      if (letter == 'f') return std::nullopt;
      if (letter == 's' || letter == 'n' || letter == 'v') continue;
      if (std::string_view("oNt").find(letter) == std::string_view::npos || word.size() > 2 || i + 1 == words.size()) {
        return fail(Code::kBadArgument, "{} is run by mount(8), and does not know {}: the command is s3crate-blk mount", kMountHelper, word);
      }
      ++i;
      if (letter == 'N') return fail(Code::kUnsupported, "{} mounts in its own namespace only: leave out -N {}", kMountHelper, words[i]);
      if (letter == 'o') out.insert(out.end(), {"-o", words[i]});
    }
  }
  return out;
}

bool wants_json(const std::vector<std::string>& words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  return std::find(words.begin(), end, "--json") != end;
}

std::string help() {
  std::string text = "Usage: s3crate-blk COMMAND [OPTIONS] ...\n\nA virtual disk in an object store: write-once, encrypted.\n\nCommands:\n";
  for (const CommandSpec& command : commands()) {
    text += fmt::format("  {:<28}{}\n", fmt::format("{} {}", command.name, command.arguments), command.help);
  }
  text += fmt::format("  {:<28}{}\n  {:<28}{}\n", "help [COMMAND]", "Show this, or the options of a command", "version",
                      "Show the version");
  text += "\nURL is file:///DIR or s3://BUCKET[/PREFIX], then optionally #FINGERPRINT.\n"
          "A first volume:\n"
          "  s3crate-blk key new /root/disk.key\n"
          "  s3crate-blk format file:///srv/disk --size 100G --key-file /root/disk.key\n"
          "  s3crate-blk mount file:///srv/disk /mnt/crate --key-file /root/disk.key\n"
          "  losetup --direct-io=on --sector-size 4096 --find --show /mnt/crate/disk\n";
  return text;
}

std::string help(Command command) { return Grammar(spec_of(command)).app.help(); }

}  // namespace s3crate::cli
