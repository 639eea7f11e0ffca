// SPDX-License-Identifier: GPL-3.0-or-later
// Commits as the chain writes them and volumes read them: what they repeat, among guests,
// checkpoints, other writers and wrong hints; beside a plain model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "segment/object_names.h"
#include "store/memory_store.h"
#include "store/metered_store.h"
#include "tests/support/assert_ok.h"
#include "tests/support/commit_gen.h"
#include "tests/support/open_chain.h"
#include "volume/create.h"

namespace s3crate::volume {
namespace {

using test::Gen;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t kBlocks = 256;

class ChainLevelsTest : public testing::Test {
 protected:
  void SetUp() override {
    CreateOptions options;
    options.disk_bytes = kBlocks * 4096;
    SlotRequest slot;
    slot.key_file = crypto::Secret::copy_of(key_);
    ASSERT_OK(create(env_, memory_, options, {&slot, 1}));
    ASSERT_NO_FATAL_FAILURE(mount());
  }
  std::unique_ptr<Volume> open_volume() {
    KeySource keys;
    keys.key_file = crypto::Secret::copy_of(key_);
    auto volume = Volume::open(env_, store_, keys, {});
    EXPECT_TRUE(volume);
    return std::move(*volume);
  }
  // A new writer goes on.
  void mount() {
    volume_ = open_volume();
    auto head = volume_->load_head();
    ASSERT_OK(head);
    auto chain = test::open_chain(env_, *volume_, *head);
    ASSERT_OK(chain);
    chain_ = std::move(*chain);
  }

  CommitBody body_of(CommitKind kind) const {
    CommitBody body;
    body.kind = kind;
    body.disk_bytes = kBlocks * 4096;
    return body;
  }
  CommitBody random_data() {
    CommitBody body = body_of(CommitKind::data);
    ObjectInfo info = test::random_info(gen_, {0, segment::ObjectId::of(1, ++ids_)},
                                        segment::ObjectKind::segment, Generation(1));
    info.born = Generation(0);
    RunMap runs;
    for (std::uint64_t n = 1 + gen_.below(4); n > 0; --n) {
      segment::Run run{.block = BlockIndex(gen_.below(kBlocks)),
                       .count = 1,
                       .hole = gen_.coin(),
                       .first = 0,
                       .extent = {}};
      if (!run.hole) {
        run.extent = gen_.extent_ref();
        run.extent.object = info.key;
      }
      runs.put(run);
    }
    body.runs = runs.runs();
    body.objects = {info};
    return body;
  }
  void committed(CommitBody body, Generation g) {
    for (const segment::Run& run : body.runs) now_.put(run);
    for (ObjectInfo info : body.objects) {
      info.born = g;
      born_.push_back(info);
    }
    newest_ = g;
    states_[g.value] = now_;
  }
  void data() {
    CommitBody body = random_data();
    auto done = chain_->append(body);
    ASSERT_OK(done);
    committed(body, done->generation);
  }
  void checkpoint() { checkpoint(newest_); }
  void checkpoint(Generation as_of) {
    CommitBody body = body_of(CommitKind::checkpoint);
    body.checkpoint.as_of = as_of;
    ASSERT_OK(chain_->append(std::move(body)));
  }
  // Seals what another program would put on top of the newest commit.
  void put(const std::function<void(Commit&)>& change) {
    auto head = reader().load_head();
    ASSERT_OK(head);
    Commit commit;
    const auto keys = reader().keys();
    commit.header = {.vid = reader().vid(),
                     .generation = head->header.generation.next(),
                     .parent = head->hash,
                     .keys_generation = keys_after(*head),
                     .ring = keys->ring(),
                     .writer = keys->writer()};
    commit.body = head->body;
    commit.body.runs.clear();
    commit.body.objects.clear();
    commit.body.extensions.clear();
    commit.body.delta_base = newest_change(*head);
    change(commit);
    auto bytes = seal_commit(commit, keys->commit_sealing_key(), *keys->signer(), env_.random);
    ASSERT_OK(bytes);
    ASSERT_OK(memory_.put(segment::commit_name(commit.header.generation), *bytes));
  }
  void guest() {
    put([](Commit& c) {
      c.body.kind = CommitKind::tag;
      c.body.tags = {{"t", Generation(1)}};
    });
  }
  // By a program without levels and hints.
  void plain_data() {
    CommitBody body = random_data();
    Generation g;
    put([&](Commit& c) {
      c.body.kind = CommitKind::data;
      g = c.header.generation;
      c.body.runs = body.runs;
      c.body.objects = body.objects;
      c.body.objects[0].born = g;
    });
    committed(std::move(body), g);
  }

