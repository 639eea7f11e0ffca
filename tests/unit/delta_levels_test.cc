// SPDX-License-Identifier: GPL-3.0-or-later
// The levels of the delta base beside a plain model: what any generation's reader finds, and how
// many commits it reads.
#include "volume/delta_levels.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>

#include "tests/support/commit_gen.h"
#include "tests/support/sanitized.h"

namespace s3crate::volume {
namespace {

using test::Gen;

constexpr std::uint64_t kBlocks = 100;
constexpr std::size_t kUnbounded = 1 << 30;

// A chain of commits, and what must be read from it.
class Model {
 public:
  explicit Model(Gen& gen, std::size_t bytes_max)
      : bytes_max_(bytes_max), gen_(gen), levels_({}, {}, bytes_max) {
    commits_[0] = {};
    state_[0] = {};
  }

  [[nodiscard]] Generation head() const { return head_; }
  [[nodiscard]] const DeltaLevels& levels() const { return levels_; }
  [[nodiscard]] Generation as_of() const { return as_of_; }

  // Others commit; nothing changes.
  void guests(std::uint64_t n) { head_ = head_ + n; }

  Changes own_changes() {
    Changes own;
    RunMap runs;
    for (std::uint64_t n = 1 + gen_.below(3); n > 0; --n) runs.put(random_run());
    own.runs = runs.runs();
    if (gen_.below(4) != 0) {
      ObjectInfo info;
      info.key.id = segment::ObjectId::of(1, ++ids_);
      own.objects.push_back(info);
    }
    return own;
  }

  void data() {
    Changes own = own_changes();
    const Generation g = head_.next();
    RunMap state = state_.at(newest_.value);
    for (const Run& run : own.runs) state.put(run);
    const std::size_t own_runs = own.runs.size();
    for (ObjectInfo& info : own.objects) info.born = g;
    born_.insert(born_.end(), own.objects.begin(), own.objects.end());
    DeltaLevels::Plan plan = levels_.plan(g, std::move(own));
    EXPECT_TRUE(plan.changes.runs.size() == own_runs ||
                encoded_max(plan.changes.runs, plan.changes.objects) <= bytes_max_);
    const CommitRef ref{g, gen_.array<32>()};
    levels_.committed(ref, plan.base, plan.changes.runs, plan.changes.objects);
    levels_.check_invariants();
    commits_[g.value] = {ref, plan.base, newest_, std::move(plan.changes)};
    state_[g.value] = std::move(state);
    head_ = newest_ = g;
  }
  // Its outcome was another than hoped for.
  void aborted_data() { (void)levels_.plan(head_ + 1 + gen_.below(20), own_changes()); }
  void checkpoint() {
    // As of some commit with changes, the newest or one of those before it.
    auto it = std::prev(state_.end());
    for (std::uint64_t back = gen_.below(6); back > 0 && it != state_.begin(); --back) --it;
    if (Generation(it->first) < as_of_) return;
    as_of_ = Generation(it->first);
    head_ = head_.next();
    levels_.checkpoint(as_of_);
    levels_.check_invariants();
  }

  struct Read {
    std::vector<BaseCommit> commits;  // newest first
    CommitRef below;
  };
  [[nodiscard]] Read read(Generation g, Generation as_of) const {
    Read out;
    CommitRef next = std::prev(commits_.upper_bound(g.value))->second.ref;
    for (; next.generation > as_of; next = commits_.at(next.generation.value).base) {
      EXPECT_EQ(commits_.at(next.generation.value).ref, next);
      out.commits.push_back({next, commits_.at(next.generation.value).changes});
    }
    out.below = next;
    return out;
  }
  void reopen() {
    const Read found = read(head_, as_of_);
    levels_ = DeltaLevels(found.commits, found.below, as_of_, bytes_max_);
    levels_.check_invariants();
  }
  // As a program that knows no levels would go on.
  void plain_data() {
    Changes own = own_changes();
    const Generation g = head_.next();
    RunMap state = state_.at(newest_.value);
    for (const Run& run : own.runs) state.put(run);
    for (ObjectInfo& info : own.objects) info.born = g;
    born_.insert(born_.end(), own.objects.begin(), own.objects.end());
    const CommitRef ref{g, gen_.array<32>()};
    commits_[g.value] = {ref, commits_.at(newest_.value).ref, newest_, std::move(own)};
    state_[g.value] = std::move(state);
    head_ = newest_ = g;
  }

