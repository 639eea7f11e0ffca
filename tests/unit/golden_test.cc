// SPDX-License-Identifier: GPL-3.0-or-later
// Volumes that earlier versions made (tests/golden) open, in every generation, and go on.
#include "tests/golden/golden.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "device/disk.h"
#include "device/import.h"
#include "journal/journal.h"
#include "store/dir_store.h"
#include "store/memory_store.h"
#include "store/origin_stores.h"
#include "tests/support/assert_ok.h"
#include "tests/support/memory_image.h"
#include "tests/support/temp_dir.h"
#include "volume/check.h"
#include "volume/check_objects.h"
#include "volume/checkpoint_mark.h"
#include "volume/history.h"
#include "volume/noted.h"
#include "volume/rollback.h"

namespace s3crate {
namespace {

using test::GoldenGeneration;
using test::GoldenManifest;

class Golden : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ASSERT_OK(crypto::initialise());
    const char* source = std::getenv("abs_top_srcdir");
    base_ = fmt::format("{}/tests/golden/{}", source ? source : ".", GetParam());
    std::ifstream text(base_ + ".txt");
    ASSERT_TRUE(text.is_open()) << "no " << base_
                                << ".txt; abs_top_srcdir says where the sources are";
    std::stringstream whole;
    whole << text.rdbuf();
    manifest_ = test::parse_golden(whole);
    ASSERT_EQ(test::format_golden(manifest_), whole.str());
    unpack(".tar.gz", place_);
    store_.emplace(io::posix_file_io(), system_random(), place_);
    stores_ = store::OriginStores(*store_);
    if (!std::filesystem::exists(base_ + ".origin.tar.gz")) return;
    unpack(".origin.tar.gz", dir_ / "origin");
    origin_.emplace(io::posix_file_io(), system_random(), dir_ / "origin");
    stores_.attach(*origin_, "the origin");
  }

  void unpack(const std::string& which, const std::string& place) {
    const std::string command = fmt::format("mkdir '{0}' && tar -C '{0}' -xzf '{1}{2}'", place, base_, which);
    ASSERT_EQ(std::system(command.c_str()), 0);
  }

  Result<std::unique_ptr<volume::Volume>> open(bool by_passphrase = false) {
    volume::KeySource keys;
    Bytes key(32);
    if (!from_hex(manifest_.key, key)) return fail(Code::kBadArgument, "the manifest's key");
    if (!by_passphrase) keys.key_file = crypto::Secret::copy_of(key);
    keys.passphrase = [&]() -> Result<std::optional<Bytes>> {
      return Bytes(manifest_.passphrase.begin(), manifest_.passphrase.end());
    };
    return volume::Volume::open(system_env(), stores_, keys, {});
  }

  void expect_generations(volume::Volume& volume, std::size_t every) {
    for (std::size_t i = 0; i < manifest_.generations.size(); i += every) {
      SCOPED_TRACE(fmt::format("generation {}", i + 1));
      const auto commit = volume.load_commit(Generation(i + 1));
      ASSERT_OK(commit);
      const auto content = test::golden_content(system_env(), volume, *commit);
      ASSERT_OK(content);
      const auto got = test::golden_generation(volume::kind_name(commit->body.kind), *content);
      ASSERT_EQ(got, manifest_.generations[i]);
    }
  }

  device::DiskOptions options(bool read_only) {
    device::DiskOptions out;
    out.read_only = read_only;
    out.take_over = true;
    out.moved = true;
    out.state_dir = dir_ / "state";
    out.host = "here";
    out.home = {"here", place_};
    out.url = "file://" + place_;
    out.journal_bytes = 64 << 20;
    out.checkpoint_runs = 4;
    return out;
  }

  // The readable part of the newest generation is what it was.
  void expect_newest(device::Disk& disk, const GoldenGeneration& expected) {
    Bytes content(disk.size());
    const std::size_t block = disk.block_size();
    for (std::size_t at = 0; at < content.size(); at += block) {
      const auto out = MutableByteView(content).subspan(at, block);
      const auto read = disk.read(at, out);
      if ((is(read, Code::kCorrupt) || is(read, Code::kLost)) && manifest_.damaged > 0)
        std::ranges::fill(out, test::kUnreadable);
      else
        ASSERT_OK(read);
    }
    EXPECT_EQ(test::golden_generation(expected.kind, content), expected);
  }

  GoldenManifest manifest_;
  std::string base_;
  test::TempDir dir_;
  const std::string place_ = dir_ / "store";
  std::optional<store::DirStore> store_, origin_;
  store::OriginStores stores_{none_};

 private:
  store::MemoryStore none_;
};

