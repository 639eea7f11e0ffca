// SPDX-License-Identifier: GPL-3.0-or-later
// What the memory of secrets promises, asked of the kernel where it knows.
#include "crypto/secret.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cinttypes>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "base/executor.h"

namespace s3crate::crypto {
namespace {

struct Mapping {
  std::uintptr_t start = 0;
  std::uintptr_t end = 0;
  std::set<std::string> flags;
};

// The line of /proc/self/smaps that an address belongs to.
std::optional<Mapping> mapping_of(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream smaps("/proc/self/smaps");
  std::optional<Mapping> found;
  for (std::string line; std::getline(smaps, line);) {
    std::uintptr_t start;
    std::uintptr_t end;
    char space;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR "%c", &start, &end, &space) == 3) {
      if (found) break;
      if (start <= wanted && wanted < end) found = Mapping{start, end, {}};
    } else if (found && line.starts_with("VmFlags:")) {
      std::istringstream words(line.substr(8));
      for (std::string flag; words >> flag;) found->flags.insert(flag);
    }
  }
  return found;
}

std::size_t locked_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmLck:")) return std::stoul(line.substr(6));
  }
  return 0;
}

// The sanitizers replace mlock by nothing; the real one knows that nothing is mapped there.
bool mlock_is_real() {
  static const bool real = mlock(nullptr, 1) != 0;
  return real;
}

bool failed(int status) { return !(WIFEXITED(status) && WEXITSTATUS(status) == 0); }

class SecretTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const Result<> ready = initialise();
    ASSERT_TRUE(ready) << ready.error().message();
  }
  void SetUp() override {
    Secret secret(system_random());
    const std::optional<Mapping> mapping = mapping_of(secret.view().data());
    kernel_tells_ = mapping && !mapping->flags.empty();
  }

  bool kernel_tells_ = false;
};

TEST_F(SecretTest, HoldsWhatItWasGiven) {
  Bytes bytes(kSecretSize);
  system_random().fill(bytes);
  const Secret secret = Secret::copy_of(bytes);
  EXPECT_TRUE(equal(secret.view(), bytes));
  const Secret clone = secret.clone();
  EXPECT_TRUE(equal(clone.view(), bytes));
  EXPECT_NE(clone.view().data(), secret.view().data());
  EXPECT_TRUE(Secret().empty());
  EXPECT_TRUE(Secret().view().empty());
  EXPECT_DEATH((void)Secret::copy_of(ByteView(bytes).first(31)), "internal error");
}

TEST_F(SecretTest, MovesWithoutCopying) {
  Secret first(system_random());
  const std::uint8_t* cell = first.view().data();
  Secret second = std::move(first);
  EXPECT_EQ(second.view().data(), cell);
  EXPECT_TRUE(first.empty());  // NOLINT: what a moved-from secret is, is the question
  Secret third(system_random());
  const std::uint8_t* old = third.view().data();
  third = std::move(second);
  EXPECT_EQ(third.view().data(), cell);
  EXPECT_TRUE(all_zero({old, kSecretSize}));
  Secret& alias = third;
  third = std::move(alias);
  EXPECT_EQ(third.view().data(), cell);
}

TEST_F(SecretTest, IsWipedWhenItGoes) {
  const std::uint8_t* cell = nullptr;
  {
    const Secret secret(system_random());
    cell = secret.view().data();
    EXPECT_FALSE(all_zero(secret.view()));
  }
  EXPECT_TRUE(all_zero({cell, kSecretSize}));  // arena memory is never unmapped
}

TEST_F(SecretTest, WipeLeavesZeros) {
  Bytes bytes(100, 7);
  wipe(MutableByteView(bytes).subspan(10, 80));
  EXPECT_TRUE(all_zero(ByteView(bytes).subspan(10, 80)));
  EXPECT_EQ(bytes[9], 7);
  EXPECT_EQ(bytes[90], 7);
}

TEST_F(SecretTest, IsLockedAndNeitherDumpedNorInherited) {
  if (!kernel_tells_) GTEST_SKIP() << "no VmFlags in /proc/self/smaps";
  const Secret secret(system_random());
  const std::optional<Mapping> mapping = mapping_of(secret.view().data());
  ASSERT_TRUE(mapping);
  EXPECT_TRUE(mapping->flags.contains("dd")) << "in core dumps";
  EXPECT_TRUE(mapping->flags.contains("dc")) << "inherited by children";
  if (mlock_is_real()) {
    EXPECT_EQ(mapping->flags.contains("lo"), memory_notice().empty()) << memory_notice();
    EXPECT_EQ(locked_kib() > 0, memory_notice().empty()) << memory_notice();
  }
  // The test's own claim is not empty: ordinary memory has none of it.
  const auto ordinary = std::make_unique<int>(1);
  EXPECT_FALSE(mapping_of(ordinary.get())->flags.contains("dd"));
}