  // A reader of g, whose checkpoint holds all up to `as_of`, finds what is there. Answers how many
  // commits of each level it reads.
  std::array<int, DeltaLevels::kLevelMax + 1> expect_found(Generation g, Generation as_of) const {
    std::array<int, DeltaLevels::kLevelMax + 1> levels{};
    const Read found = read(g, as_of);
    RunMap state = std::prev(state_.upper_bound(as_of.value))->second;
    std::vector<ObjectInfo> objects;
    for (auto it = found.commits.rbegin(); it != found.commits.rend(); ++it) {
      for (const Run& run : it->changes.runs) state.put(run);
      for (const ObjectInfo& info : it->changes.objects)
        if (info.born > as_of) objects.push_back(info);
      ++levels[level_of(it->ref.generation)];
    }
    EXPECT_EQ(state.runs(), std::prev(state_.upper_bound(g.value))->second.runs())
        << "generation " << g.value;
    std::vector<ObjectInfo> born;
    for (const ObjectInfo& info : born_)
      if (info.born > as_of && info.born <= g) born.push_back(info);
    std::ranges::sort(objects, {}, &ObjectInfo::key);
    EXPECT_EQ(objects, born) << "generation " << g.value;
    return levels;
  }
  void expect_chain_known() const {
    std::vector<Generation> chain;
    for (const BaseCommit& commit : read(head_, as_of_).commits)
      chain.insert(chain.begin(), commit.ref.generation);
    EXPECT_EQ(levels_.chain(), chain);
  }

 private:
  struct Stored {
    CommitRef ref, base;
    Generation before;  // the commit with changes before it
    Changes changes;
  };
  Run random_run() {
    Run run;
    run.block = BlockIndex(gen_.below(kBlocks));
    run.count = 1 + gen_.below(std::min<std::uint64_t>(8, kBlocks - run.block.value));
    run.hole = gen_.below(4) == 0;
    if (!run.hole) run.extent.number = static_cast<std::uint32_t>(++extents_);
    return run;
  }
  std::size_t level_of(Generation g) const {
    const std::uint64_t before = commits_.at(g.value).before.value;
    for (int k = DeltaLevels::kLevelMax;; --k)
      if (before >> 4 * k != g.value >> 4 * k) return static_cast<std::size_t>(k);
  }