TEST_P(Golden, EveryGenerationReadsAsItWas) {
  auto volume = open(!manifest_.passphrase.empty());
  ASSERT_OK(volume);
  EXPECT_EQ((*volume)->object().block_size(), manifest_.block);
  const auto head = (*volume)->load_head();
  ASSERT_OK(head);
  ASSERT_EQ(head->header.generation.value, manifest_.generations.size());
  EXPECT_EQ(head->body.kind != volume::CommitKind::close, manifest_.open);
  ASSERT_NO_FATAL_FAILURE(expect_generations(**volume, 1));

  std::map<std::string, std::uint64_t> tags;
  auto history = volume::History::open(**volume);
  ASSERT_OK(history);
  const auto entries = history->next(10'000);
  ASSERT_OK(entries);
  EXPECT_EQ(entries->size(), manifest_.generations.size());
  for (const auto& entry : *entries) {
    EXPECT_EQ(entry.problem, "");
    for (const std::string& tag : entry.tags) tags[tag] = entry.generation.value;
  }
  EXPECT_EQ(tags, manifest_.tags);

  const auto report = volume::check(system_env(), **volume, {.read_data = true});
  ASSERT_OK(report);
  EXPECT_EQ(report->damaged_bytes, manifest_.damaged);
  EXPECT_EQ(report->clean(), manifest_.damaged == 0);
  EXPECT_EQ(report->strangers, 0u);
}

TEST_P(Golden, IsMountedAndGoesOn) {
  const GoldenGeneration newest = manifest_.generations.back();
  const std::size_t block = manifest_.block;
  const Bytes data(3 * block, 0x5a);
  Bytes got(data.size());
  for (const bool read_only : {true, false, false}) {
    auto volume = open();
    ASSERT_OK(volume);
    auto disk = device::Disk::open(system_env(), io::posix_file_io(), **volume, options(read_only));
    ASSERT_OK(disk);
    if (!(*disk)->read(0, got) || got != data) {
      ASSERT_NO_FATAL_FAILURE(expect_newest(**disk, newest));
    }
    if (read_only) continue;
    // Over what is there, so that pages and objects of then are amended and die.
    ASSERT_OK((*disk)->write(0, data));
    // Parts of damaged blocks would be waited for.
    const std::size_t part = manifest_.damaged == 0 ? block / 2 : 0;
    for (std::size_t at = 0; at + block < newest.disk_bytes; at += 5 * block)
      ASSERT_OK((*disk)->write(at + part, ByteView(data).first(block - part)));
    ASSERT_OK((*disk)->write(0, data));
    ASSERT_OK((*disk)->sync());
    ASSERT_OK((*disk)->close(std::chrono::minutes(1)));
  }
  auto volume = open();
  ASSERT_OK(volume);
  ASSERT_OK((*volume)->load_head());
  auto disk = device::Disk::open(system_env(), io::posix_file_io(), **volume, options(true));
  ASSERT_OK(disk);
  ASSERT_OK((*disk)->read(0, got));
  EXPECT_EQ(got, data);
  const auto report = volume::check(system_env(), **volume, {.read_data = true});
  ASSERT_OK(report);
  EXPECT_EQ(report->clean(), manifest_.damaged == 0);
  ASSERT_NO_FATAL_FAILURE(expect_generations(**volume, 16));
}

// What a volume holds, in all its generations.
struct Holdings {
  std::set<volume::TreeId> trees;
  int levels = 0, delta_pages = 0, carried = 0, late = 0, hints = 0, repeats = 0, holes = 0;
  int resizes = 0, imports = 0;
  int segments = 0;  // of one generation, the most
  int noted = 0, states = 0, marks = 0, fingerprinted = 0;
};

Result<> look_at_pages(volume::Volume& volume, const volume::PageRef& ref, int level,
                       Holdings& out) {
  const auto page = volume.pages().load(ref);
  if (is(page, Code::kCorrupt)) return {};
  out.levels = std::max(out.levels, level);
  if (TRY(page)->base) ++out.delta_pages;
  for (const volume::PageEntry& entry : (*page)->entries)
    if (level > 0)
      TRY(look_at_pages(volume, TRY(volume::decode_page_ref(entry.value)), level - 1, out));
  return {};
}

Result<Holdings> holdings(volume::Volume& volume) {
  Holdings out;
  const volume::Commit head = TRY(volume.load_head());
  for (Generation g(1); g <= head.header.generation; g = g.next()) {
    const volume::CommitBody body = TRY(volume.load_commit(g)).body;
    const bool checkpoint = body.kind == volume::CommitKind::checkpoint;
    for (const volume::TreeRoot& root : body.roots) out.trees.insert(root.tree);
    for (const volume::TreeRoot& root : body.roots)
      if (root.tree == volume::TreeId::map) TRY(look_at_pages(volume, root.page, root.level, out));
    if (checkpoint && !body.runs.empty()) ++out.carried;
    if (checkpoint && !body.extensions.empty()) ++out.late;
    if (!volume::bases_hint(body).empty()) ++out.hints;
    if (!checkpoint && g.value > 16 && g.value - body.delta_base.generation.value > 200)
      ++out.repeats;
    if (body.kind == volume::CommitKind::resize) ++out.resizes;
    if (volume::is_import(body)) ++out.imports;
    if (volume::is_noted(body)) ++out.noted;
    if (volume::map_state(body)) ++out.states;
    for (const segment::ObjectInfo& info : body.objects) {
      std::uint64_t bytes = 0;
      if (body.kind != volume::CommitKind::data || info.born != g) continue;
      const auto index = volume::read_segment_index(volume, info, bytes);
      if (index && volume::checkpoint_mark(*index)) ++out.marks;
      if (index && !volume::fingerprints_in(*index, *volume.keys()).empty()) ++out.fingerprinted;
    }
    if (body.kind == volume::CommitKind::data)
      out.segments = std::max(out.segments, static_cast<int>(std::ranges::count(
                                                body.objects, g, &segment::ObjectInfo::born)));
    for (const auto& run : body.runs) out.holes += run.hole ? 1 : 0;
  }
  return out;
}

TEST_P(Golden, HoldsWhatItIsFor) {
  auto volume = open();
  ASSERT_OK(volume);
  const auto holds = holdings(**volume);
  ASSERT_OK(holds);
  if (GetParam() == "mixed") {
    EXPECT_EQ(holds->trees.size(), 6u);
    EXPECT_GE(holds->levels, 2);
    EXPECT_GT(holds->delta_pages, 0);
    EXPECT_GT(holds->late, 0);
  }
  if (GetParam() == "carried") {
    EXPECT_GT(holds->carried, 0);
  } else {
    EXPECT_GT(holds->holes, 0);
  }
  if (GetParam() == "levels") {
    EXPECT_GT(holds->repeats, 0);
    EXPECT_GT(holds->hints, 200);
  }
  if (GetParam() == "resized") {
    EXPECT_EQ(holds->resizes, 3);
    EXPECT_GE(holds->segments, 3);
  }
  if (GetParam() == "lost") {
    EXPECT_EQ(manifest_.damaged, 2 * 4096);
    EXPECT_GT(holds->noted, 0);
    EXPECT_GT(holds->states, 0);
    EXPECT_GT(holds->marks, 0);
  }
  if (GetParam() == "forked") {
    EXPECT_EQ((*volume)->object().origins.size(), 1u);
    EXPECT_GT(holds->fingerprinted, 1);
  }
  if (GetParam() == "imported") {
    EXPECT_EQ(holds->imports, 2);
    EXPECT_GT(holds->late, 0);
  }
}

class GoldenFork : public Golden {};

// Of what came by imports.
TEST_P(GoldenFork, AKeyThatReadsNothingKnowsWhatIsThere) {
  Bytes content;
  {
    auto volume = open();
    ASSERT_OK(volume);
    const auto head = (*volume)->load_head();
    ASSERT_OK(head);
    content = *test::golden_content(system_env(), **volume, *head);
  }
  volume::KeySource keys;
  keys.key_file = crypto::Secret::copy_of(test::kBlindKey);
  const auto volume = volume::Volume::open(system_env(), stores_, keys, {});
  ASSERT_OK(volume);
  test::MemoryImage image(content);
  device::ImportOptions how;
  how.transfer.piece_bytes = 128 << 10;
  const auto report = device::import_image(system_env(), io::posix_file_io(), **volume, options(false), image, how);
  ASSERT_OK(report);
  EXPECT_LT(report->sent_bytes, content.size() / 2 + (64 << 10)) << "of what was written since, and what the origin held, it knows nothing";
  EXPECT_GT(report->image_bytes - report->changed_bytes, 3u * (64 << 10));
  const auto owner = open();
  ASSERT_OK(owner);
  EXPECT_EQ(*test::golden_content(system_env(), **owner, *(*owner)->load_head()), content);
}

class GoldenJournal : public Golden {};

// The state directory has come to another machine, with its store.
TEST_P(GoldenJournal, IsPlayedBack) {
  unpack(".state.tar.gz", dir_ / "state");
  {
    auto options = this->options(false);
    journal::Options journal;
    auto volume = open();
    ASSERT_OK(volume);
    journal.path = options.state_dir + "/" + to_hex((*volume)->vid()) + "/journal";
    journal.file_bytes = options.journal_bytes;
    const auto found = journal::Journal::open(system_env(), io::posix_file_io(), journal);
    ASSERT_OK(found);
    EXPECT_TRUE(journal::noted_commits((*found)->superblock()));
  }
  for (const bool again : {false, true}) {
    auto volume = open();
    ASSERT_OK(volume);
    auto disk = device::Disk::open(system_env(), io::posix_file_io(), **volume, options(false));
    ASSERT_OK(disk);
    EXPECT_EQ((*disk)->stats().batches_recovered > 0, !again);
    Bytes content((*disk)->size());
    ASSERT_OK((*disk)->read(0, content));
    EXPECT_EQ(test::hash_of_ranges(test::golden_generation("", content)), manifest_.journal);
    ASSERT_OK((*disk)->close(std::chrono::minutes(1)));
  }
}

INSTANTIATE_TEST_SUITE_P(Volumes, Golden,
                         testing::Values("carried", "forked", "imported", "journaled", "large", "levels", "lost", "mixed", "resized"),
                         [](const auto& info) { return info.param; });
INSTANTIATE_TEST_SUITE_P(Volumes, GoldenFork, testing::Values("forked"), [](const auto& info) { return info.param; });
INSTANTIATE_TEST_SUITE_P(Volumes, GoldenJournal, testing::Values("journaled"), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace s3crate
