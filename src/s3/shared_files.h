// SPDX-License-Identifier: GPL-3.0-or-later
// SharedFiles: one profile as the two files of the AWS tools have it, read once.
//
//   file         unless a variable names another      the section of the profile NAME
//   credentials  ~/.aws/credentials                   [NAME]
//                AWS_SHARED_CREDENTIALS_FILE
//   config       ~/.aws/config                        [profile NAME]; also [default]
//                AWS_CONFIG_FILE
//
// The profile is the one that the option names, else AWS_PROFILE, else "default". A profile that was
// named must be in one of the files; "default" need not be there, nor the files.
#pragma once

#include <functional>

#include "io/file_io.h"
#include "s3/ini_file.h"

namespace s3crate::s3 {

// getenv(3): null if there is no such variable. The text is used at once, and only here.
using Environment = std::function<const char*(const char* name)>;
// A variable that is empty counts as not set.
[[nodiscard]] std::optional<std::string_view> variable(const Environment& environment, const char* name);

class SharedFiles {
 public:
  struct File {
    std::string path;  // as messages show it; "~/..." if there is no HOME
    std::optional<IniFile> content;
    std::string section;  // of the profile
    [[nodiscard]] std::optional<std::string_view> find(std::string_view name, std::string_view part = "") const;
    // `the profile "x" of /root/.aws/config`, and whether that is there.
    [[nodiscard]] std::string describe(const std::string& profile) const;
  };

  // kBadArgument: a file that makes no sense, a profile that is missing; else errors of reading.
  [[nodiscard]] static Result<SharedFiles> load(io::FileIo& files, const Environment& environment,
                                                const std::string& profile_option);

  std::string profile;
  bool profile_by_option = false;
  File credentials;
  File config;
};

// "~/x" in the home directory, if there is one.
[[nodiscard]] std::string expand_home(std::string_view path, const Environment& environment);

}  // namespace s3crate::s3
