// SPDX-License-Identifier: GPL-3.0-or-later
// IniFile: the shared credentials and config files of the AWS tools, read as those read them:
//
//   # a comment; also ; and also behind a value, after a space
//   [profile NAME]
//   name = value
//   s3 =                              a name without a value may have a part below it: lines that
//     addressing_style = path         stand deeper than the name
//
// Sections of one name are one section, and of two equal names in it the last counts. Upper and
// lower case of names make no difference. Values are secrets: they stay in the text that was read,
// which is wiped in the end, and no message repeats any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace s3crate::s3 {

class IniFile {
 public:
  // kBadArgument with "PATH:LINE: " in front.
  [[nodiscard]] static Result<IniFile> parse(Bytes text, const std::string& path);
  ~IniFile();
  IniFile(IniFile&&) = default;
  IniFile& operator=(IniFile&& other) noexcept;

  // In order, each once; "profile NAME" with one space, and without quotes around NAME.
  [[nodiscard]] const std::vector<std::string>& sections() const { return sections_; }
  [[nodiscard]] bool has(std::string_view section) const;
  // Valid as long as this is. An empty value is none.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view section, std::string_view name,
                                                     std::string_view part = "") const;

 private:
  class Parser;
  struct Entry {
    std::size_t section;
    std::string_view part, name, value;  // all in text_
  };
  explicit IniFile(Bytes text) : text_(std::move(text)) {}

  Bytes text_;
  std::vector<std::string> sections_;
  std::vector<Entry> entries_;
};

}  // namespace s3crate::s3
