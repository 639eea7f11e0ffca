// SPDX-License-Identifier: GPL-3.0-or-later
// make_golden NAME: makes the golden volume of that name: NAME.tar.gz and NAME.txt in this
// directory.
//
// Only to add volumes, never to replace one: those that are there were made by the versions of
// their time, and what is written today is no proof that what was written then can be read. A
// change of the format that an old volume does not survive needs a feature bit and its reason
// (src/README.md).
//
//   mixed      4 KiB blocks; passphrase and key file; several mounts, tags, checkpoints of many
//   small
//              pages, delta pages; holes, partial blocks, data that shrinks and that does not;
//              closed
//   large      64 KiB blocks, partial ones; the writer was not heard of again
//   levels     270 generations with changes and no checkpoint: two levels of delta bases
//   carried    a damaged page of the map, and a checkpoint that carries the changes over it
//   resized    grown, shrunk, grown again, with data in the tail; generations of several segments
//   lost       blocks that were lost for a write to a part of them, and whose old content turned up again; one in a commit; and a
//              checkpoint that an index tells of
//   journaled  its writer was not heard of again, and its journal has what the store lacks: extents, holes, parts of blocks
//   imported   images that change more than their commit can say, one of another size; writes between them
//   forked     of a generation of another volume (forked.origin.tar.gz), with images by a key that reads nothing, places of which are
//              equal to others
#include <filesystem>
#include <random>

#include "device/import.h"
#include "store/dir_store.h"
#include "store/origin_stores.h"
#include "tests/golden/golden.h"
#include "tests/support/blind_key.h"
#include "tests/support/long_history.h"
#include "tests/support/memory_image.h"
#include "tests/support/temp_dir.h"
#include "volume/check.h"
#include "volume/create.h"
#include "volume/fork.h"
#include "volume/guest.h"
#include "volume/rollback.h"

