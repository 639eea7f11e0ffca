// SPDX-License-Identifier: GPL-3.0-or-later
// Which word somebody may have meant, and which there are.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace s3crate::cli {

// The candidate with the fewest edits from `word` (a swap of neighbours is one), or "" if none is near.
[[nodiscard]] std::string nearest(std::string_view word, std::span<const std::string_view> candidates);
// "", or "; did you mean \"mount\"?".
[[nodiscard]] std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

// "a, b or c".
[[nodiscard]] std::string one_of(std::span<const std::string_view> words);

}  // namespace s3crate::cli
