// SPDX-License-Identifier: GPL-3.0-or-later
// Whether this is built with a sanitizer, and so some ten times as slow: what a test only repeats, with other seeds or at
// other steps, it repeats less often then.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define S3CRATE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define S3CRATE_SANITIZED 1
#endif
#endif
#ifndef S3CRATE_SANITIZED
#define S3CRATE_SANITIZED 0
#endif

namespace s3crate::test {

inline constexpr bool kSanitized = S3CRATE_SANITIZED != 0;

}  // namespace s3crate::test
