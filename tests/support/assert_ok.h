// SPDX-License-Identifier: GPL-3.0-or-later
// ASSERT_OK and EXPECT_OK: a result is no error; else its message is told.
#pragma once

#include <gtest/gtest.h>

#define ASSERT_OK(expression)                              \
  do {                                                     \
    const auto& ok_ = (expression);                        \
    ASSERT_TRUE(ok_.has_value()) << ok_.error().message(); \
  } while (0)
#define EXPECT_OK(expression)                              \
  do {                                                     \
    const auto& ok_ = (expression);                        \
    EXPECT_TRUE(ok_.has_value()) << ok_.error().message(); \
  } while (0)
