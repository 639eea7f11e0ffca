// SPDX-License-Identifier: GPL-3.0-or-later
// Arguments: what one command was given, from the command line, mount -o and the config file, in this order of
// precedence. Every value in it has been validated against the table of options.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cli/option_table.h"

namespace s3crate::cli {

enum class Source { kConfigFile, kCommandLine };

class Arguments {
 public:
  Arguments(Command command, std::vector<std::string> positionals)
      : command_(command), positionals_(std::move(positionals)) {}

  // Takes a value if it is of the option's type and within its bounds, and no stronger source gave one before.
  // `where` begins the error's message: "--size", "/etc/s3crate-blk.conf:3".
  [[nodiscard]] Result<> set(const OptionSpec& option, std::string_view text, Source source, std::string_view where);

  // The same for another command, as far as that knows the options.
  [[nodiscard]] Arguments as(Command command, std::vector<std::string> positionals) const;

  [[nodiscard]] Command command() const { return command_; }
  [[nodiscard]] const std::vector<std::string>& positionals() const { return positionals_; }
  // Given by anybody; from the command line only.
  [[nodiscard]] bool has(std::string_view option) const;
  [[nodiscard]] bool typed(std::string_view option) const;

  // The value given or the table's default. CHECKed: the option is one of this command, of this type, and has either.
  [[nodiscard]] bool flag(std::string_view option) const;
  [[nodiscard]] std::string text(std::string_view option) const;  // of choices as well
  [[nodiscard]] std::vector<std::string> texts(std::string_view option) const;  // in the order given; may be none
  [[nodiscard]] std::uint64_t size(std::string_view option) const;
  [[nodiscard]] std::uint64_t count(std::string_view option) const;
  [[nodiscard]] std::uint64_t percent(std::string_view option) const;
  [[nodiscard]] Duration time(std::string_view option) const;

 private:
  struct Value {
    std::string text;
    Source source;
  };
  [[nodiscard]] const OptionSpec& spec(std::string_view option) const;
  [[nodiscard]] std::string value(std::string_view option, OptionType type) const;

  Command command_;
  std::vector<std::string> positionals_;
  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace s3crate::cli
