// SPDX-License-Identifier: GPL-3.0-or-later
// Forgeries made with a reader's keys, by somebody who may write to the store: whatever can be
// opened can be sealed, so seals say nothing against a reader. Digests and hashes that signed
// commits name do, and signatures, which a reader has no key for.
#include "tests/support/sealed_extent.h"
#include "tests/support/seeded_random.h"
#include "tests/support/tamper_trial.h"
#include "volume/origins.h"
#include "volume/page.h"
#include "volume/timeline.h"

namespace s3crate::test {
namespace {

using segment::ExtentRef;
using segment::ObjectInfo;
using segment::ObjectKind;
using volume::Commit;
using volume::CommitKind;
using volume::Page;
using volume::PageRef;

class TamperForgeryTest : public TamperTrial {
 protected:
  void SetUp() override {
    auto reader = volume::Volume::open(world_.env(), store_, world_.readers_keys(), {});
    ASSERT_TRUE(reader) << reader.error().message();
    reader_ = std::move(*reader);
    ASSERT_TRUE(reader_->load_head());
    ASSERT_TRUE(keys().reads_data());
    ASSERT_EQ(keys().signer(), nullptr);
    auto volume = volume::Volume::open(world_.env(), store_, world_.disk_world().keys(), {});
    ASSERT_TRUE(volume && (*volume)->load_head());
    volume_ = std::move(*volume);
    for (std::uint64_t g = 1; g <= world_.newest().value; ++g) {
      commits_.push_back(volume_->load_commit(Generation(g)).value());
      const Commit& commit = commits_.back();
      for (const ObjectInfo& info : commit.body.objects) infos_[info.key] = info;
      for (const segment::Run& run : commit.body.runs)
        if (!run.hole) extents_[run.extent.object][run.extent.number] = run.extent;
    }
  }
  // What seals forgeries.
  [[nodiscard]] const volume::KeyRing& keys() const { return *reader_->keys(); }
  [[nodiscard]] const Commit& head() const { return commits_.back(); }
  [[nodiscard]] static std::string name_of(const ObjectInfo& info) {
    return volume::stored_name(info);
  }

  // Other data in the place of an extent, sealed as the writer would have.
  Bytes forged_extent(const ObjectInfo& info, const ExtentRef& ref) {
    const crypto::Secret secret = keys().open_data_box(info.ring, info.sealed_secret).value();
    const ByteView sealed = ByteView(stored(name_of(info))).subspan(volume::extents_base(info) + ref.offset, ref.length);
    const auto key = segment::extent_opening_key(secret, volume_->vid());
    const auto raw = segment::open_extent(key, ref.number, ref.digest, sealed, TamperWorld::kBlock);
    const auto sealing = segment::extent_sealing_key(secret, volume_->vid());
    if (is(raw, Code::kLost)) {
      Bytes out;
      segment::seal_lost_extent(sealing, random_, ref.number, 1, TamperWorld::kBlock, out);
      ++lost_;
      return out;
    }
    for (std::uint8_t mask = 1; mask != 0; ++mask) {
      Bytes other(raw->begin(), raw->end());
      for (std::uint8_t& byte : other) byte ^= mask;
      Bytes out = test::sealed_extent(sealing, random_, ref.number, other, TamperWorld::kBlock,
                                      world_.disk_world().options.compression_level);
      if (out.size() == ref.length) return out;
    }
    ADD_FAILURE() << "nothing else is as long";
    return {};
  }
  void put_into(const std::string& name, std::size_t at, const Bytes& bytes) {
    Bytes object = *now_.at(name);
    std::memcpy(object.data() + at, bytes.data(), bytes.size());
    change(name, std::move(object));
  }

