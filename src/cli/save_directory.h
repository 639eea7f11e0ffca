// SPDX-License-Identifier: GPL-3.0-or-later
// What a `journal save` keeps beside the journal until it is done: a state directory for the disk of the fork.
#pragma once

#include "io/file_io.h"

namespace s3crate::cli {

// In the volume's own directory, which has the journal.
[[nodiscard]] std::string save_directory(const std::string& directory, const std::string& fork_url);
// Those that are there. Whoever holds the journal's lock knows that no save is under way: they are of saves that were stopped.
[[nodiscard]] Result<std::vector<std::string>> save_directories(io::FileIo& files, const std::string& directory);
[[nodiscard]] Result<> remove_save_directory(const std::string& path);

}  // namespace s3crate::cli
