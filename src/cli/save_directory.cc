// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/save_directory.h"

#include <filesystem>

#include "cli/files.h"
#include "crypto/crypto.h"

namespace s3crate::cli {
namespace {
constexpr std::string_view kPrefix = "save-";
}

std::string save_directory(const std::string& directory, const std::string& fork_url) {
  return fmt::format("{}/{}{}", directory, kPrefix, to_hex(crypto::blake2b(as_bytes(fork_url))).substr(0, 16));
}

Result<std::vector<std::string>> save_directories(io::FileIo& files, const std::string& directory) {
  std::vector<std::string> found;
  for (const auto& entry : TRY(files.list(directory)))
    if (entry.is_directory && entry.name.starts_with(kPrefix)) found.push_back(fmt::format("{}/{}", directory, entry.name));
  return found;
}

Result<> remove_save_directory(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return fail(system_error(error.value(), "remove", path));
  return {};
}

}  // namespace s3crate::cli