  // Beside the writer.
  Volume& reader() {
    if (!reader_) reader_ = open_volume();
    return *reader_;
  }
  // What a reader sees of generation g is what the model says. Answers the commits it read.
  std::uint64_t expect_view(Generation g) {
    auto commit = reader().load_commit(g);
    EXPECT_TRUE(commit);
    auto view = reader().load_view(*commit);
    EXPECT_TRUE(view) << view.error().message();
    if (!view) return 0;
    const Generation as_of = view->checkpoint.as_of;
    RunMap state = as_of == Generation(0) ? RunMap() : states_.at(as_of.value);
    for (const segment::Run& run : view->changes.runs()) state.put(run);
    const auto expected = states_.upper_bound(g.value);
    EXPECT_EQ(state.runs(), expected == states_.begin() ? std::vector<segment::Run>()
                                                        : std::prev(expected)->second.runs())
        << g.value;
    std::vector<ObjectInfo> born;
    for (const ObjectInfo& info : born_)
      if (info.born > as_of && info.born <= g) born.push_back(info);
    std::ranges::sort(view->new_objects, {}, &ObjectInfo::key);
    EXPECT_EQ(view->new_objects, born) << g.value;
    return view->change_commits;
  }
  std::uint64_t gets() const { return store_.stats()[store::Verb::get].calls; }
  Commit load(Generation g) { return reader().load_commit(g).value(); }
  Generation newest_there() { return reader().newest_commit().value().value(); }

