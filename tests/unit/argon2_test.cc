// SPDX-License-Identifier: GPL-3.0-or-later
// Argon2id against the reference implementation, and its bounds.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "crypto/crypto.h"
#include "tests/support/sanitized.h"

namespace s3crate::crypto {
namespace {

Salt salt_of(std::string_view sixteen) {
  Salt salt{};
  EXPECT_EQ(sixteen.copy(reinterpret_cast<char*>(salt.data()), salt.size()), salt.size());
  return salt;
}

class Argon2Test : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(initialise()); }
};

// From the reference implementation's command, argon2 -id -p 1 -l 32 -r.
TEST_F(Argon2Test, MatchesTheReferenceImplementation) {
  const Result<Secret> first =
      argon2id(as_bytes("password"), salt_of("somesaltsomesalt"), {3, 64 * 1024});
  ASSERT_TRUE(first);
  EXPECT_EQ(to_hex(first->view()),
            "7664ad4ba1a3c999fcdd0991ffc2270f78302d2383233db5e7befc85d1bb1819");
  const Result<Secret> second = argon2id(as_bytes("correct horse battery staple"),
                                         salt_of("saltsaltsaltsalt"), {2, 64 * 1024});
  ASSERT_TRUE(second);
  EXPECT_EQ(to_hex(second->view()),
            "1730d0c8e341f9c0fb78da9d0094735a3eeb8ae26d2552463327fe594c148f4b");
}

TEST_F(Argon2Test, BoundsAreThoseOfTheFormat) {
  EXPECT_TRUE(is_valid(Argon2Cost{}));
  EXPECT_TRUE(is_valid({2, 64 * 1024}));
  EXPECT_TRUE(is_valid({16, 2 * 1024 * 1024}));
  for (const Argon2Cost cost :
       {Argon2Cost{1, 64 * 1024}, Argon2Cost{17, 64 * 1024}, Argon2Cost{2, 64 * 1024 - 1},
        Argon2Cost{2, 2 * 1024 * 1024 + 1}, Argon2Cost{UINT32_MAX, UINT32_MAX}, Argon2Cost{0, 0}}) {
    EXPECT_FALSE(is_valid(cost));
    EXPECT_TRUE(is(argon2id(as_bytes("x"), Salt{}, cost), Code::kBadArgument));
  }
}

#if !S3CRATE_SANITIZED  // which needs more address space than any limit
std::size_t address_space_now() {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

TEST_F(Argon2Test, RefusesBeforeItAllocatesAndSaysWhenThereIsNoMemory) {
  // In a child that may not grow.
  const auto code_without_memory = [](Argon2Cost cost) {
    const rlimit limit{address_space_now() + (16 << 20), RLIM_INFINITY};
    if (setrlimit(RLIMIT_AS, &limit) != 0) std::exit(99);
    const Result<Secret> key = argon2id(as_bytes("x"), Salt{}, cost);
    std::exit(key ? 98 : static_cast<int>(key.error().code()));
  };
  EXPECT_EXIT(code_without_memory({2, 64 * 1024}),
              testing::ExitedWithCode(static_cast<int>(Code::kNoSpace)), "");
  EXPECT_EXIT(code_without_memory({2, 4096u * 1024}),
              testing::ExitedWithCode(static_cast<int>(Code::kBadArgument)), "");
}
#endif

}  // namespace
}  // namespace s3crate::crypto
