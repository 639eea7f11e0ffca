// SPDX-License-Identifier: GPL-3.0-or-later
// Guests beside a writer: every number taken before them, replies lost, take-overs, halted machines,
// stores that are away or ignore conditions. Under the load of a writer that never pauses: tests/sim/scenario_guest_test.cc.
#include "volume/guest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "segment/object_names.h"
#include "store/memory_store.h"
#include "tests/support/assert_ok.h"
#include "tests/support/commit_gen.h"
#include "tests/support/fake_clock.h"
#include "volume/chain.h"
#include "volume/create.h"

namespace s3crate::volume {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// What becomes of a PUT of a commit: `before` comes first, then it is stored or not, and answered or not.
class PartedStore final : public store::ObjectStore {
 public:
  explicit PartedStore(store::MemoryStore& memory) : memory_(memory) {}
  using ObjectStore::put;
  Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    if (!name.starts_with(segment::kCommitsPrefix)) {
      return ignores_conditions ? Result<>() : memory_.put(name, parts);
    }
    ++puts;
    if (before) before();
    if (away) return fail(Code::kTransient, "no answer");
    auto stored = memory_.put(name, parts);
    if (lost_replies > 0) {
      --lost_replies;
      if (after_lost) after_lost();
      return fail(Code::kTransient, "no answer");
    }
    return stored;
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max) override {
    return memory_.get(name, max);
  }
  Result<> get_range(const std::string& name, std::uint64_t at, MutableByteView out) override {
    return memory_.get_range(name, at, out);
  }
  Result<store::ObjectInfo> head(const std::string& name) override { return memory_.head(name); }
  Result<store::ListPage> list(const std::string& prefix, const std::string& after, std::size_t max) override {
    return memory_.list(prefix, after, max);
  }
  Result<> remove(const std::string& name) override { return memory_.remove(name); }
  store::StoreCaps caps() const override { return memory_.caps(); }
  std::string describe() const override { return "parted://"; }

  std::function<void()> before, after_lost;
  int lost_replies = 0;
  bool away = false, ignores_conditions = false;
  int puts = 0;

 private:
  store::MemoryStore& memory_;
};

class GuestTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(crypto::initialise());
    CreateOptions options;
    options.disk_bytes = 1 << 20;
    SlotRequest slot;
    slot.key_file = crypto::Secret::copy_of(key_);
    ASSERT_OK(create(env_, memory_, options, {&slot, 1}));
    writer_volume_ = open_volume(memory_);
    chain_ = take_over(*writer_volume_);
    guest_volume_ = open_volume(store_);
  }
  std::unique_ptr<Volume> open_volume(store::ObjectStore& store) {
    KeySource keys;
    keys.key_file = crypto::Secret::copy_of(key_);
    auto volume = Volume::open(env_, store, keys, {});
    CHECK(volume);
    return std::move(*volume);
  }
  std::unique_ptr<Chain> take_over(Volume& volume) {
    auto head = volume.load_head();
    CHECK(head);
    auto chain = std::make_unique<Chain>(env_, volume, *head, [](const Error&) {});
    CHECK(chain->open_term({.epoch = 0, .instance = {}, .home = {}, .host = "writer", .journal = journal_},
                           [](const Commit&) -> Result<> { return {}; }));
    return chain;
  }
  static CommitBody body_of(CommitKind kind) {
    CommitBody body;
    body.kind = kind;
    return body;
  }
  // The writer overwrites a block.
  Result<CommitRef> write() {
    CommitBody body = body_of(CommitKind::data);
    ObjectInfo info = test::random_info(gen_, {0, segment::ObjectId::of(chain_->who().epoch, ++ids_)},
                                        segment::ObjectKind::segment, Generation(1));
    info.born = Generation(0);
    segment::Run run{.block = BlockIndex(ids_ % 16), .count = 1, .hole = false, .first = 0, .extent = gen_.extent_ref()};
    run.extent.object = info.key;
    body.runs = {run};
    body.objects = {info};
    body.committed = Seq(ids_);
    body.unsent_bytes = 77;
    return chain_->append(std::move(body));
  }
  Result<CommitRef> tag(std::string name, Generation named = Generation(1)) {
    Guest guest(env_, *guest_volume_, {.home = {}, .host = "guest"}, [this](const Error&) { ++troubles_; }, limits_);
    Commit head = TRY(guest_volume_->load_head());
    CommitBody body = body_of(CommitKind::tag);
    body.tags = {{std::move(name), named}};
    return guest.append(std::move(head), body, [this](const Commit& winner) -> Result<> {
      winners_.push_back(winner.header.generation.value);
      return {};
    });
  }
  // All of the chain, newest first, each verified and named by its successor.
  std::vector<Commit> history() {
    auto volume = open_volume(memory_);
    std::vector<Commit> out;
    out.push_back(volume->load_head().value());
    while (out.back().header.generation > Generation(1)) {
      const Commit& above = out.back();
      auto below = volume->load_commit({Generation(above.header.generation.value - 1), above.header.parent});
      EXPECT_TRUE(below) << below.error().message();
      if (!below) break;
      out.push_back(std::move(*below));
    }
    return out;
  }
  std::vector<segment::Run> runs_at(const Commit& commit) {
    auto volume = open_volume(memory_);
    CHECK(volume->load_head());
    auto view = volume->load_view(commit);
    EXPECT_TRUE(view) << view.error().message();
    return view ? view->changes.runs() : std::vector<segment::Run>();
  }

  const Bytes key_ = Bytes(32, 9);
  const Uuid journal_{1, 2, 3};
  test::FakeClock clock_;
  test::FakeExecutor executor_{clock_};
  const Env env_{clock_, system_random(), executor_};
  store::MemoryStore memory_;
  PartedStore store_{memory_};
  std::unique_ptr<Volume> writer_volume_, guest_volume_;
  std::unique_ptr<Chain> chain_;
  GuestLimits limits_;
  test::Gen gen_{1};
  std::uint64_t ids_ = 0;
  int troubles_ = 0;
  std::vector<std::uint64_t> winners_;
};