  // The segment with an index that names what is in it now, signed by the reader as `writer`.
  void forge_index(const ObjectInfo& info, std::uint32_t writer) {
    const Bytes object = *now_.at(name_of(info));
    auto header =
        segment::decode_segment_header(ByteView(object).first(segment::segment_header_size()))
            .value();
    const ByteView tail = ByteView(object).subspan(info.index_offset);
    auto index = segment::open_segment_index(
                     header, tail.first(info.index_length), tail.subspan(info.index_length),
                     info.length, keys().segment_signer(header.writer).value(),
                     *keys().index_opening_key(header.ring).value(), TamperWorld::kBlock)
                     .value();
    for (segment::IndexedExtent& extent : index.extents)
      extent.digest = crypto::digest(ByteView(object).subspan(extent.offset, extent.length));
    header.writer = writer;
    Bytes out = segment::encode_segment_header(header);
    append(out, ByteView(object).subspan(out.size(), info.index_offset - out.size()));
    append(out, segment::finish_segment(header, info.index_offset, index,
                                        keys().index_sealing_key(), world_.reader().signer, random_)
                    .tail);
    change(name_of(info), std::move(out));
  }

  // Calls `each` with every page below a reference.
  void for_each_page(const PageRef& ref,
                     const std::function<void(const PageRef&, const Page&)>& each) {
    const auto page = volume_->pages().load(ref).value();
    each(ref, *page);
    if (page->base) for_each_page(*page->base, each);
    if (page->kind != volume::PageKind::inner) return;
    for (const volume::PageEntry& entry : page->entries)
      for_each_page(volume::decode_page_ref(entry.value).value(), each);
  }
  // A page that says something else: two of its values have changed places, or one of a companion's has another bit.
  static std::optional<Page> other_page(const Page& page) {
    const bool runs = page.tree == volume::TreeId::map && page.kind != volume::PageKind::inner;
    for (std::size_t i = 1; i < page.entries.size(); ++i) {
      const volume::PageEntry &a = page.entries[0], &b = page.entries[i];
      if (a.value == b.value) continue;
      // Runs must not overlap then.
      if (runs && volume::decode_run(a)->count != volume::decode_run(b)->count) continue;
      Page other = page;
      std::swap(other.entries[0].value, other.entries[i].value);
      return other;
    }
    if (page.tree == volume::TreeId::map || page.kind == volume::PageKind::inner || page.entries.empty()) return std::nullopt;
    Page other = page;
    other.entries[0].value.front() ^= 1;
    return other;
  }
  // Another page, sealed into the place of one.
  void put_page(const PageRef& ref, const Page& page) {
    const std::string name = segment::object_name(ObjectKind::map, ref.object.id, ref.nonce);
    const Bytes& whole = stored(name);
    Bytes object(whole.begin(), whole.begin() + ref.offset);
    const PageRef made = seal_page({.vid = volume_->vid(), .id = ref.object.id}, ref.nonce,
                                   keys().ring(), page, keys().page_sealing_key(), random_, object);
    ASSERT_EQ(made.length, ref.length);
    append(object, ByteView(whole).subspan(object.size()));
    change(name, std::move(object));
  }

  // Signed by the reader, who says that he is `writer`.
  void put_commit(Commit commit, std::uint32_t writer) {
    commit.header.writer = writer;
    auto bytes = seal_commit(commit, keys().commit_sealing_key(), world_.reader().signer, random_);
    ASSERT_TRUE(bytes) << bytes.error().message();
    change(segment::commit_name(commit.header.generation), std::move(*bytes));
  }
  [[nodiscard]] Commit next(CommitKind kind) const {
    Commit commit;
    commit.header = head().header;
    commit.header.generation = head().header.generation.next();
    commit.header.parent = head().hash;
    commit.header.keys_generation = volume::keys_after(head());
    commit.body = head().body;
    commit.body.kind = kind;
    commit.body.pending.reset();
    commit.body.delta_base = volume::newest_change(head());
    commit.body.objects.clear();
    commit.body.runs.clear();
    return commit;
  }
  // The newest commit is nobody's: nothing opens, nothing older is shown, and it is named.
  void expect_refused(const std::string& name) {
    const auto seen = world_.look(now_, TamperWorld::Trust::nothing);
    EXPECT_EQ(seen.wrong, "");
    EXPECT_FALSE(seen.blocks);
    ASSERT_TRUE(seen.report);
    EXPECT_TRUE(seen.report->disk_lost);
    EXPECT_TRUE(std::ranges::any_of(
        seen.report->damages, [&](const volume::Damage& damage) { return damage.object == name; }));
  }