TEST_F(SecretTest, MemoryEndsInGuards) {
  const Secret secret(system_random());
  const std::optional<Mapping> mapping = mapping_of(secret.view().data());
  ASSERT_TRUE(mapping);
  const auto touch = [](std::uintptr_t at) { *reinterpret_cast<volatile std::uint8_t*>(at) = 1; };
  EXPECT_EXIT(touch(mapping->start - 1), failed, "");
  EXPECT_EXIT(touch(mapping->end), failed, "");
}

TEST_F(SecretTest, ThousandsCostLittleMemory) {
  constexpr std::size_t kMany = 10'000;
  const std::size_t before = locked_kib();
  std::vector<Secret> secrets;
  std::set<const std::uint8_t*> cells;
  for (std::size_t i = 0; i < kMany; ++i) {
    secrets.emplace_back(Secret::uninitialised());
    ASSERT_TRUE(all_zero(secrets.back().view()));
    secrets.back().mutable_view()[0] = static_cast<std::uint8_t>(i);
    cells.insert(secrets.back().view().data());
  }
  EXPECT_EQ(cells.size(), kMany);
  for (std::size_t i = 0; i < kMany; ++i) {
    ASSERT_EQ(secrets[i].view()[0], static_cast<std::uint8_t>(i));
  }
  EXPECT_LE(locked_kib() - before, kMany * kSecretSize / 1024 + 64);
  secrets.clear();
  // They are used again, not mapped anew.
  const std::size_t after = locked_kib();
  for (std::size_t i = 0; i < kMany; ++i) secrets.emplace_back(Secret::uninitialised());
  EXPECT_EQ(locked_kib(), after);
}

TEST_F(SecretTest, ThreadsNeverShareACell) {
  std::vector<std::unique_ptr<Task>> tasks;
  std::vector<int> mixed_up(4, 0);
  for (std::size_t t = 0; t < mixed_up.size(); ++t) {
    tasks.push_back(thread_executor().spawn("secrets", [t, &mixed_up] {
      std::vector<Secret> mine;
      for (int i = 0; i < 5000; ++i) {
        mine.push_back(Secret::uninitialised());
        mixed_up[t] += !all_zero(mine.back().view());
        std::memset(mine.back().mutable_view().data(), static_cast<int>(t + 1), kSecretSize);
        if (mine.size() == 50) {
          for (const Secret& s : mine) mixed_up[t] += s.view()[7] != t + 1;
          mine.erase(mine.begin(), mine.begin() + 25);
        }
      }
    }));
  }
  tasks.clear();
  EXPECT_EQ(mixed_up, std::vector<int>(4, 0));
}

TEST_F(SecretTest, ChildDoesNotSeeTheSecretsOfItsParent) {
  const Secret secret(system_random());
  const auto read_it = [&secret] {
    const volatile std::uint8_t* bytes = secret.view().data();
    (void)bytes[0];
    std::exit(0);
  };
  EXPECT_EXIT(read_it(), failed, "");
}

TEST_F(SecretTest, ChildHasSecretsOfItsOwn) {
  EXPECT_EXIT(
      {
        Secret secret(system_random());
        std::exit(all_zero(secret.view()) ? 1 : 0);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(SecretTest, WithoutPermissionToLockItWorksAndSaysSo) {
  if (!mlock_is_real()) GTEST_SKIP() << "mlock is replaced by a sanitizer";
  const auto without_permission = [] {
    // Root may lock what it likes.
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) std::exit(99);
    const rlimit nothing{0, 0};
    if (setrlimit(RLIMIT_MEMLOCK, &nothing) != 0) std::exit(98);
    const bool ready = initialise().has_value();
    const Secret secret(system_random());
    std::fprintf(stderr, "%s\n", memory_notice().c_str());
    std::exit(ready && !all_zero(secret.view()) ? 0 : 1);
  };
  EXPECT_EXIT(without_permission(), testing::ExitedWithCode(0),
              "cannot be locked in memory.*RLIMIT_MEMLOCK is 0 KiB");
}

}  // namespace
}  // namespace s3crate::crypto
