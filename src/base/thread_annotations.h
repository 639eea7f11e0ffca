// SPDX-License-Identifier: GPL-3.0-or-later
// Clang's thread-safety attributes (https://clang.llvm.org/docs/ThreadSafetyAnalysis.html).
#pragma once

#if defined(__clang__)
#define S3CRATE_TSA(x) __attribute__((x))
#else
#define S3CRATE_TSA(x)
#endif

#define CAPABILITY(x) S3CRATE_TSA(capability(x))
#define SCOPED_CAPABILITY S3CRATE_TSA(scoped_lockable)
#define GUARDED_BY(x) S3CRATE_TSA(guarded_by(x))
#define REQUIRES(...) S3CRATE_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) S3CRATE_TSA(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) S3CRATE_TSA(acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) S3CRATE_TSA(try_acquire_capability(__VA_ARGS__))
#define RELEASE(...) S3CRATE_TSA(release_capability(__VA_ARGS__))
#define ASSERT_CAPABILITY(x) S3CRATE_TSA(assert_capability(x))
#define RETURN_CAPABILITY(x) S3CRATE_TSA(lock_returned(x))
#define NO_THREAD_SAFETY_ANALYSIS S3CRATE_TSA(no_thread_safety_analysis)
