// SPDX-License-Identifier: GPL-3.0-or-later
// The simulated edges keep the contracts of the real ones.
#include <gtest/gtest.h>

#include <mutex>

#include "tests/sim/sim_world.h"
#include "tests/unit/file_io_contract.h"
#include "tests/unit/store_contract.h"

namespace s3crate::sim {
namespace {

class SimFileIoUnderTest final : public test::FileIoUnderTest {
 public:
  SimFileIoUnderTest() { CHECK(process_->file_io().make_directories(root()).has_value()); }
  io::FileIo& io() override { return process_->file_io(); }
  std::string root() override { return "/some/directory"; }
  bool threads() override { return false; }

 private:
  World world_{1};
  std::unique_ptr<Process> process_ = world_.start();
};

using test::FileIoContract;
using test::StoreContract;

INSTANTIATE_TEST_SUITE_P(Sim, FileIoContract, ::testing::Values([] {
                           return std::make_unique<SimFileIoUnderTest>();
                         }));

// The contract has tests with real threads, which the simulator's tasks are not.
class OneAtATime final : public store::ObjectStore {
 public:
  explicit OneAtATime(store::ObjectStore& below) : below_(below) {}
  Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    std::lock_guard lock(mutex_);
    return below_.put(name, parts);
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max_size) override {
    std::lock_guard lock(mutex_);
    return below_.get(name, max_size);
  }
  Result<> get_range(const std::string& name, std::uint64_t offset, MutableByteView out) override {
    std::lock_guard lock(mutex_);
    return below_.get_range(name, offset, out);
  }
  Result<store::ObjectInfo> head(const std::string& name) override {
    std::lock_guard lock(mutex_);
    return below_.head(name);
  }
  Result<store::ListPage> list(const std::string& prefix, const std::string& start_after,
                               std::size_t max_keys) override {
    std::lock_guard lock(mutex_);
    return below_.list(prefix, start_after, max_keys);
  }
  Result<> remove(const std::string& name) override {
    std::lock_guard lock(mutex_);
    return below_.remove(name);
  }
  store::StoreCaps caps() const override { return below_.caps(); }
  std::string describe() const override { return below_.describe(); }

 private:
  store::ObjectStore& below_;
  std::mutex mutex_;
};

class SimStoreUnderTest final : public test::StoreUnderTest {
 public:
  store::ObjectStore& store() override { return store_; }

 private:
  World world_{1};
  std::unique_ptr<Process> process_ = world_.start();
  OneAtATime store_{process_->store()};
};

INSTANTIATE_TEST_SUITE_P(Sim, StoreContract, ::testing::Values([] {
                           return std::make_unique<SimStoreUnderTest>();
                         }));

}  // namespace
}  // namespace s3crate::sim
