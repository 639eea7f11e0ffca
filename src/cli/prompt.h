// SPDX-License-Identifier: GPL-3.0-or-later
// Questions on the terminal of the user (/dev/tty), whatever standard input is.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace s3crate::cli {

// Without echo. nullopt: there is no terminal; kCancelled: Ctrl-C, or Ctrl-D on an empty line.
[[nodiscard]] Result<std::optional<Bytes>> ask_secret(const std::string& question);
// With echo, one line. nullopt: there is no terminal.
[[nodiscard]] Result<std::optional<std::string>> ask_line(const std::string& question);

}  // namespace s3crate::cli
