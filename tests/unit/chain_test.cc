// SPDX-License-Identifier: GPL-3.0-or-later
// Every outcome of a commit's PUT, row by row as in volume/chain.h: what the store answers, what
// stands under the name, and what becomes of the commit and of the writer.
#include "volume/chain.h"

#include <gtest/gtest.h>

#include <deque>

#include "segment/object_names.h"
#include "store/memory_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/seeded_random.h"
#include "volume/create.h"

namespace s3crate::volume {
namespace {

// What the store answers to one PUT of a commit, and whether the object is there afterwards.
enum class Put {
  done,          // 200
  lost_reply,    // done, but nobody hears of it: a timeout
  unavailable,   // 503, or a timeout, and nothing done
  denied,        // 403
  not_offered,   // 501
  bad_settings,  // 400, of a storage class for one
  no_such_page,  // a gateway's 404, and nothing done
  nonsense,      // no answer to a PUT, though it is done
  landed_later,  // a timeout; it is done before the next call
  overwritten,   // 200, by a store without conditions, and then somebody puts other bytes
};

// Answers PUTs of commits by a script, then truly.
class ScriptedStore final : public store::ObjectStore {
 public:
  using ObjectStore::put;
  Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    if (!name.starts_with(segment::kCommitsPrefix)) return memory.put(name, parts);
    Bytes bytes;
    for (ByteView part : parts) append(bytes, part);
    puts.push_back(bytes);
    if (late) (void)memory.put(late->first, std::exchange(late, std::nullopt)->second);
    if (script.empty()) return memory.put(name, bytes);
    const Put how = script.front();
    script.pop_front();
    switch (how) {
      case Put::done: return memory.put(name, bytes);
      case Put::lost_reply: TRY(memory.put(name, bytes)); break;
      case Put::unavailable: break;
      case Put::denied: return fail(Code::kDenied, "not allowed to put {}", name);
      case Put::not_offered: return fail(Code::kUnsupported, "no conditional PUT");
      case Put::bad_settings: return fail(Code::kBadArgument, "no such storage class");
      case Put::no_such_page: return fail(Code::kNotFound, "no such page");
      case Put::nonsense:
        TRY(memory.put(name, bytes));
        return fail(Code::kCorrupt, "an answer that makes no sense");
      case Put::overwritten:
        TRY(memory.put(name, bytes));
        TRY(memory.remove(name));
        return memory.put(name, as_bytes("other bytes"));
      case Put::landed_later: late.emplace(name, bytes); break;
    }
    return fail(Code::kTransient, "no answer");
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max) override {
    if (auto it = hidden.find(name); it != hidden.end() && it->second-- > 0)
      return fail(Code::kNotFound, "{} is not to be seen yet", name);
    if (auto it = garbled.find(name); it != garbled.end() && it->second-- > 0)
      return fail(Code::kCorrupt, "{} came garbled", name);
    return memory.get(name, max);
  }
  Result<> get_range(const std::string& name, std::uint64_t at, MutableByteView out) override {
    return memory.get_range(name, at, out);
  }
  Result<store::ObjectInfo> head(const std::string& name) override { return memory.head(name); }
  Result<store::ListPage> list(const std::string& prefix, const std::string& after,
                               std::size_t max) override {
    ++lists;
    if (bad_lists > 0 && bad_lists-- > 0) return fail(Code::kCorrupt, "a list that makes no sense");
    return memory.list(prefix, after, max);
  }
  std::optional<WallTime> store_time() override { return time; }
  Result<> remove(const std::string& name) override { return memory.remove(name); }
  store::StoreCaps caps() const override {
    store::StoreCaps caps = memory.caps();
    caps.put_if_absent = conditions;
    if (remote) caps.local = false;
    return caps;
  }
  std::string describe() const override { return "scripted://"; }

