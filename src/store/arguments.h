// SPDX-License-Identifier: GPL-3.0-or-later
// What every ObjectStore checks of its callers' arguments, and the errors that all of them word
// alike.
#pragma once

#include "store/object_store.h"

namespace s3crate::store {

inline constexpr std::size_t kListKeysMax = 1000;

[[nodiscard]] inline Result<> check_name(const std::string& name) {
  if (!is_valid_object_name(name)) return fail(Code::kBadArgument, "bad object name \"{}\"", name);
  return {};
}

[[nodiscard]] inline Result<> check_max_keys(std::size_t max_keys) {
  if (max_keys < 1 || max_keys > kListKeysMax) {
    return fail(Code::kBadArgument, "a list of {} names was asked for", max_keys);
  }
  return {};
}

[[nodiscard]] inline auto not_found(const std::string& name) {
  return fail(Code::kNotFound, "there is no object {}", name);
}

[[nodiscard]] inline auto too_long(const std::string& name, std::uint64_t size,
                                   std::uint64_t max_size) {
  return fail(Code::kCorrupt, "object {} has {} bytes, more than the {} it may have", name, size,
              max_size);
}

[[nodiscard]] inline auto too_short(const std::string& name, std::uint64_t size,
                                    std::uint64_t offset, std::uint64_t length) {
  return fail(Code::kCorrupt, "object {} has {} bytes, too short for {} at {}", name, size, length,
              offset);
}

// Whether [offset, offset + length) lies within `size` bytes.
[[nodiscard]] inline bool covers(std::uint64_t size, std::uint64_t offset, std::uint64_t length) {
  return offset <= size && length <= size - offset;
}

}  // namespace s3crate::store
