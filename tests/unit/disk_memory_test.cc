// SPDX-License-Identifier: GPL-3.0-or-later
// A lack of memory fails what met it, and nothing else.
#include <gtest/gtest.h>

#include <atomic>
#include <new>

#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"

namespace s3crate {
namespace {

// Sealing needs it, and so meets what it throws.
class ScarceRandom final : public Random {
 public:
  void fill(MutableByteView out) override {
    if (scarce) throw std::bad_alloc();
    system_random().fill(out);
  }
  std::atomic<bool> scarce{false};
};

class DiskMemoryTest : public testing::Test {
 protected:
  void open() {
    world_.options.log = [this](const std::string&) { ++told_; };
    volume_ = std::move(*volume::Volume::open(system_env(), world_.memory(), world_.keys(), {}));
    disk_ = std::move(*device::Disk::open({system_clock(), random_, thread_executor()}, io::posix_file_io(), *volume_, world_.options));
  }
  void expect_content(std::uint64_t at, const Bytes& content) {
    Bytes read(content.size());
    ASSERT_OK(disk_->read(at, read));
    EXPECT_EQ(read, content);
  }

  std::atomic<int> told_{0};
  ScarceRandom random_;
  test::DiskWorld world_;
  std::unique_ptr<volume::Volume> volume_;
  std::unique_ptr<device::Disk> disk_;
  const Bytes data_ = Bytes(16 << 10, 'x');
};

TEST_F(DiskMemoryTest, AFlushThatLacksItMayBeTriedAgain) {
  world_.options.batch_delay = std::chrono::hours(1);
  open();
  ASSERT_OK(disk_->write(0, data_));
  random_.scarce = true;
  EXPECT_THROW((void)disk_->flush(), std::bad_alloc);
  expect_content(0, data_);
  random_.scarce = false;
  ASSERT_OK(disk_->flush());
  expect_content(0, data_);
  ASSERT_OK(disk_->close(std::chrono::minutes(1)));
}

TEST_F(DiskMemoryTest, TheBackgroundTriesAgain) {
  open();
  random_.scarce = true;
  ASSERT_OK(disk_->write(0, data_));
  for (int i = 0; i < 1000 && told_ == 0; ++i) nap(system_clock(), thread_executor(), std::chrono::milliseconds(10));
  EXPECT_GT(told_, 0);
  random_.scarce = false;
  ASSERT_OK(disk_->flush());
  expect_content(0, data_);
  ASSERT_OK(disk_->close(std::chrono::minutes(1)));
}

}  // namespace
}  // namespace s3crate