  const std::size_t bytes_max_;
  Gen& gen_;
  DeltaLevels levels_;
  Generation head_, newest_, as_of_;
  std::map<std::uint64_t, Stored> commits_;
  std::map<std::uint64_t, RunMap> state_;
  std::vector<ObjectInfo> born_;
  std::uint64_t ids_ = 0, extents_ = 0;
};

TEST(DeltaLevels, EveryGenerationIsFoundByFifteenCommitsALevel) {
  SEEDED_TEST(seed);
  for (std::uint64_t round = 0; round < (test::kSanitized ? 5 : 15); ++round) {
    Gen gen(seed + round);
    Model model(gen, kUnbounded);
    const std::uint64_t checkpoints = gen.coin() ? 30 : 1;  // of 1000 steps
    const std::uint64_t guests = gen.coin() ? 50 : 5;
    for (int step = 0; step < 500 && !testing::Test::HasFailure(); ++step) {
      const std::uint64_t what = gen.below(1000);
      if (what < checkpoints)
        model.checkpoint();
      else if (what < checkpoints + guests)
        model.guests(1 + gen.up_to(gen.below(10) == 0 ? 40'000 : 3));
      else if (what < checkpoints + guests + 30)
        model.aborted_data();
      else if (what < checkpoints + guests + 60)
        model.reopen();
      else
        model.data();
      const auto levels = model.expect_found(model.head(), model.as_of());
      for (int n : levels) EXPECT_LE(n, 15);
      model.expect_chain_known();
    }
    EXPECT_EQ(model.levels().passed_over(), Generation(0));
  }
}

// Also by a reader who has an older checkpoint, or none.
TEST(DeltaLevels, GenerationsOfThePastStayAsTheyWere) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  Model model(gen, kUnbounded);
  std::vector<std::pair<Generation, Generation>> readers;
  for (int step = 0; step < 800; ++step) {
    if (gen.below(100) == 0) model.checkpoint();
    if (gen.below(50) == 0) model.reopen();
    model.data();
    readers.emplace_back(model.head(), model.as_of());
  }
  for (const auto& [g, as_of] : readers)
    for (int n : model.expect_found(g, as_of)) EXPECT_LE(n, 15);
}

TEST(DeltaLevels, WithoutCheckpointAndGuestsNumbersAreThoseOfTheDigits) {
  Gen gen(1);
  Model model(gen, kUnbounded);
  for (std::uint64_t g = 1; g <= 5000; ++g) {
    model.data();
    std::size_t digits = 0;
    for (std::uint64_t n = g; n > 0; n >>= 4) digits += n & 15;
    ASSERT_EQ(model.levels().chain().size(), digits) << g;
    if (g % 97 == 0) model.reopen();
  }
}

TEST(DeltaLevels, TooManyChangesPassLevelsOverAndLoseNothing) {
  SEEDED_TEST(seed);
  int passed_over = 0;
  for (std::uint64_t round = 0; round < 20; ++round) {
    Gen gen(seed + round);
    const std::size_t bytes_max = 200 + gen.below(4000);
    Model model(gen, bytes_max);
    for (int step = 0; step < 300 && !testing::Test::HasFailure(); ++step) {
      const std::uint64_t what = gen.below(100);
      if (what < 2)
        model.checkpoint();
      else if (what < 6)
        model.guests(1 + gen.below(20));
      else if (what < 10)
        model.reopen();
      else
        model.data();
      EXPECT_LE(model.levels().bytes(), bytes_max);
      model.expect_found(model.head(), model.as_of());
      model.expect_chain_known();
    }
    passed_over += model.levels().passed_over() > Generation(0);
  }
  EXPECT_GT(passed_over, 5);
}

TEST(DeltaLevels, WritersWithoutLevelsBeforeAreGoneOnFrom) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  Model model(gen, kUnbounded);
  for (int i = 0; i < 200; ++i) model.plain_data();
  model.reopen();
  EXPECT_EQ(model.levels().chain().size(), 200u);
  model.expect_found(model.head(), model.as_of());
  while (model.head() < Generation(300)) {
    model.data();
    model.expect_found(model.head(), model.as_of());
    model.expect_chain_known();
  }
  EXPECT_LE(model.levels().chain().size(), 45u);
}

// A writer that does not know what was changed before begins each level at its next multiple.
TEST(DeltaLevels, UnknownChangesAreNotRepeated) {
  const CommitRef newest{Generation(20), {1}};
  DeltaLevels levels(newest, {Generation(5), Generation(20)});
  Changes own;
  own.runs = {{.block = BlockIndex(1), .count = 1, .hole = true, .first = 0, .extent = {}}};
  CommitRef before = newest;
  for (std::uint64_t g = 21; g < 60; ++g) {
    const auto plan = levels.plan(Generation(g), own);
    const bool first_of_level = g % 16 == 0 && g > 32;
    EXPECT_EQ(plan.base.generation, first_of_level ? Generation(g - 16) : before.generation) << g;
    before = {Generation(g), {2}};
    levels.committed(before, plan.base, plan.changes.runs, plan.changes.objects);
    levels.check_invariants();
    EXPECT_EQ(levels.passed_over(), Generation(g < 32 ? 0 : 32));
  }
}

TEST(DeltaLevels, BoundOfTheEncodedFormHolds) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (int i = 0; i < 300; ++i) {
    CommitBody body;
    body.disk_bytes = segment::kDiskBytesMax;
    const std::size_t empty = encode_body(body).size();
    body.runs = gen.runs(gen.below(40), segment::kDiskBlocksMax, true);
    for (const ObjectKey& key :
         gen.ascending<ObjectKey>(gen.below(5), [&] { return gen.object_key(); }))
      body.objects.push_back(
          test::random_info(gen, key, segment::ObjectKind::segment, Generation(1ull << 40)));
    // Of the counts, and of three objects that the runs refer to.
    EXPECT_LE(encode_body(body).size(), empty + encoded_max(body.runs, body.objects) + 60);
  }
}

}  // namespace
}  // namespace s3crate::volume
