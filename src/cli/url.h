// SPDX-License-Identifier: GPL-3.0-or-later
// URLs: file:///DIR or s3://BUCKET[/PREFIX], then [#FINGERPRINT][@POINT]. In DIR and PREFIX, %40, %23 and %25 stand for
// @, # and %; any other % stands for itself.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace s3crate::cli {

struct Url {
  enum class Kind { directory, s3 };
  Kind kind = Kind::directory;
  std::string directory = {};  // absolute, normal: no "//", "." or "..", no slash at its end
  std::string bucket = {};
  std::string prefix = {};  // normal like a directory, but relative; may be empty
  std::string fingerprint = {};  // lower-case hexadecimal, 16 to 64 digits; empty: none given
  std::string point = {};  // generation, tag or time as written; empty: none given

  // The place alone, as messages and the mount table show it.
  [[nodiscard]] std::string text() const;
  friend bool operator==(const Url&, const Url&) = default;
};

// kBadArgument.
[[nodiscard]] Result<Url> parse_url(std::string_view text);
// 16 to 64 hexadecimal digits, either case, into lower case.
[[nodiscard]] Result<std::string> parse_fingerprint(std::string_view text);

}  // namespace s3crate::cli
