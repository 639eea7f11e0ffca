// SPDX-License-Identifier: GPL-3.0-or-later
// The config file: lines "name = value" with the persistent options of the table, # begins a comment line.
#pragma once

#include <string>
#include <vector>

#include "cli/arguments.h"

namespace s3crate::cli {

// The user's, then the machine's.
[[nodiscard]] std::vector<std::string> config_file_paths();

// Takes over what concerns the command and was not given already. Every line is checked, whatever the command. A file
// that is not there is an empty one.
[[nodiscard]] Result<> read_config_file(const std::string& path, Arguments& arguments);

}  // namespace s3crate::cli
