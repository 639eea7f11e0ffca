// SPDX-License-Identifier: GPL-3.0-or-later
// Result<T>: a value, or an error whose code says how to react and whose text says what happened.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace s3crate {

// One reaction each. The details are text.
enum class Code {
  kNotFound,     // it is not there: a miss, often no failure
  kExists,       // the name is taken; write-once says: leave it
  kTransient,    // try again later; the store or device is away, busy or full for now
  kDenied,       // credentials or permissions: trying again does not help
  kCorrupt,      // what was read is not what was written
  kBadArgument,  // the caller's words are wrong
  kNoSpace,      // no room on the local disk or in a budget
  kFenced,       // another writer took over, or holds the volume
  kCancelled,    // stopped on request
  kBadKey,       // no key given opens this
  kUnsupported,  // made by a newer version, or not offered by this store or kernel
  kIo,           // the local disk failed
  kLost,         // known to be lost: it was stored as such, and trying again does not help
};

[[nodiscard]] std::string_view code_name(Code code);  // "not_found": stable, for error.code in JSON

class Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  [[nodiscard]] Code code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }
  // The same code, with where it happened in front of what happened.
  [[nodiscard]] Error within(std::string_view where) const {
    return {code_, fmt::format("{}: {}", where, message_)};
  }

 private:
  Code code_;
  std::string message_;
};

template <typename T = void>
using Result = tl::expected<T, Error>;

template <typename... Args>
[[nodiscard]] tl::unexpected<Error> fail(Code code, fmt::format_string<Args...> format,
                                         Args&&... args) {
  return tl::unexpected<Error>(Error(code, fmt::format(format, std::forward<Args>(args)...)));
}
[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

template <typename T>
[[nodiscard]] bool is(const Result<T>& result, Code code) {
  return !result && result.error().code() == code;
}

namespace internal {
template <typename T>
T unwrap(Result<T>&& r) {
  if constexpr (!std::is_void_v<T>) return std::move(*r);
}
}  // namespace internal

// TRY(f()) is the value of f(), or returns f()'s error from the enclosing function. Not between the
// braces of an initialiser: compilers forget to destroy what was built of it before.
#define TRY(...)                                                                  \
  __extension__({                                                                 \
    auto try_result_ = (__VA_ARGS__);                                             \
    if (!try_result_) return ::s3crate::fail(std::move(try_result_.error()));     \
    ::s3crate::internal::unwrap(std::move(try_result_));                          \
  })

}  // namespace s3crate