  bool conditions = true, remote = false;
  store::MemoryStore memory;
  std::deque<Put> script;
  std::map<std::string, int> hidden;   // for so many GETs
  std::map<std::string, int> garbled;  // likewise
  std::vector<Bytes> puts;            // of commits
  int lists = 0, bad_lists = 0;
  std::optional<WallTime> time;
  std::optional<std::pair<std::string, Bytes>> late;
};

// What somebody else put under the number that is next.
enum class Winner { nobody, guest, two_guests, higher_epoch, same_epoch, broken, forged, other_parent };

struct Row {
  const char* name;
  Winner winner;
  std::deque<Put> answers;
  int hidden = 0;  // GETs of the name that answer 404 first
  Code expected;   // kExists: it is appended
  std::uint64_t above = 1;  // how far above the old head it then stands
  int garbled = 0;          // GETs of the name that come garbled first
  bool conditions = true;
};

constexpr Code kAppended = Code::kExists;

void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

class ChainTest : public testing::TestWithParam<Row> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(crypto::initialise());
    CreateOptions create_options;
    create_options.disk_bytes = 1 << 20;
    SlotRequest slot;
    slot.key_file = crypto::Secret::copy_of(key_);
    ASSERT_TRUE(create(env_, store_, create_options, {&slot, 1}));
    auto volume = Volume::open(env_, store_, keys(), {});
    ASSERT_TRUE(volume);
    volume_ = std::move(*volume);
    auto head = volume_->load_head();
    ASSERT_TRUE(head);
    chain_ = std::make_unique<Chain>(env_, *volume_, *head, [this](const Error&) { ++troubles_; });
    auto below = chain_->open_term(who(), [](const Commit&) -> Result<> { return {}; });
    ASSERT_TRUE(below) << below.error().message();
    store_.puts.clear();
  }

  KeySource keys() const {
    KeySource keys;
    keys.key_file = crypto::Secret::copy_of(key_);
    return keys;
  }
  static WriterIdentity who() {
    WriterIdentity who;
    who.host = "testhost";
    return who;
  }
  static CommitBody data() {
    CommitBody body;
    body.kind = CommitKind::data;
    body.disk_bytes = 1 << 20;
    body.committed = Seq(7);
    return body;
  }

  // A commit on top of what the store shows.
  Commit next(const std::function<void(Commit&)>& change) {
    Commit head = volume_->load_head().value();
    Commit commit;
    auto ring = volume_->keys();
    commit.header = {.vid = volume_->vid(),
                     .generation = head.header.generation.next(),
                     .parent = head.hash,
                     .keys_generation = keys_after(head),
                     .ring = ring->ring(),
                     .writer = ring->writer()};
    commit.body = head.body;
    commit.body.delta_base = newest_change(head);
    commit.body.runs.clear();
    commit.body.objects.clear();
    commit.body.roots.clear();
    commit.body.pending.reset();
    change(commit);
    return commit;
  }
  void put(Commit commit, const std::function<void(Bytes&)>& spoil = {}) {
    auto ring = volume_->keys();
    Bytes bytes =
        seal_commit(commit, ring->commit_sealing_key(), *ring->signer(), env_.random).value();
    if (spoil) spoil(bytes);
    ASSERT_TRUE(store_.memory.put(segment::commit_name(commit.header.generation), bytes));
  }
  void put_guest() {
    put(next([](Commit& c) {
      c.body.kind = CommitKind::tag;
      c.body.tags = {{"nightly", Generation(c.header.generation.value - 1)}};
    }));
  }
  void put_data(std::uint32_t epochs_above, const std::function<void(Bytes&)>& spoil = {}) {
    put(next([&](Commit& c) {
          c.body.kind = CommitKind::data;
          c.body.epoch += epochs_above;
          c.body.host = "otherhost";
        }),
        spoil);
  }
  void put_winner(Winner winner) {
    switch (winner) {
      case Winner::nobody: return;
      case Winner::two_guests: put_guest(); [[fallthrough]];
      case Winner::guest: return put_guest();
      case Winner::higher_epoch: return put_data(1);
      case Winner::same_epoch: return put_data(0);
      case Winner::broken: return put_data(0, [](Bytes& bytes) { bytes.resize(bytes.size() / 2); });
      case Winner::forged: return put_data(1, [](Bytes& bytes) { bytes.back() ^= 1; });
      case Winner::other_parent:
        return put(next([](Commit& c) {
          c.header.parent[0] ^= 1;
          c.body.kind = CommitKind::tag;
          c.body.tags = {{"nightly", Generation(1)}};
        }));
    }
  }

  Bytes key_ = Bytes(32, 9);
  ScriptedStore store_;
  Env env_ = system_env();
  std::unique_ptr<Volume> volume_;
  std::unique_ptr<Chain> chain_;
  int troubles_ = 0;
};