TEST_F(GuestTest, StandsBetweenTheWritersCommitsAndSaysOfThemWhatItsParentSays) {
  ASSERT_OK(write());
  const auto tagged = tag("nightly", Generation(3));
  ASSERT_OK(tagged);
  EXPECT_EQ(tagged->generation, Generation(4));
  const auto written = write();
  ASSERT_OK(written);
  EXPECT_EQ(written->generation, Generation(5));
  EXPECT_FALSE(chain_->broken());

  const auto commits = history();
  ASSERT_EQ(commits.size(), 5u);
  const CommitBody &guest = commits[1].body, &below = commits[2].body;
  EXPECT_EQ(guest.kind, CommitKind::tag);
  EXPECT_THAT(guest.tags, ElementsAre(Tag{"nightly", Generation(3)}));
  EXPECT_EQ(guest.host, "guest");
  EXPECT_EQ(guest.epoch, below.epoch);
  EXPECT_EQ(guest.term, Generation(2));
  EXPECT_EQ(guest.journal, journal_);
  EXPECT_EQ(guest.committed, below.committed);
  EXPECT_EQ(guest.unsent_bytes, 77u);
  EXPECT_EQ(guest.disk_bytes, below.disk_bytes);
  EXPECT_EQ(guest.delta_base.generation, Generation(3));
  EXPECT_EQ(runs_at(commits[1]), runs_at(commits[2]));
}

TEST_F(GuestTest, FindsAnyNumberOfItsNumbersTakenAndTheWriterGoesOn) {
  for (std::uint64_t taken = 0; taken < 20; ++taken) {
    SCOPED_TRACE(taken);
    winners_.clear();
    const Generation before = chain_->head();
    std::uint64_t left = taken;
    store_.before = [&] {
      if (left == 0) return;
      --left;
      EXPECT_TRUE(write());
    };
    const auto tagged = tag(fmt::format("tag{}", taken));
    ASSERT_OK(tagged);
    EXPECT_EQ(tagged->generation.value, before.value + taken + 1);
    std::vector<std::uint64_t> expected;
    for (std::uint64_t i = 1; i <= taken; ++i) expected.push_back(before.value + i);
    EXPECT_EQ(winners_, expected) << "each winner is looked at, once";
    ASSERT_OK(write());
  }
  store_.before = {};
  // A mount finds the bases of a guest by its hint, as of any other commit.
  const auto commits = history();
  EXPECT_EQ(commits.size(), chain_->head().value);
  for (const Commit& commit : commits) {
    if (commit.body.kind != CommitKind::tag) continue;
    const auto below = std::ranges::find(commits, Generation(commit.header.generation.value - 1),
                                         [](const Commit& c) { return c.header.generation; });
    ASSERT_NE(below, commits.end());
    EXPECT_EQ(runs_at(commit), runs_at(*below));
    const auto expected = has_changes(below->body) ? bases_above(below->body, Generation(0)) : bases_hint(below->body);
    EXPECT_EQ(bases_hint(commit.body), expected);
  }
}

TEST_F(GuestTest, KnowsItsOwnCommitAfterALostReply) {
  store_.lost_replies = 1;
  const auto tagged = tag("lost");
  ASSERT_OK(tagged);
  EXPECT_EQ(troubles_, 1);
  EXPECT_THAT(winners_, IsEmpty());
  ASSERT_OK(write());
  EXPECT_EQ(history()[1].hash, tagged->hash);
}

TEST_F(GuestTest, KnowsItsOwnCommitWhenTheWriterStandsOnItAlready) {
  store_.lost_replies = 1;
  store_.after_lost = [&] { EXPECT_TRUE(write()); };
  const auto tagged = tag("lost");
  ASSERT_OK(tagged);
  const auto commits = history();
  ASSERT_EQ(commits.size(), 4u);
  EXPECT_EQ(commits[1].hash, tagged->hash);
  EXPECT_EQ(commits[0].body.kind, CommitKind::data);
}

