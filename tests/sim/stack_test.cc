// SPDX-License-Identifier: GPL-3.0-or-later
// The whole stack from Disk down, by seeds: see stack_run.h. S3CRATE_STACK_SEEDS says how many seeds a case runs (100).
#include <chrono>

#include "tests/sim/stack_run.h"
#include "tests/support/seed.h"

namespace s3crate::sim {
namespace {

constexpr std::uint64_t kCases = 20;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* given = std::getenv(name);
  return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

std::uint64_t seeds_per_case() { return from_environment("S3CRATE_STACK_SEEDS", 100); }

class Stack : public testing::TestWithParam<std::uint64_t> {
 protected:
  static void TearDownTestSuite() {
    if (cases == 0) return;
    const double seconds = std::chrono::duration<double>(spent).count();
    fmt::print("{:.1f} seeds/s; {}", static_cast<double>(totals.seeds) / seconds, totals.to_string());
    if (cases < 5 || seeds_per_case() < 100) return;
    for (std::size_t i = 0; i < kFaultCount; ++i) {
      const auto fault = static_cast<Fault>(i);
      if (fault == Fault::kStoreObjectLost || fault == Fault::kStoreObjectReplaced) continue;  // in scenarios only
      EXPECT_GT(totals.faults[fault], 0u) << fault_name(fault) << " never happened";
    }
  }
  static inline StackTotals totals;
  static inline std::uint64_t cases = 0;
  static inline std::chrono::steady_clock::duration spent{};
};

TEST_P(Stack, HoldsAPrefixOfTheWritesThatHasAllThatWasFlushed) {
  SEEDED_TEST(base);
  ++cases;
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < seeds_per_case() && !HasFailure(); ++i) {
    StackRun run(base + GetParam() * seeds_per_case() + i);
    run.run();
    totals.add(run.totals());
  }
  spent += std::chrono::steady_clock::now() - start;
}

INSTANTIATE_TEST_SUITE_P(Seeds, Stack, testing::Range(std::uint64_t{0}, kCases));

// An append that failed for want of room left its record on the disk; replay found it after the batch that began its segment was
// stored and gone from the journal. Since then every record names all segments that it uses.
TEST(StackSeed, RecordOfAFailedAppendIsWholeByItself) {
  StackRun run(1836290369, StackRun::ReadAhead::no);
  run.run();
}

// A store that showed an object late, for five seconds, had an acknowledged partial write dropped as lost with it.
TEST(StackSeed, PartialWriteOutlivesAStaleMiss) {
  StackRun run(1462807276, StackRun::ReadAhead::no);
  run.run();
}

// A virtual machine that is resumed twice: both copies go on with the same memory, local disk, and state of the random generator.
// Runs of one seed are the same up to the step at which they were cloned, so each copy is a run of its own from there on.
TEST(StackSeed, ClonesNeverSealTwoContentsUnderOneKeyAndNonce) {
  SEEDED_TEST(base);
  const std::uint64_t seeds = from_environment("S3CRATE_CLONE_SEEDS", 20), clones = from_environment("S3CRATE_CLONES", 8);
  std::uint64_t sealed = 0, repeated = 0;
  for (std::uint64_t seed = base; seed < base + seeds && !HasFailure(); ++seed) {
    SealLog seals;
    StackRun original(seed);
    original.run(seals);
    const std::uint64_t stride = std::max<std::uint64_t>(1, original.steps() / clones);
    for (std::uint64_t step = stride / 2 + 1, copy = 1; step < original.steps() && !HasFailure(); step += stride, ++copy) {
      StackRun clone(seed);
      clone.clone_at(step, copy);
      clone.run(seals);
    }
    sealed += seals.seals(), repeated += seals.repeated();
  }
  EXPECT_GT(repeated, 0u) << "no copy was one";
  fmt::print("{} seals, {} of them again by a copy\n", sealed, repeated);
}

TEST(StackSeed, GivesTheSameRunTwice) {
  SEEDED_TEST(base);
  for (std::uint64_t seed = base; seed < base + 5; ++seed) {
    StackRun a(seed), b(seed);
    a.run();
    b.run();
    EXPECT_EQ(a.trace_hash(), b.trace_hash()) << "seed " << seed;
    EXPECT_EQ(a.totals().decisions, b.totals().decisions);
  }
}

}  // namespace
}  // namespace s3crate::sim