  const std::uint64_t seed_ = test::test_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", seed_)};
  Gen gen_{seed_};
  Bytes key_ = Bytes(32, 9);
  store::MemoryStore memory_;
  Env env_ = system_env();
  store::MeteredStore store_{env_.clock, memory_};
  std::unique_ptr<Volume> volume_, reader_;
  std::unique_ptr<Chain> chain_;
  std::uint64_t ids_ = 0;
  Generation newest_;
  RunMap now_;
  std::map<std::uint64_t, RunMap> states_;
  std::vector<ObjectInfo> born_;
};

TEST_F(ChainLevelsTest, EveryGenerationIsWhatItWasWhateverCameBetween) {
  for (int i = 0; i < 600 && !HasFailure(); ++i) {
    const std::uint64_t what = gen_.below(100);
    if (what < 10)
      guest();
    else if (what < 12 && newest_ > Generation(0))
      checkpoint();
    else if (what < 15)
      mount();
    else
      data();
  }
  const Generation head = newest_there();
  for (std::uint64_t g = 1; g <= head.value && !HasFailure(); g += 1 + gen_.below(7))
    EXPECT_LE(expect_view(Generation(g)), 46u);  // 45, and g's own
  EXPECT_LE(expect_view(head), 46u);
}

// A generation whose every write was dropped still has a segment, of an index only.
TEST_F(ChainLevelsTest, ObjectsWithoutRunsAreAChangeToo) {
  data();
  CommitBody body = random_data();
  body.runs.clear();
  auto done = chain_->append(body);
  ASSERT_OK(done);
  committed(body, done->generation);
  expect_view(newest_);
  ASSERT_NO_FATAL_FAILURE(mount());
  for (int i = 0; i < 40; ++i) data();
  expect_view(newest_);
}

// By another program, which takes any commit for one with changes.
TEST_F(ChainLevelsTest, BaseWithoutChangesIsReadAndGoneOnFrom) {
  data();
  put([&](Commit& c) {
    c.body.kind = CommitKind::tag;
    c.body.tags = {{"t", Generation(1)}};
  });
  const auto parent = reader().load_head();
  put([&](Commit& c) {
    c.body.kind = CommitKind::tag;
    c.body.tags = {{"u", Generation(1)}};
    c.body.delta_base = {parent->header.generation, parent->hash};
  });
  ASSERT_NO_FATAL_FAILURE(mount());
  for (int i = 0; i < 20; ++i) data();
  expect_view(newest_);
}

TEST_F(ChainLevelsTest, GuestThatTakesTheMultipleMovesTheLevelToTheNextCommit) {
  while (chain_->head() < Generation(15)) data();
  guest();  // 16
  data();
  const Commit seventeen = load(chain_->head());
  EXPECT_EQ(seventeen.header.generation, Generation(17));
  EXPECT_EQ(seventeen.body.delta_base.generation, Generation(0));  // all since the empty disk
  EXPECT_EQ(expect_view(Generation(17)), 1u);
  // Objects are repeated with the generation that each was born in; history counts the new one
  // only.
  EXPECT_EQ(seventeen.body.objects.size(), 14u);  // 3 to 15, and 17
  int born_here = 0;
  for (const ObjectInfo& info : seventeen.body.objects) born_here += info.born == Generation(17);
  EXPECT_EQ(born_here, 1);
}

TEST_F(ChainLevelsTest, WhatTheCheckpointHoldsIsNotRepeated) {
  while (chain_->head() < Generation(20)) data();
  checkpoint();  // 21, as of 20
  while (chain_->head() < Generation(34)) data();
  const Commit level = load(Generation(32));
  EXPECT_EQ(level.body.delta_base.generation, Generation(20));
  EXPECT_EQ(level.body.objects.size(), 11u);  // 22 to 32
  EXPECT_EQ(expect_view(Generation(32)), 1u);
  // But for the rest of the level that is under way. It is in the object table already.
  while (chain_->head() < Generation(45)) data();
  checkpoint(Generation(40));  // 46
  while (chain_->head() < Generation(48)) data();
  EXPECT_EQ(load(Generation(48)).body.delta_base.generation, Generation(32));
  EXPECT_EQ(load(Generation(48)).body.objects.size(), 15u);  // 33 to 48
  EXPECT_EQ(expect_view(Generation(48)), 1u);
  const auto view = volume_->load_view(load(Generation(48)));
  EXPECT_EQ(view->new_objects.size(), 7u);  // 41 to 48
  while (chain_->head() < Generation(64)) data();
  EXPECT_EQ(expect_view(Generation(64)), 2u);
}

TEST_F(ChainLevelsTest, WritersWithoutLevelsAreReadAndGoneOnFrom) {
  for (int i = 0; i < 100; ++i) plain_data();
  EXPECT_EQ(expect_view(newest_), 100u);
  const auto before = gets();
  mount();
  EXPECT_LE(gets() - before, 106u);
  EXPECT_TRUE(chain_->wants_checkpoint());
  while (chain_->head() < Generation(256)) data();
  EXPECT_EQ(expect_view(chain_->head()), 1u);
  EXPECT_FALSE(chain_->wants_checkpoint());
  // And the other way round.
  for (int i = 0; i < 40; ++i) plain_data();
  expect_view(newest_);
  mount();
  for (int i = 0; i < 40; ++i) data();
  expect_view(newest_);
}

TEST_F(ChainLevelsTest, HintNamesWhatIsReadBelowTheDeltaBase) {
  while (chain_->head() < Generation(35)) data();
  const Commit commit = load(Generation(35));
  EXPECT_EQ(commit.body.delta_base.generation, Generation(34));
  EXPECT_THAT(bases_hint(commit.body), ElementsAre(Generation(33), Generation(32), Generation(16)));
  guest();  // 36; it says nothing
  data();   // 37
  EXPECT_THAT(bases_hint(load(Generation(37)).body),
              ElementsAre(Generation(34), Generation(33), Generation(32), Generation(16)));
  checkpoint();  // 38, as of 37
  EXPECT_THAT(bases_hint(load(Generation(38)).body), IsEmpty());
  data(), data(), data();
  EXPECT_THAT(bases_hint(load(Generation(41)).body), ElementsAre(Generation(39)));
}

TEST_F(ChainLevelsTest, WrongHintsCostTimeOnly) {
  while (chain_->head() < Generation(47)) data();
  const std::uint64_t right = expect_view(newest_);
  const Commit head = load(newest_);
  const std::vector<std::vector<std::uint64_t>> wrong = {
      {}, {45, 44, 43, 12, 1}, {46, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20}, {2}};
  for (const auto& hint : wrong) {
    put([&](Commit& c) {
      c.body.kind = CommitKind::tag;
      c.body.tags = {{"t", Generation(1)}};
      std::vector<Generation> bases;
      for (std::uint64_t g : hint) bases.emplace_back(g);
      put_bases_hint(c.body, bases);
    });
    EXPECT_EQ(expect_view(newest_there()), right + 1);
  }
  // Neither do bytes that make no sense.
  for (const Bytes& value :
       {Bytes{0x80}, Bytes(300, 0xff), Bytes{0}, Bytes(3, 0x7f), Bytes{1, 1, 0, 5}}) {
    put([&](Commit& c) {
      c.body.kind = CommitKind::tag;
      c.body.tags = {{"t", Generation(1)}};
      c.body.extensions = {{5, false, value}};
    });
    expect_view(newest_there());
  }
}

// Its signature is the writer's; but what it names must be what is there.
TEST_F(ChainLevelsTest, BaseThatIsNotTheNamedOneIsDamageWhateverTheHintSays) {
  while (chain_->head() < Generation(20)) data();
  put([&](Commit& c) {
    c.body.kind = CommitKind::tag;
    c.body.tags = {{"t", Generation(1)}};
    c.body.delta_base.hash[3] ^= 1;
    const std::vector<Generation> bases = {Generation(19), Generation(18)};
    put_bases_hint(c.body, bases);
  });
  auto view = reader().load_view(reader().load_head().value());
  EXPECT_TRUE(is(view, Code::kCorrupt));
}

TEST_F(ChainLevelsTest, ManyGuestsWantACheckpoint) {
  data();
  for (int i = 0; i < 255; ++i) guest();
  data();
  EXPECT_FALSE(chain_->wants_checkpoint());
  guest();
  data();
  EXPECT_TRUE(chain_->wants_checkpoint());
  checkpoint();
  EXPECT_FALSE(chain_->wants_checkpoint());
}

}  // namespace
}  // namespace s3crate::volume