TEST_F(GuestTest, StandsOnATakeOverAndTheNewWriterGoesOn) {
  std::unique_ptr<Chain> first;
  auto second_volume = open_volume(memory_);
  store_.before = [&] {
    if (first) return;
    first = std::move(chain_);
    chain_ = take_over(*second_volume);
  };
  const auto tagged = tag("over");
  ASSERT_OK(tagged);
  EXPECT_THAT(winners_, ElementsAre(3u));
  ASSERT_OK(write());
  const auto commits = history();
  EXPECT_EQ(commits[1].body.kind, CommitKind::tag);
  EXPECT_EQ(commits[1].body.epoch, 2u);
  EXPECT_EQ(commits[1].body.term, Generation(3));
  EXPECT_TRUE(is(first->append(body_of(CommitKind::data)), Code::kFenced)) << "that is who is fenced";
}

TEST_F(GuestTest, TagsAVolumeThatIsClosed) {
  ASSERT_OK(write());
  const auto closed = chain_->append(body_of(CommitKind::close));
  ASSERT_OK(closed);
  ASSERT_OK(tag("closed"));
  const auto commits = history();
  EXPECT_EQ(commits[0].body.kind, CommitKind::tag);
  EXPECT_EQ(commits[0].body.term, closed->generation) << "it is closed still";
  auto next_volume = open_volume(memory_);
  chain_ = take_over(*next_volume);
  ASSERT_OK(write());
}

TEST_F(GuestTest, EndsWhenAWinnerSaysSo) {
  store_.before = [&] { EXPECT_TRUE(write()); };
  Guest guest(env_, *guest_volume_, {}, [](const Error&) {});
  auto head = guest_volume_->load_head();
  ASSERT_OK(head);
  CommitBody body = body_of(CommitKind::untag);
  body.tags = {{"gone", Generation(1)}};
  const auto done = guest.append(*head, body, [](const Commit&) -> Result<> { return fail(Code::kExists, "somebody else did"); });
  EXPECT_TRUE(is(done, Code::kExists));
  EXPECT_EQ(store_.puts, 1);
}

TEST_F(GuestTest, DoesNotTryForEverAgainstAWriterThatIsFaster) {
  limits_.tries = 7;
  store_.before = [&] { EXPECT_TRUE(write()); };
  const auto tagged = tag("never");
  ASSERT_TRUE(is(tagged, Code::kTransient));
  EXPECT_THAT(tagged.error().message(), HasSubstr("faster"));
  EXPECT_EQ(store_.puts, 7);
  store_.before = {};
  ASSERT_OK(tag("then"));
}

TEST_F(GuestTest, DoesNotWaitForEverForAStoreThatIsAway) {
  store_.away = true;
  const Duration begin = clock_.now();
  const auto tagged = tag("away");
  ASSERT_TRUE(is(tagged, Code::kTransient));
  EXPECT_THAT(tagged.error().message(), HasSubstr("did not say within 2 min"));
  EXPECT_EQ(clock_.now() - begin, limits_.time);
  EXPECT_GT(troubles_, 5);
}

TEST_F(GuestTest, StoresNothingWhereConditionsAreIgnored) {
  ASSERT_OK(write());
  store_.ignores_conditions = true;
  EXPECT_TRUE(is(tag("danger"), Code::kDenied));
  EXPECT_EQ(store_.puts, 0);
}

TEST_F(GuestTest, RefusesAWinnerOfAnotherHistory) {
  store_.before = [&] {
    store_.before = {};
    Commit commit;
    const auto keys = writer_volume_->keys();
    const Commit head = writer_volume_->load_head().value();
    commit.header = {.vid = writer_volume_->vid(), .generation = head.header.generation.next(), .parent = head.hash,
                     .keys_generation = Generation(1), .ring = keys->ring(), .writer = keys->writer()};
    commit.header.parent[0] ^= 1;
    commit.body.kind = CommitKind::data;
    commit.body.epoch = head.body.epoch;
    commit.body.disk_bytes = head.body.disk_bytes;
    const auto bytes = seal_commit(commit, keys->commit_sealing_key(), *keys->signer(), env_.random);
    ASSERT_OK(bytes);
    ASSERT_OK(memory_.put(segment::commit_name(commit.header.generation), *bytes));
  };
  EXPECT_TRUE(is(tag("other"), Code::kCorrupt));
}

// The machine slept between looking at the head and the PUT, and a prune deleted the data commit whose number it tries.
TEST_F(GuestTest, IsNoPartOfTheHistoryIfItSleptWhileThatWentOnAndWasPruned) {
  store_.before = [&] {
    if (store_.puts > 1) return;
    const auto pruned = write();
    ASSERT_OK(pruned);
    ASSERT_OK(write());
    ASSERT_OK(memory_.remove(segment::commit_name(pruned->generation)));
    clock_.advance(std::chrono::hours(30));
  };
  limits_.time = std::chrono::hours(100);
  const auto tagged = tag("late");
  ASSERT_FALSE(tagged);
  EXPECT_TRUE(is(tagged, Code::kTransient) || is(tagged, Code::kCorrupt)) << tagged.error().message();
}

}  // namespace
}  // namespace s3crate::volume
