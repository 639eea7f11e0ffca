// SPDX-License-Identifier: GPL-3.0-or-later
// Waiting for the process behind a mount, with a line on standard error that says how much is still to be sent.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/clock.h"
#include "cli/control.h"

namespace s3crate::cli {

enum class ProgressStyle { kLine, kPlain, kJson, kOff };
// The words of --progress; auto is a line on a terminal, else off.
[[nodiscard]] ProgressStyle progress_style(const std::string& word);

// Waits for the last answer on `connection`. Meanwhile asks for the status on `socket`, once a second, and shows it.
// nullopt: `timeout` is over.
[[nodiscard]] Result<std::optional<nlohmann::json>> wait_with_progress(Clock& clock, ControlConnection& connection,
                                                                      const std::string& socket, ProgressStyle style,
                                                                      std::optional<Duration> timeout);

// An answer that is an error, as one.
[[nodiscard]] Result<nlohmann::json> checked(nlohmann::json answer);

}  // namespace s3crate::cli
