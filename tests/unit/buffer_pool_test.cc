// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/buffer_pool.h"

#include <gtest/gtest.h>

namespace s3crate {
namespace {

constexpr std::size_t kMiB = 1 << 20;

TEST(BufferPoolTest, WhatCameBackIsLentAgain) {
  BufferPool pool(16 * kMiB);
  const std::uint8_t* first = nullptr;
  {
    BufferPool::Lease lease = pool.lend(8 * kMiB);
    first = lease.view().data();
    EXPECT_EQ(lease.view().size(), 8 * kMiB);
    EXPECT_EQ(pool.kept_bytes(), 0u) << "it is in use";
  }
  EXPECT_EQ(pool.kept_bytes(), 8 * kMiB);
  BufferPool::Lease less = pool.lend(7 * kMiB + 1);
  EXPECT_EQ(less.view().data(), first);
  EXPECT_EQ(less.view().size(), 7 * kMiB + 1);
  EXPECT_NE(pool.lend(7 * kMiB).view().data(), first) << "it is lent already";
}

TEST(BufferPoolTest, MovedLeaseGivesBackOnce) {
  BufferPool pool(16 * kMiB);
  {
    BufferPool::Lease lease = pool.lend(kMiB);
    BufferPool::Lease moved = std::move(lease);
    EXPECT_EQ(moved.view().size(), kMiB);
  }
  EXPECT_EQ(pool.kept_bytes(), kMiB);
}

TEST(BufferPoolTest, KeepsNoMoreThanItMayAndTheLargerOnes) {
  BufferPool pool(10 * kMiB);
  {
    BufferPool::Lease small[] = {pool.lend(2 * kMiB), pool.lend(2 * kMiB), pool.lend(3 * kMiB)};
    BufferPool::Lease too_large = pool.lend(11 * kMiB);
  }
  EXPECT_EQ(pool.kept_bytes(), 7 * kMiB);
  static_cast<void>(pool.lend(8 * kMiB));
  EXPECT_EQ(pool.kept_bytes(), 8 * kMiB) << "the largest in place of all others";
  static_cast<void>(pool.lend(9 * kMiB));
  EXPECT_EQ(pool.kept_bytes(), 9 * kMiB);
  {
    BufferPool::Lease kept = pool.lend(9 * kMiB), another = pool.lend(9 * kMiB);
  }
  EXPECT_EQ(pool.kept_bytes(), 9 * kMiB) << "one of two that do not both fit";
}

TEST(BufferPoolTest, SmallOnesAreNotKept) {
  BufferPool pool(16 * kMiB);
  static_cast<void>(pool.lend(0));
  static_cast<void>(pool.lend(BufferPool::kPooledMin - 1));
  EXPECT_EQ(pool.kept_bytes(), 0u);
  static_cast<void>(pool.lend(BufferPool::kPooledMin));
  EXPECT_EQ(pool.kept_bytes(), kMiB) << "in whole steps";
}

}  // namespace
}  // namespace s3crate
