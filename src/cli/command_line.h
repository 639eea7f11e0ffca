// SPDX-License-Identifier: GPL-3.0-or-later
// argv into Arguments, or into a text that was asked for (help, version).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/arguments.h"

namespace s3crate::cli {

struct Parsed {
  std::optional<Arguments> arguments;  // else print `text`
  std::string text;
};

// `words` are those behind the program's name; `config_files` are read in this order, an earlier one wins, and those
// that are not there do not count. kBadArgument with one sentence.
[[nodiscard]] Result<Parsed> parse_command_line(const std::vector<std::string>& words,
                                                const std::vector<std::string>& config_files);

// By this name mount(8) runs us for a line of fstab, or for mount -t s3crate-blk: SPEC DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]. The
// words of the command that it means; nullopt: with -f there is nothing to do.
inline constexpr std::string_view kMountHelper = "mount.s3crate-blk";
[[nodiscard]] Result<std::optional<std::vector<std::string>>> mount_helper_words(const std::vector<std::string>& words);

// Whether --json was given, also when the rest of the line makes no sense.
[[nodiscard]] bool wants_json(const std::vector<std::string>& words);

[[nodiscard]] std::string help();                  // of the program
[[nodiscard]] std::string help(Command command);

}  // namespace s3crate::cli
