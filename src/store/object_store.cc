// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/object_store.h"

#include <algorithm>

namespace s3crate::store {
namespace {

constexpr std::size_t kNameBytesMax = 512;

bool is_name_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
         c == '_' || c == '~' || c == '-';
}

bool is_valid_component(std::string_view component) {
  return !component.empty() && component != "." && component != ".." &&
         std::ranges::all_of(component, is_name_char);
}

}  // namespace

bool is_valid_object_name(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax) return false;
  for (;;) {
    std::size_t slash = name.find('/');
    if (!is_valid_component(name.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
}

}  // namespace s3crate::store