  ShelfStore store_{world_.shelf()};
  SeededRandom random_{1};
  std::unique_ptr<volume::Volume> reader_, volume_;  // as the owner sees it, to look things up
  std::vector<Commit> commits_;
  std::map<segment::ObjectKey, ObjectInfo> infos_;
  std::map<segment::ObjectKey, std::map<std::uint32_t, ExtentRef>> extents_;
  std::size_t lost_ = 0;  // extents, of those that were forged
};

constexpr std::uint32_t kOwner = 0, kNobody = 1;

TEST_F(TamperForgeryTest, ExtentIsRefused) {
  for (const auto& [key, extents] : extents_) {
    for (const auto& [number, ref] : extents) {
      SCOPED_TRACE(fmt::format("extent {} of {}", number, name_of(infos_.at(key))));
      const ObjectInfo& info = infos_.at(key);
      put_into(name_of(info), volume::extents_base(info) + ref.offset, forged_extent(info, ref));
      expect_right_or_told();
      restore();
    }
  }
  EXPECT_GT(lost_, 0u);
}

TEST_F(TamperForgeryTest, IndexIsRefused) {
  for (const auto& [key, info] : infos_) {
    if (info.kind != ObjectKind::segment) continue;
    for (const std::uint32_t writer : {kOwner, kNobody, volume::kAdminWriter}) {
      SCOPED_TRACE(fmt::format("{} by writer {}", name_of(info), writer));
      forge_index(info, writer);
      expect_right_or_told();
      restore();
    }
    // With the extents that it names.
    for (const auto& [number, ref] : extents_[key])
      put_into(name_of(info), ref.offset, forged_extent(info, ref));
    forge_index(info, kOwner);
    expect_right_or_told();
    restore();
  }
}

TEST_F(TamperForgeryTest, PageIsRefused) {
  std::map<volume::TreeId, std::size_t> forged;
  for (const Commit& commit : commits_) {
    for (const volume::TreeRoot& root : commit.body.roots) {
      for_each_page(root.page, [&](const PageRef& ref, const Page& page) {
        const auto other = other_page(page);
        if (!other || encode_page(*other).size() != encode_page(page).size()) return;
        SCOPED_TRACE(fmt::format("page at {} of object {:x}, tree {}", ref.offset,
                                 ref.object.id.value, static_cast<int>(page.tree)));
        put_page(ref, *other);
        expect_right_or_told();
        restore();
        ++forged[page.tree];
      });
    }
  }
  for (const auto tree : {volume::TreeId::map, volume::TreeId::objects, volume::TreeId::liveness, volume::TreeId::dead,
                          volume::TreeId::catalogue, volume::TreeId::tags})
    EXPECT_GT(forged[tree], 0u) << static_cast<int>(tree);
}

// A check is not all that reads them: what a name means, and which commit a generation is.
TEST_F(TamperForgeryTest, PageOfTheHistorySaysNothing) {
  std::map<volume::TreeId, std::size_t> refused;
  const Commit& checkpoint = commits_.at(head().body.checkpoint.commit.value - 1);
  const auto meaning = [&](const Shelf& shelf) {
    ShelfStore store(shelf);
    auto volume = volume::Volume::open(world_.env(), store, world_.disk_world().keys(), {}).value();
    volume::Timeline timeline(*volume, volume->load_head().value());
    std::vector<std::optional<segment::Hash>> out;
    const auto note = [&](const Result<segment::Hash>& hash) { out.push_back(hash ? std::optional(*hash) : std::nullopt); };
    const auto tag = timeline.find_tag("nightly");
    note(tag && *tag ? timeline.hash((*tag)->generation) : fail(Code::kNotFound, "no such tag"));
    for (Generation g(1); g <= head().header.generation; g = g.next()) note(timeline.hash(g));
    return out;
  };
  const auto right = meaning(world_.shelf());
  const auto unknown = [](const auto& list) { return std::ranges::any_of(list, [](const auto& one) { return !one; }); };
  ASSERT_FALSE(unknown(right));
  for (const volume::TreeRoot& root : checkpoint.body.roots) {
    if (root.tree != volume::TreeId::catalogue && root.tree != volume::TreeId::tags) continue;
    for_each_page(root.page, [&](const PageRef& ref, const Page& page) {
      const auto other = other_page(page);
      if (!other || encode_page(*other).size() != encode_page(page).size()) return;
      put_page(ref, *other);
      const auto seen = meaning(now_);
      for (std::size_t i = 0; i < right.size(); ++i)
        EXPECT_TRUE(!seen[i] || seen[i] == right[i]) << i;
      refused[root.tree] += unknown(seen);
      restore();
    });
  }
  EXPECT_GT(refused[volume::TreeId::catalogue], 0u);
  EXPECT_GT(refused[volume::TreeId::tags], 0u);
}

TEST_F(TamperForgeryTest, CheckpointIsRefused) {
  const Commit* older = nullptr;
  for (const Commit& commit : commits_) {
    if (commit.body.kind != CommitKind::checkpoint) continue;
    if (older != nullptr) {  // its pages are the writer's own
      Commit forged = commit;
      forged.body.roots = older->body.roots;
      forged.body.checkpoint.roots_hash = crypto::blake2b(encode_roots(forged.body.roots));
      for (const std::uint32_t writer : {kOwner, kNobody, volume::kAdminWriter}) {
        put_commit(forged, writer);
        expect_right_or_told();
        restore();
      }
    }
    older = &commit;
  }
  ASSERT_NE(older, nullptr);
  EXPECT_EQ(older->header.generation, head().body.checkpoint.commit);
}

// The same content, sealed and signed anew.
TEST_F(TamperForgeryTest, CommitInThePlaceOfAnotherIsRefused) {
  for (const Commit& commit : commits_) {
    SCOPED_TRACE(commit.header.generation.value);
    for (const std::uint32_t writer : {kOwner, kNobody, volume::kAdminWriter}) {
      if (commit.keys && writer != volume::kAdminWriter) continue;
      put_commit(commit, writer);
      expect_right_or_told();
      restore();
    }
  }
}

TEST_F(TamperForgeryTest, CommitOnTopOfTheNewestIsRefused) {
  const std::string name = segment::commit_name(head().header.generation.next());
  for (const CommitKind kind :
       {CommitKind::open, CommitKind::data, CommitKind::compact, CommitKind::tag, CommitKind::untag,
        CommitKind::pin, CommitKind::condemn, CommitKind::resize, CommitKind::close,
        CommitKind::stores, CommitKind::config}) {
    for (const std::uint32_t writer : {kOwner, kNobody, volume::kAdminWriter}) {
      SCOPED_TRACE(fmt::format("{} by writer {}", kind_name(kind), writer));
      Commit commit = next(kind);
      if (kind == CommitKind::open) commit.body.epoch++;
      if (kind == CommitKind::resize) commit.body.disk_bytes = TamperWorld::kBlock;
      if (kind == CommitKind::data)  // what all blocks were is gone
        commit.body.runs = {{.block = BlockIndex(0),
                             .count = TamperWorld::kBlocks,
                             .hole = true,
                             .first = 0,
                             .extent = {}}};
      put_commit(commit, writer);
      expect_refused(name);
      restore();
    }
  }
}

// A reader who would make himself a writer.
TEST_F(TamperForgeryTest, KeysAreRefused) {
  Commit keys = next(CommitKind::keys);
  const Commit& now = commits_.at(volume::keys_after(head()).value - 1);
  keys.keys = now.keys;
  keys.keys->previous_keys = now.header.generation;
  keys.keys->next_admin = world_.reader().signer.verify_key();
  keys.keys->writers.push_back({world_.reader().signer.verify_key(), world_.reader().id(),
                                volume::kAppend | volume::kChange | volume::kMaintain,
                                keys.header.generation});
  const std::string name = segment::commit_name(keys.header.generation);
  put_commit(keys, volume::kAdminWriter);
  change(segment::keys_copy_name(keys.header.generation), *now_.at(name));
  expect_refused(name);
  // The copy alone: the store is said to hide what came after it.
  change(name, std::nullopt);
  expect_refused(segment::commit_name(head().header.generation));
}

}  // namespace
}  // namespace s3crate::test
