// SPDX-License-Identifier: GPL-3.0-or-later
// CHECK: an invariant of our own logic, tested in every build. Outside input gets a Result instead.
#pragma once

namespace s3crate::internal {
[[noreturn]] void check_failed(const char* what, const char* file, int line);
}

#define CHECK(condition)                                                               \
  (__builtin_expect(static_cast<bool>(condition), 1)                                   \
       ? static_cast<void>(0)                                                          \
       : ::s3crate::internal::check_failed(#condition, __FILE__, __LINE__))