namespace s3crate::test {
namespace {

using namespace std::chrono_literals;

template <typename T>
T must(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "make_golden: {}\n", result.error().message());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class Maker {
 public:
  Maker(std::string name, std::uint32_t block, std::uint64_t disk_bytes, bool passphrase)
      : name_(std::move(name)), disk_now_(disk_bytes), random_(7) {
    CHECK(crypto::initialise());
    manifest_.block = block;
    manifest_.key = to_hex(key_);
    volume::CreateOptions create;
    create.disk_bytes = disk_bytes;
    create.block_size = block;
    create.argon2 = {.operations = 2, .memory_kib = 64 << 10};
    create.host = "golden";
    std::vector<volume::SlotRequest> slots(1);
    slots[0].key_file = crypto::Secret::copy_of(key_);
    if (passphrase) {
      manifest_.passphrase = "correct horse battery staple";
      slots.emplace_back();
      slots[1].passphrase = Bytes(manifest_.passphrase.begin(), manifest_.passphrase.end());
    }
    must(volume::create(system_env(), *store_, create, slots));
    options.take_over = true;
    options.state_dir = dir_ / "state";
    options.host = "golden";
    options.home = {"golden", "/golden"};
    options.url = "file:///golden";
    options.upload_delay = 1h;
    options.journal_bytes = 64 << 20;
    options.page_bytes = 600;
    options.checkpoint_runs = 20;
    states_[Generation(1)] = disk_now_;
  }

  std::unique_ptr<volume::Volume> open_volume() { return open_volume(key_); }
  std::unique_ptr<volume::Volume> open_volume(const Bytes& key) {
    volume::KeySource keys;
    keys.key_file = crypto::Secret::copy_of(key);
    return must(volume::Volume::open(system_env(), stores_, keys, {}));
  }
  void mount() {
    volume_ = open_volume();
    disk_ = must(device::Disk::open(system_env(), io::posix_file_io(), *volume_, options));
  }
  void close() {
    must(disk_->close(1min));
    vanish();
  }
  void vanish() {
    disk_.reset();
    volume_.reset();
  }
  void write(std::uint64_t at, const Bytes& data) {
    must(disk_->write(at, data));
    std::ranges::copy(data, disk_now_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  void discard(std::uint64_t at, std::uint64_t length) {
    must(disk_->discard(at, length));
    std::fill_n(disk_now_.begin() + static_cast<std::ptrdiff_t>(at), length, 0);
  }
  // One generation with all since the last; and whatever checkpoint it makes due.
  void sync() {
    states_[must(disk_->sync())] = disk_now_;
    nap(system_env().clock, system_env().executor, 100ms);
  }
  // Alone in its generation.
  void resize(std::uint64_t bytes) {
    sync();
    disk_now_.resize(bytes);
    states_[must(disk_->resize(bytes, device::DiscardTail::yes))] = disk_now_;
  }
  // Nothing is mounted meanwhile.
  void import(Bytes image) {
    MemoryImage source(std::move(image));
    device::ImportOptions how;
    how.fit = device::Fit::resize;
    how.transfer.piece_bytes = 64 << 10;
    how.runs_max = 12;
    how.window_blocks = 16;
    auto volume = open_volume();
    const auto report = must(device::import_image(system_env(), io::posix_file_io(), *volume, options, source, how));
    CHECK(must(volume->load_commit(report.generation)).body.kind == volume::CommitKind::rollback);
    disk_now_ = source.bytes;
    states_[report.generation] = disk_now_;
  }
  // By a key that reads nothing, and knows the fingerprints of what was imported.
  void import_blindly(Bytes image) {
    MemoryImage source(std::move(image));
    auto volume = open_volume(kBlindKey);
    device::ImportOptions how;
    how.transfer.piece_bytes = 128 << 10;
    const auto report = must(device::import_image(system_env(), io::posix_file_io(), *volume, options, source, how));
    CHECK(!report.not_noted);
    disk_now_ = source.bytes;
    states_[report.generation] = disk_now_;
  }
  // From now on it is a fork of what it was at that generation, and nothing is mounted.
  void fork(Generation point) {
    const std::string origin_dir = dir_ / "origin";
    std::filesystem::rename(store_dir_, origin_dir);
    pack(origin_dir, name_ + ".origin");
    origin_.emplace(io::posix_file_io(), system_random(), origin_dir);
    store_.emplace(io::posix_file_io(), system_random(), store_dir_);
    volume::KeySource keys;
    keys.key_file = crypto::Secret::copy_of(key_);
    const auto origin = must(volume::Volume::open(system_env(), *origin_, keys, {}));
    CHECK(must(origin->load_head()).header.generation >= point);
    const auto commit = must(origin->load_commit(point));
    stores_ = store::OriginStores(*store_);
    stores_.attach(*origin_, "the origin");
    volume::ForkOptions how;
    how.page_bytes = 1024;
    how.origin_url = "file:///golden";
    how.note = "file:///golden-fork";
    how.host = "golden";
    std::vector<volume::SlotRequest> slots(1);
    slots[0].key_file = crypto::Secret::copy_of(key_);
    volume::Guest guest(system_env(), *origin, {}, [](const Error&) {});
    must(volume::fork(system_env(), *origin, commit, stores_, how, slots, [&](const volume::CommitBody& body) -> Result<> {
      TRY(guest.append(TRY(origin->load_head()), body, [](const volume::Commit&) -> Result<> { return {}; }));
      return {};
    }));
    disk_now_ = std::prev(states_.upper_bound(point))->second;
    states_ = {{Generation(1), Bytes(disk_now_.size())}, {Generation(2), disk_now_}};
  }
  void let_blind_in() {
    volume::KeySource keys;
    keys.key_file = crypto::Secret::copy_of(key_);
    add_blind_key(stores_, keys, kBlindKey);
  }
  void state(Generation generation) { states_[generation] = disk_now_; }

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  Bytes noise(std::size_t size) {
    Bytes out(size);
    for (auto& byte : out) byte = static_cast<std::uint8_t>(random_());
    return out;
  }
  Bytes text(std::size_t size) {
    const std::string line = fmt::format("line {} of a text that shrinks\n", random_() % 1000);
    Bytes out(size);
    for (std::size_t i = 0; i < size; ++i)
      out[i] = static_cast<std::uint8_t>(line[i % line.size()]);
    return out;
  }
  void tag() {
    auto volume = open_volume();
    LongHistory other(system_env(), *volume, 0);
    must(other.guest());
  }

  // What is on the machine now belongs to it, and nobody is heard of again.
  void leave_journal() {
    manifest_.journal = hash_of_ranges(golden_generation("", disk_now_));
    must(disk_->flush());
    pack(options.state_dir, name_ + ".state");
    vanish();
  }

  void finish();
  Bytes& now() { return disk_now_; }
  device::Disk& disk() { return *disk_; }
  volume::Volume& volume() { return *volume_; }
  const std::string& store_dir() const { return store_dir_; }
  GoldenManifest& manifest() { return manifest_; }
  device::DiskOptions options;

 private:
  static void pack(const std::string& directory, const std::string& name) {
    const std::string command = fmt::format(
        "tar -C '{}' --sort=name --owner=0 --group=0 --numeric-owner --format=ustar -czf "
        "'{}.tar.gz' .",
        directory, name);
    CHECK(std::system(command.c_str()) == 0);
  }

  TempDir dir_;
  const std::string name_;
  const std::string store_dir_ = dir_ / "store";
  std::optional<store::DirStore> store_{std::in_place, io::posix_file_io(), system_random(), store_dir_}, origin_;
  store::OriginStores stores_{*store_};
  const Bytes key_ = Bytes(32, 7);
  Bytes disk_now_;
  std::map<Generation, Bytes> states_;  // as the commits with changes left it
  GoldenManifest manifest_;
  std::mt19937_64 random_;
  std::unique_ptr<volume::Volume> volume_;
  std::unique_ptr<device::Disk> disk_;
};

// What is to be read is what was written, not what is read now.
void Maker::finish() {
  auto volume = open_volume();
  const Generation newest = must(volume->load_head()).header.generation;
  std::string kind;
  for (Generation g(1); g <= newest; g = g.next()) {
    const volume::Commit commit = must(volume->load_commit(g));
    kind = volume::kind_name(commit.body.kind);
    Bytes expected = std::prev(states_.upper_bound(g))->second;
    const Bytes got = must(golden_content(system_env(), *volume, commit));
    for (std::size_t at = 0; at < got.size(); at += manifest_.block) {
      const ByteView block = ByteView(got).subspan(at, manifest_.block);
      const bool readable = !std::ranges::all_of(block, [](auto b) { return b == kUnreadable; });
      CHECK(readable || manifest_.damaged > 0);
      if (!readable) std::ranges::copy(block, expected.begin() + static_cast<std::ptrdiff_t>(at));
    }
    CHECK(equal(got, expected));
    manifest_.generations.push_back(golden_generation(kind, expected));
    for (const volume::Tag& tag : commit.body.tags) manifest_.tags[tag.name] = tag.generation.value;
  }
  manifest_.open = kind != "close";
  const auto report = must(volume::check(system_env(), *volume, {.read_data = true}));
  CHECK((manifest_.damaged > 0) == !report.clean());
  manifest_.damaged = report.damaged_bytes;
  std::ofstream(name_ + ".txt") << format_golden(manifest_);
  pack(store_dir_, name_);
}

void make_mixed() {
  Maker m("mixed", 4096, 4 << 20, true);
  m.options.page_bytes = 1000;
  for (int life = 0; life < 3; ++life) {
    m.mount();
    if (life == 0) {  // as many runs as make a tree of three levels
      for (std::uint64_t i = 4; i < 62; ++i) m.write(i << 16, m.text(65536));
      m.sync();
      for (std::uint64_t block = 64; block < 992; block += 2) m.discard(block * 4096, 4096);
      m.sync();
    }
    for (int step = 0; step < 8; ++step) {
      for (std::uint64_t n = 2 + m.below(5); n > 0; --n) {
        const std::uint64_t block = m.below(1000) * 4096;
        switch (m.below(8)) {
          case 0:
            m.write(block, m.noise(4096));
            break;
          case 1:
            m.discard(block, 4096 * (1 + m.below(16)));
            break;
          case 2:
            m.write(block + m.below(4000), m.text(1 + m.below(9000)));
            break;
          case 3:
            m.write(block, Bytes(4096 * (1 + m.below(4))));
            break;
          default:
            m.write(block, m.text(4096 * (1 + m.below(2))));
            break;
        }
      }
      m.sync();
      if (step % 4 == 2) m.tag();
    }
    m.close();
  }
  m.finish();
}

void make_large() {
  Maker m("large", 65536, 2 << 20, false);
  for (int life = 0; life < 2; ++life) {
    m.mount();
    for (int step = 0; step < 7; ++step) {
      if (step == 1 && life == 0) m.write(5 << 16, m.noise(9'000));
      m.write(m.below(30) << 16, m.text(65536));
      m.write(m.below(2 << 20) * 9 / 10, m.text(1 + m.below(100'000)));
      if (step % 3 == 2) m.discard(m.below(30) << 16, 1 << 16);
      m.sync();
    }
    m.vanish();
  }
  m.finish();
}

void make_levels() {
  Maker m("levels", 4096, 4 << 20, false);
  m.mount();
  for (std::uint64_t i = 0; i < 12; ++i) m.write(m.below(60) << 16, m.text(65536));
  m.write(3 << 16, m.noise(8192));
  m.sync();
  m.close();
  auto volume = m.open_volume();
  LongHistory history(system_env(), *volume, 0);
  must(history.open());
  while (history.chain().head() < Generation(270)) {
    must(history.change());
    const Generation g = history.chain().head();
    std::fill_n(m.now().begin() + static_cast<std::ptrdiff_t>(LongHistory::block_of(g) * 4096),
                4096, 0);
    m.state(g);
  }
  must(history.close());
  m.finish();
}

void make_carried() {
  Maker m("carried", 4096, 1 << 20, false);
  m.mount();
  for (std::uint64_t block = 0; block < 120; block += 2) m.write(block * 4096, m.text(4096));
  m.sync();
  nap(system_env().clock, system_env().executor, 500ms);
  CHECK(m.disk().stats().checkpoints == 1);
  m.close();
  // One byte of a leaf in the middle.
  {
    auto volume = m.open_volume();
    const auto view = must(volume->load_view(must(volume->load_head())));
    const auto root = must(volume->pages().load(view.map->page));
    CHECK(view.map->level == 1);
    const auto leaf =
        must(volume::decode_page_ref(root->entries.at(root->entries.size() / 2).value));
    for (const auto& file : std::filesystem::recursive_directory_iterator(m.store_dir()))
      if (file.path().filename().string().starts_with(
              fmt::format("{:016x}", leaf.object.id.value)) &&
          file.path().string().find("/map/") != std::string::npos) {
        std::filesystem::permissions(file.path(), std::filesystem::perms::owner_all);
        std::fstream bytes(file.path(), std::ios::in | std::ios::out | std::ios::binary);
        bytes.seekp(leaf.offset + leaf.length / 2);
        bytes.put('x');
      }
    m.manifest().damaged = 1;
  }
  m.mount();
  for (std::uint64_t block = 1; block < 160; block += 3) m.write(block * 4096, m.text(4096));
  m.sync();
  nap(system_env().clock, system_env().executor, 500ms);
  CHECK(m.disk().stats().checkpoints == 1);
  m.write(0, m.text(4096));
  m.sync();
  m.close();
  m.finish();
}

void make_resized() {
  Maker m("resized", 4096, 1 << 20, false);
  m.options.segment_bytes = 16 << 10;
  constexpr std::uint64_t kSizes[] = {2 << 20, 512 << 10, 1536 << 10};
  for (const std::uint64_t bytes : kSizes) {
    m.mount();
    m.write(0, m.text(4096));
    m.resize(bytes);
    for (std::uint64_t i = 0; i < 6; ++i) m.write((i * 7 + m.below(5)) * 8192, m.noise(8192));
    for (std::uint64_t i = 1; i < 12; ++i) m.write(bytes - i * 12288, m.text(5000 + i * 500));
    m.sync();
    m.discard(bytes / 2, 64 << 10);
    m.write(bytes - 4096, m.text(4096));
    m.sync();
    if (bytes == 2 << 20)
      m.vanish();
    else
      m.close();
  }
  auto volume = m.open_volume();
  std::size_t segments = 0;
  for (Generation g(2); g <= must(volume->load_head()).header.generation; g = g.next()) {
    const volume::CommitBody body = must(volume->load_commit(g)).body;
    if (body.kind != volume::CommitKind::data) continue;
    segments = std::max(segments, static_cast<std::size_t>(std::ranges::count(
                                      body.objects, g, &segment::ObjectInfo::born)));
  }
  CHECK(segments >= 3);
  m.finish();
}

void make_imported() {
  Maker m("imported", 4096, 1 << 20, false);
  m.options.segment_bytes = 32 << 10;
  for (const std::uint64_t bytes : {1024 << 10, 768 << 10}) {
    m.mount();
    for (int step = 0; step < 4; ++step) {
      for (std::uint64_t n = 0; n < 8; ++n) m.write(m.below(180) << 12, m.text(4096 + m.below(9000)));
      m.discard(m.below(180) << 12, 5 << 12);
      m.sync();
      if (step == 2) m.tag();
    }
    m.close();
    Bytes image = m.now();
    image.resize(bytes);
    for (std::uint64_t block = m.below(3); block < bytes / 4096; block += 2 + m.below(2))
      std::ranges::copy(m.below(4) == 0 ? Bytes(4096) : m.text(4096), image.begin() + static_cast<std::ptrdiff_t>(block * 4096));
    m.import(std::move(image));
  }
  m.mount();
  for (std::uint64_t block = 0; block < 90; block += 4) m.write(block * 8192, m.text(8192));
  m.sync();
  m.close();
  m.finish();
}

void make_journaled() {
  Maker m("journaled", 4096, 1 << 20, false);
  m.options.journal_slot_bytes = 32 << 10;
  m.options.journal_bytes = (1 << 20) + 12 * m.options.journal_slot_bytes;
  m.options.cache_file_bytes = 0;
  m.mount();
  for (std::uint64_t block = 0; block < 200; block += 9) m.write(block * 4096, m.text(8192));
  m.sync();
  m.discard(9 * 4096, 4096);
  m.sync();
  for (int batch = 0; batch < 6; ++batch) {
    m.write(m.below(200) * 4096, m.text(4 * 4096));
    m.write(m.below(200) * 4096, m.noise(4096));
    m.write(m.below(200) * 4096 + 1000, m.text(2000));
    m.discard(m.below(200) * 4096, 3 * 4096);
    must(m.disk().flush());
  }
  m.leave_journal();
  m.finish();
}

void make_forked() {
  Maker m("forked", 4096, 1 << 20, false);
  constexpr std::uint64_t kPlace = 64 << 10;
  m.options.segment_bytes = 128 << 10;
  m.mount();
  for (int step = 0; step < 5; ++step) {
    for (std::uint64_t n = 0; n < 6; ++n) m.write(m.below(240) << 12, m.text(4096 + m.below(9000)));
    m.discard(m.below(240) << 12, 5 << 12);
    m.sync();
  }
  const Generation point = must(m.open_volume()->load_head()).header.generation;
  m.write(0, m.text(3 * kPlace));  // which the fork never was
  m.sync();
  m.close();
  m.fork(point);
  m.mount();
  m.write(200 << 12, m.text(9000));
  m.sync();
  m.close();
  m.let_blind_in();
  for (int life = 0; life < 2; ++life) {
    Bytes image = m.now();
    const auto place = [&](std::uint64_t at, const Bytes& content) { std::ranges::copy(content, image.begin() + static_cast<std::ptrdiff_t>(at * kPlace)); };
    const Bytes often = m.noise(kPlace);
    place(1, often);
    place(4, often);
    place(6, m.text(kPlace));
    place(9, Bytes(kPlace));
    if (life == 1) place(11, Bytes(image.begin() + 6 * kPlace, image.begin() + 7 * kPlace));
    m.import_blindly(std::move(image));
    m.mount();
    for (std::uint64_t block = 3; block < 256; block += 40) m.write(block << 12, m.text(6000));
    m.discard(m.below(240) << 12, 3 << 12);
    m.sync();
    m.close();
  }
  m.finish();
}

// Takes two minutes: so long a store is asked.
void make_lost() {
  Maker m("lost", 4096, 1 << 20, false);
  namespace fs = std::filesystem;
  m.options.block_cache_bytes = 0;
  m.options.cache_file_bytes = 0;
  m.options.checkpoint_runs = 100'000;
  for (const bool in_commit : {false, true}) {
    m.options.durability = in_commit ? device::Durability::store : device::Durability::local;
    m.mount();
    const std::uint64_t first = in_commit ? 100 : 8;
    m.write(first * 4096, m.text(8 * 4096));
    if (in_commit) m.write(130 * 4096, m.noise(70 * 4096));  // or they would stand in the commit that is to stay
    m.sync();
    const auto segments = fs::path(m.store_dir()) / "segments", away = fs::path(m.store_dir() + ".away");
    fs::rename(segments, away);
    fs::create_directory(segments);
    m.write((first + 2) * 4096 + 1000, m.text(100));
    m.sync();
    for (const auto& file : fs::directory_iterator(away)) fs::rename(file.path(), segments / file.path().filename());
    fs::remove(away);
    m.write((first + 20) * 4096, m.text(3 * 4096));
    m.discard((first + 6) * 4096, 2 * 4096);
    if (!in_commit) m.write((first + 2) * 4096 + 3000, m.text(3 * 4096));  // the end of that block, and two more
    m.sync();
    m.close();
  }
  m.options.durability = device::Durability::local;
  m.options.checkpoint_runs = 2;
  m.mount();
  m.write(200 * 4096, m.text(2 * 4096));
  m.sync();
  nap(system_env().clock, system_env().executor, 500ms);
  CHECK(m.disk().stats().checkpoints == 1);
  m.manifest().damaged = 1;
  m.write(210 * 4096, m.text(3 * 4096));  // whose segment tells of the checkpoint
  m.sync();
  m.close();
  m.finish();
}

}  // namespace
}  // namespace s3crate::test

int main(int argc, char** argv) {
  using namespace s3crate::test;
  const std::string name = argc == 2 ? argv[1] : "";
  if (std::filesystem::exists(name + ".txt")) {
    fmt::print(stderr, "make_golden: {} is there, and stays as it is\n", name);
    return 1;
  }
  if (name == "mixed")
    make_mixed();
  else if (name == "large")
    make_large();
  else if (name == "levels")
    make_levels();
  else if (name == "carried")
    make_carried();
  else if (name == "resized")
    make_resized();
  else if (name == "lost")
    make_lost();
  else if (name == "journaled")
    make_journaled();
  else if (name == "imported")
    make_imported();
  else if (name == "forked")
    make_forked();
  else
    return 2;
  return 0;
}
