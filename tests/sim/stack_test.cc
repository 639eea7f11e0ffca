// SPDX-License-Identifier: GPL-3.0-or-later
// The whole stack from Disk down, by seeds: see stack_run.h. S3CRATE_STACK_SEEDS says how many seeds a case runs (400).
#include <chrono>

#include "tests/sim/scenario.h"
#include "tests/sim/stack_run.h"
#include "tests/support/seed.h"

namespace s3crate::sim {
namespace {

constexpr std::uint64_t kCases = 20;
constexpr std::uint64_t kSeedsThatMeetAll = 800;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* given = std::getenv(name);
  return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

std::uint64_t seeds_per_case() { return from_environment("S3CRATE_STACK_SEEDS", 400); }

class Stack : public testing::TestWithParam<std::uint64_t> {
 protected:
  static void TearDownTestSuite() {
    if (cases == 0) return;
    const double seconds = std::chrono::duration<double>(spent).count();
    fmt::print("{:.1f} seeds/s; {}", static_cast<double>(totals.seeds) / seconds, totals.to_string());
    EXPECT_GE(totals.crashes(), totals.seeds);
    EXPECT_GE(totals.operations, totals.seeds * StackRun::kOperations);
    if (totals.seeds < kSeedsThatMeetAll) return;
    // A hundred of each in 8,000 seeds, however they are divided.
    for (std::size_t i = 0; i < kFaultCount; ++i) {
      const auto fault = static_cast<Fault>(i);
      EXPECT_GE(totals.faults[fault] * 80, totals.seeds) << fault_name(fault) << " is too rare";
    }
    EXPECT_GE(totals.failpoints.hit() * 10, totals.failpoints.known() * 9);
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

// A writer that was taken over while it waited for room in its journal waited for ever: for uploads that were over.
TEST(Fencing, WhoWaitsForRoomInTheJournalHearsThatAnotherWriterTookOver) {
  StackWorld w(27, {.disk_bytes = 4 << 20});
  w.run([&] {
    device::DiskOptions options = lazy_options();
    options.delta_runs_max = 10'000;
    Mount first(w, w.world.disk(), options);
    ASSERT_OK(first.open());
    bool away = true;
    first.hooks.before = [&](store::Verb, const std::string&) -> Result<> {
      if (away) return fail(Code::kTransient, "no way to the store");
      return {};
    };
    std::optional<Error> told;
    auto client = w.world.executor().spawn("client", [&] {
      for (std::uint64_t i = 0; !told; i = (i + 1) % 256) {
        auto done = first.disk().write(i * 16384, pattern(16384, i));
        if (done) done = first.disk().flush();
        if (!done) told = done.error();
      }
    });
    w.sleep(2min);
    EXPECT_FALSE(told) << "the journal is not full";
    device::DiskOptions others = lazy_options();
    others.take_over = true;
    Mount second(w, w.world.add_disk(), others);
    ASSERT_OK(second.open());
    away = false;
    for (int i = 0; i < 600 && !told; ++i) w.sleep(1s);
    EXPECT_TRUE(told && told->code() == Code::kFenced) << (told ? told->message() : "it waits");
    if (!told) first.kill();
    client.reset();
  });
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

// Any seed, to look at one that failed.
TEST(StackSeed, Given) {
  StackRun run(from_environment("S3CRATE_STACK_SEED", 1));
  run.run();
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