TEST_P(ChainTest, OutcomeIsAsTheTableSays) {
  const Row& row = GetParam();
  const Generation before = chain_->head();
  put_winner(row.winner);
  store_.script = row.answers;
  store_.conditions = row.conditions;
  if (row.hidden > 0) store_.hidden[segment::commit_name(before.next())] = row.hidden;
  if (row.garbled > 0) store_.garbled[segment::commit_name(before.next())] = row.garbled;

  const auto appended = chain_->append(data());
  // The same number is never tried with other bytes before its outcome is known.
  if (!row.answers.empty()) {
    EXPECT_GE(store_.puts.size(), row.answers.size());
    for (const Bytes& bytes : store_.puts) EXPECT_EQ(bytes, store_.puts[0]) << "the bytes were rebuilt";
  }
  if (row.expected == kAppended) {
    ASSERT_TRUE(appended) << appended.error().message();
    EXPECT_EQ(appended->generation.value, before.value + row.above);
    EXPECT_EQ(chain_->head(), appended->generation);
    // What is stored is what was put last, by us, on top of whatever came between.
    const auto stored = volume_->load_commit(appended->generation);
    ASSERT_TRUE(stored);
    EXPECT_EQ(stored->hash, appended->hash);
    EXPECT_EQ(stored->body.host, "testhost");
    EXPECT_EQ(stored->body.committed, Seq(7));
    const auto parent = volume_->load_commit(Generation(appended->generation.value - 1));
    ASSERT_TRUE(parent);
    EXPECT_EQ(stored->header.parent, parent->hash);
    EXPECT_TRUE(chain_->append(data())) << "and it goes on";
  } else {
    ASSERT_FALSE(appended);
    EXPECT_EQ(appended.error().code(), row.expected) << appended.error().message();
    const std::size_t puts = store_.puts.size();
    const auto again = chain_->append(data());
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code(), row.expected);
    EXPECT_EQ(store_.puts.size(), puts) << "a chain that ended asks the store for nothing more";
  }
  if (!row.answers.empty() && row.answers.front() != Put::done) {
    EXPECT_GE(troubles_, row.expected == kAppended ? 1 : 0) << "nobody heard of it";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, ChainTest,
    testing::Values(
        Row{"Stored", Winner::nobody, {Put::done}, 0, kAppended},
        Row{"ReplyLost", Winner::nobody, {Put::lost_reply}, 0, kAppended},
        Row{"ReplyLostAndNotToBeSeenAtFirst", Winner::nobody, {Put::lost_reply}, 2, kAppended},
        Row{"Unavailable", Winner::nobody, {Put::unavailable, Put::unavailable}, 0, kAppended},
        Row{"UnavailableThenReplyLost", Winner::nobody, {Put::unavailable, Put::lost_reply}, 0, kAppended},
        Row{"LandsLater", Winner::nobody, {Put::landed_later}, 0, kAppended},
        Row{"Denied", Winner::nobody, {Put::denied, Put::denied}, 0, kAppended},
        Row{"NoSuchPage", Winner::nobody, {Put::no_such_page, Put::no_such_page}, 0, kAppended},
        Row{"Nonsense", Winner::nobody, {Put::nonsense}, 0, kAppended},
        Row{"ReplyLostAndGarbledAtFirst", Winner::nobody, {Put::lost_reply}, 0, kAppended, 1, 3},
        Row{"NotOffered", Winner::nobody, {Put::not_offered, Put::not_offered}, 0, kAppended},
        Row{"StorageClassGone", Winner::nobody, {Put::bad_settings, Put::bad_settings}, 0, kAppended},
        Row{"Guest", Winner::guest, {}, 0, kAppended, 2},
        Row{"GuestNotToBeSeenAtFirst", Winner::guest, {}, 2, kAppended, 2},
        Row{"TwoGuests", Winner::two_guests, {}, 0, kAppended, 3},
        Row{"HigherEpoch", Winner::higher_epoch, {}, 0, Code::kFenced},
        Row{"HigherEpochAfterAnOutage", Winner::higher_epoch, {Put::unavailable}, 0, Code::kFenced},
        Row{"SameEpochAndNoGuest", Winner::same_epoch, {}, 0, Code::kFenced},
        Row{"Broken", Winner::broken, {}, 0, Code::kCorrupt},
        Row{"Forged", Winner::forged, {}, 0, Code::kCorrupt},
        Row{"StoredWithoutConditions", Winner::nobody, {Put::done}, 0, kAppended, 1, 0, false},
        Row{"OverwrittenWithoutConditions", Winner::nobody, {Put::overwritten}, 0, Code::kCorrupt, 1, 0, false},
        Row{"GuestOfAnotherHistory", Winner::other_parent, {}, 0, Code::kCorrupt}),
    [](const auto& info) { return std::string(info.param.name); });

