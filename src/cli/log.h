// SPDX-License-Identifier: GPL-3.0-or-later
// Where the log of a mount goes: syslog, standard error, or a file.
#pragma once

#include <string>

#include "base/result.h"

namespace s3crate::cli {

inline constexpr std::string_view kLogToSyslog = "syslog";
inline constexpr std::string_view kLogToStderr = "stderr";

// `level` is a word of --log-level. kBadArgument if the file cannot be written.
[[nodiscard]] Result<> start_log(const std::string& to, const std::string& level);

}  // namespace s3crate::cli
