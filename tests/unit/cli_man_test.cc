// SPDX-License-Identifier: GPL-3.0-or-later
// The man page and the tables of commands and options say the same, in both directions. A failure prints the lines that
// man/s3crate-blk.1 should have.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/option_table.h"

namespace s3crate::cli {
namespace {

std::string roff(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '-') out += "\\-";
    else if (c == '\\') out += "\\e";
    else out += c;
  }
  return out;
}

std::string tag(const OptionSpec& option) {
  std::string out;
  if (option.letter != 0) out = fmt::format("\\fB\\-{}\\fR, ", option.letter);
  out += fmt::format("\\fB\\-\\-{}\\fR", roff(option.name));
  if (!option.value.empty()) out += fmt::format(" \\fI{}\\fR", roff(option.value));
  return out;
}

std::string description(const OptionSpec& option) {
  std::string users;
  for (const CommandSpec& command : commands()) {
    if ((option.commands & bit(command.command)) != 0) users += fmt::format("{}{}", users.empty() ? "" : ", ", command.name);
  }
  const auto fallback = option.shown.empty() ? option.fallback : option.shown;
  auto out = roff(option.help) + ".";
  if (!fallback.empty()) out += fmt::format(" Default: {}.", roff(fallback));
  out += fmt::format(" ({})", users);
  return out;
}

std::string tag(const CommandSpec& command) {
  auto out = fmt::format("\\fB{}\\fR", command.name);
  if (!command.arguments.empty()) out += fmt::format(" \\fI{}\\fR", command.arguments);
  return out;
}

// Two lines each: what stands behind .TP, and the line after it.
using Entries = std::set<std::pair<std::string, std::string>>;

std::vector<std::string> man_lines() {
  const char* source = std::getenv("abs_top_srcdir");
  std::ifstream file(fmt::format("{}/man/s3crate-blk.1", source == nullptr ? "." : source));
  EXPECT_TRUE(file.is_open()) << "no man page; abs_top_srcdir says where the sources are";
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

Entries in_section(const std::string& section) {
  Entries entries;
  bool inside = false;
  const auto lines = man_lines();
  for (std::size_t i = 0; i + 2 < lines.size(); ++i) {
    if (lines[i].starts_with(".SH")) inside = lines[i] == ".SH " + section;
    if (inside && lines[i] == ".TP") entries.emplace(lines[i + 1], lines[i + 2]);
  }
  return entries;
}

void expect_same(const Entries& table, const Entries& page) {
  for (const auto& [name, text] : table) {
    EXPECT_TRUE(page.contains({name, text})) << "not in the man page:\n.TP\n" << name << "\n" << text;
  }
  for (const auto& [name, text] : page) {
    EXPECT_TRUE(table.contains({name, text})) << "not in the table:\n.TP\n" << name << "\n" << text;
  }
}

TEST(ManPage, ListsTheOptionsOfTheTable) {
  Entries table;
  for (const OptionSpec& option : options()) table.emplace(tag(option), description(option));
  expect_same(table, in_section("OPTIONS"));
}

TEST(ManPage, ListsTheCommandsOfTheTable) {
  Entries table;
  for (const CommandSpec& command : commands()) table.emplace(tag(command), roff(command.help) + ".");
  expect_same(table, in_section("COMMANDS"));
}

}  // namespace
}  // namespace s3crate::cli