// ---- Stores that lag behind ---------------------------------------------------------------------

class StaleChainTest : public ChainTest {};

TEST_F(StaleChainTest, ACommitThatMustBeThereIsWaitedForAndAllThatIsMissingNotForLong) {
  store_.remote = true;
  ASSERT_TRUE(chain_->append(data()));
  const auto head = volume_->load_head();
  ASSERT_TRUE(head);
  const std::string name = segment::commit_name(head->header.generation);
  test::FakeClock clock;
  test::FakeExecutor executor(clock);
  const auto volume = Volume::open({clock, system_random(), executor}, store_, keys(), {});
  ASSERT_TRUE(volume);
  ASSERT_TRUE((*volume)->load_head());
  store_.hidden[name] = 3;
  EXPECT_TRUE((*volume)->load_head());
  store_.hidden[name] = 3;
  EXPECT_TRUE((*volume)->load_commit({head->header.generation, head->hash}));
  EXPECT_TRUE(is((*volume)->load_commit(head->header.generation.next()), Code::kNotFound)) << "that is a question";
  const Duration begin = clock.now();
  store_.hidden[name] = 1000;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE((*volume)->load_commit({head->header.generation, head->hash}));
  EXPECT_GT(clock.now() - begin, std::chrono::seconds(2));
  EXPECT_LE(clock.now() - begin, std::chrono::seconds(15));
}

// ---- Absence ------------------------------------------------------------------------------------

class ChainAbsenceTest : public ChainTest {};

TEST_F(ChainAbsenceTest, AListThatMakesNoSenseDoesNotEndTheChain) {
  chain_->set_away_limit(Duration::zero());
  store_.bad_lists = 2;
  const auto appended = chain_->append(data());
  ASSERT_TRUE(appended) << appended.error().message();
  EXPECT_EQ(troubles_, 2);
  EXPECT_TRUE(chain_->append(data()));
}

// The clocks of a virtual machine that is halted from outside stand still, CLOCK_BOOTTIME too.
TEST_F(ChainAbsenceTest, TheStoresDateTellsThatTheMachineWasHalted) {
  store_.time = WallTime(std::chrono::hours(10));
  ASSERT_TRUE(chain_->append(data()));
  store_.lists = 0;
  *store_.time += std::chrono::minutes(10);
  ASSERT_TRUE(chain_->append(data()));
  EXPECT_EQ(store_.lists, 0) << "ten minutes are no absence";
  *store_.time += std::chrono::hours(20);
  ASSERT_TRUE(chain_->append(data()));
  EXPECT_EQ(store_.lists, 1);
  ASSERT_TRUE(chain_->append(data()));
  EXPECT_EQ(store_.lists, 1);
}

TEST_F(ChainAbsenceTest, AnAnswerThatMakesNoSenseIsNoProofThatConditionsAreIgnored) {
  auto head = volume_->load_head();
  ASSERT_TRUE(head);
  Chain second(env_, *volume_, *head, [this](const Error&) { ++troubles_; });
  store_.script = {Put::done, Put::no_such_page, Put::nonsense};
  const auto below = second.open_term(who(), [](const Commit&) -> Result<> { return {}; });
  ASSERT_TRUE(below) << below.error().message();
  EXPECT_EQ(store_.puts.size(), 3u);
  auto newest = volume_->load_head();
  ASSERT_TRUE(newest);
  Chain third(env_, *volume_, *newest, [](const Error&) {});
  store_.script = {Put::done, Put::not_offered};
  EXPECT_TRUE(is(third.open_term(who(), [](const Commit&) -> Result<> { return {}; }), Code::kDenied));
}

}  // namespace
}  // namespace s3crate::volume
