// SPDX-License-Identifier: GPL-3.0-or-later
// Every command and every option, once. The parser, --help, the man page's list (compared by a test), the config
// file's keys and mount -o come from here. An option is listed when it works, not before.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace s3crate::cli {

enum class Command : std::uint8_t {
  kFormat, kMount, kUmount, kAttach, kDetach, kRestore, kSync, kStatus, kInfo, kHistory, kTag, kUntag, kSnapshot, kRollback, kFork,
  kResize, kCheck, kDiff, kExport, kCompare, kImport, kRepair,
  kJournalList, kJournalSave, kJournalDiscard, kList, kBucketCheck,
  kBucketPolicy, kKeyNew,
};

struct CommandSpec {
  Command command;
  std::string_view name;       // of one word or two
  std::string_view arguments;  // all needed, but those in []
  std::size_t arguments_min;
  std::size_t arguments_max;
  std::string_view help;       // a sentence without full stop
  std::string_view example;    // without "s3crate-blk " in front
};
[[nodiscard]] std::span<const CommandSpec> commands();
[[nodiscard]] const CommandSpec& spec_of(Command command);

enum class OptionType : std::uint8_t {
  kFlag,
  kText,
  kTexts,    // may be given again and again
  kSize,     // 64M
  kTime,     // 30s
  kCount,
  kPercent,  // --name=5; --name alone is all, 100
  kChoice,   // one of the words in `value`, which has | between them
  kWords,    // may be given again and again; only -o
};

struct OptionSpec {
  std::string_view name;      // without dashes
  char letter;                // of the short form, or 0
  OptionType type;
  std::string_view value;     // how help calls it
  std::string_view fallback;  // the value if none is given; "": none, or worked out by the command
  std::string_view shown;     // the default in words, where `fallback` does not say it
  std::uint64_t min, max;     // of sizes (bytes), times (ms) and counts
  std::string_view help;      // a sentence without full stop
  std::uint32_t commands;     // bits, see bit()
  bool persistent;            // may stand in the config file and behind mount -o
};
[[nodiscard]] constexpr std::uint32_t bit(Command command) { return 1u << static_cast<unsigned>(command); }
[[nodiscard]] std::span<const OptionSpec> options();
// nullptr: there is none of that name.
[[nodiscard]] const OptionSpec* find_option(std::string_view name);

}  // namespace s3crate::cli
