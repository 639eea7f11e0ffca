// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/tamper_world.h"

#include <algorithm>

#include "device/encoder.h"
#include "segment/object_names.h"
#include "tests/support/open_chain.h"
#include "tests/support/seed.h"

namespace s3crate::test {
namespace {

constexpr std::uint64_t kWithoutPattern = 21;
constexpr std::uint64_t kLostBlock = 25;

using volume::Commit;
using volume::CommitKind;
using volume::Volume;

template <typename T>
T must(Result<T> result) {
  if (!result) fmt::print(stderr, "{}\n", result.error().message());
  CHECK(result);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// The disk of one generation, block by block; with `cold`, nothing is remembered between blocks.
class OneGeneration {
 public:
  OneGeneration(Env env, Volume& volume, const Commit& commit)
      : env_(env), volume_(volume), view_(volume.load_view(commit)) {}

  [[nodiscard]] bool opens() const { return view_.has_value(); }
  [[nodiscard]] std::uint64_t blocks() const { return view_->disk_bytes / TamperWorld::kBlock; }
  Result<> read(std::uint64_t block, MutableByteView out) {
    if (!objects_) {
      objects_.emplace(env_.executor, volume_.keys(), volume_.pages());
      objects_->rebase(view_->companions.objects, {});
      for (const segment::ObjectInfo& info : view_->new_objects) objects_->add(info);
    }
    cache::StoreExtentSource source(volume_.store(), *objects_, TamperWorld::kBlock);
    device::Gather gather(BlockIndex(block), BlockIndex(block + 1), TamperWorld::kBlock, out);
    gather.add_runs(view_->changes, {});
    TRY(gather.add_tree(volume_.pages(), view_->map));
    return gather.finish(cache_, source);
  }
  void make_cold() { objects_.reset(); }

 private:
  Env env_;
  Volume& volume_;
  Result<volume::View> view_;
  std::optional<volume::ObjectTable> objects_;
  cache::ExtentCache cache_{env_.executor, 0};
};

}  // namespace

TamperWorld::TamperWorld(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  // Only sync() makes generations.
  world_.options.upload_delay = world_.options.batch_delay = std::chrono::hours(1);
  world_.options.page_bytes = 400;
  for (const store::ObjectInfo& info : must(memory_.list("keys/", "", 2)).objects)
    if (segment::parse_slot_name(info.name)) own_slot_ = info.name;
  write_history(random);
  shelf_ = shelf_of(memory_);
  note_contents();
  for (auto& [g, generation] : generations_) trace(generation.content, Generation(g));
  CHECK(std::ranges::any_of(generations_, [](const auto& one) { return one.second.lost.contains(kLostBlock); }));
  CHECK(generations_.rbegin()->second.lost.empty());
  trace_pages();
}

TamperWorld& tamper_world() {
  static TamperWorld world(test_seed());
  return world;
}

// Blocks that shrink to an eighth, but one that does not.
void TamperWorld::write(std::uint64_t block, std::uint64_t blocks, std::mt19937_64& random) {
  Bytes data(blocks * kBlock);
  const std::size_t period = block == kWithoutPattern ? kBlock : kBlock / 8;
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = i % kBlock < period ? static_cast<std::uint8_t>(random()) : data[i - period];
  must(world_.disk->write(block * kBlock, data));
  std::memcpy(now_.data() + block * kBlock, data.data(), data.size());
}

void TamperWorld::sync() {
  must(world_.disk->sync());
  contents_.push_back(now_);
}

void TamperWorld::wait_for_checkpoint(device::Disk& disk, std::uint64_t checkpoints) {
  for (int i = 0; i < 10'000 && disk.stats().checkpoints < checkpoints; ++i)
    nap(system_clock(), thread_executor(), std::chrono::milliseconds(1));
  CHECK(disk.stats().checkpoints >= checkpoints);
}

// Two mounts with a checkpoint each, the second over delta pages and with its extents in its commit; guests between them, and a writer
// by whom a block is lost until it is written again; a third mount whose changes stay in commits.
void TamperWorld::write_history(std::mt19937_64& random) {
  contents_.push_back(now_);
  world_.options.checkpoint_runs = 20;
  must(world_.open());
  for (std::uint64_t b = 0; b < kBlocks; b += 4) write(b, 1 + random() % 3, random);
  sync();
  for (std::uint64_t b = 1; b < kBlocks; b += 3) write(b, 1, random);
  sync();
  wait_for_checkpoint(*world_.disk, 1);
  must(world_.close());
  let_readers_in();
  lose_block();

  world_.options.checkpoint_runs = 4;
  world_.options.durability = device::Durability::store;
  must(world_.open());
  for (std::uint64_t b = 9; b < 13; ++b) write(b, 1, random), write(2 * b + 5, 1, random);
  sync();
  wait_for_checkpoint(*world_.disk, 1);
  world_.options.checkpoint_runs = 100'000;
  must(world_.close());
  world_.options.durability = device::Durability::local;
  before_last_mount_ = shelf_of(memory_);

  must(world_.open());
  now_.resize(kBlocksGrown * kBlock);
  must(world_.disk->resize(now_.size(), device::DiscardTail::no));
  contents_.push_back(now_);
  write(kBlocks, 3, random);
  write(2, 5, random);
  sync();
  must(world_.disk->discard(20 * kBlock, 3 * kBlock));  // a segment of holes alone
  std::fill_n(now_.begin() + 20 * kBlock, 3 * kBlock, 0);
  sync();
  write(21, 1, random);
  sync();
  must(world_.close());
}

// A reader by key file, another slot of the owner's, one that is open to everybody; and a tag.
void TamperWorld::let_readers_in() {
  const auto volume = must(Volume::open(system_env(), memory_, world_.keys(), {}));
  const Commit head = must(volume->load_head());
  const Commit first = must(volume->load_commit(Generation(1)));
  reader_ = volume::make_identity(system_random());
  volume::GrantSecrets secrets =
      must(volume::open_grant(first.keys->grants.at(0).sealed, volume->identity().box.secret));
  secrets.role = volume::Role::reader;
  secrets.capabilities = 0;
  secrets.admin_seed = {};
  secrets.fingerprint_key = {};

  Commit keys = head;
  keys.header.generation = head.header.generation.next();
  keys.header.parent = head.hash;
  keys.header.keys_generation = volume::keys_after(head);
  keys.header.writer = volume::kAdminWriter;
  keys.body.kind = CommitKind::keys;
  keys.body.pending.reset();
  keys.body.delta_base = volume::newest_change(head);
  keys.keys = first.keys;
  keys.keys->previous_keys = Generation(1);
  keys.keys->grants.push_back({reader_->id(), reader_->box.public_key, volume::Role::reader,
                               seal_grant(secrets, reader_->box.public_key, system_random())});
  const volume::KeyRing& ring = *volume->keys();
  const Bytes bytes =
      must(seal_commit(keys, ring.commit_sealing_key(), *ring.admin(), system_random()));
  must(memory_.put(segment::commit_name(keys.header.generation), bytes));
  must(memory_.put(segment::keys_copy_name(keys.header.generation), bytes));

  Commit tag = keys;
  tag.header.generation = keys.header.generation.next();
  tag.header.parent = keys.hash;
  tag.header.keys_generation = keys.header.generation;
  tag.header.writer = ring.writer();
  tag.keys.reset();
  tag.body.kind = CommitKind::tag;
  tag.body.tags = {{"nightly", head.header.generation}};
  must(memory_.put(
      segment::commit_name(tag.header.generation),
      must(seal_commit(tag, ring.commit_sealing_key(), *ring.signer(), system_random()))));

  add_slot(*volume, volume::SlotKind::key_file, readers_key_, *reader_);
  add_slot(*volume, volume::SlotKind::passphrase, Bytes(32, 5), volume->identity());
  add_slot(*volume, volume::SlotKind::public_slot, Bytes(32), *reader_);
}

// What a disk does, some time after a segment is gone, with a block of it of which a part was written.
void TamperWorld::lose_block() {
  const auto volume = must(Volume::open(system_env(), memory_, world_.keys(), {}));
  const Commit head = must(volume->load_head());
  const auto opened = must(open_chain(system_env(), *volume, head));
  volume::Chain& chain = *opened;
  const device::EncoderOptions options{kBlock, volume->object().extent_bytes, volume->object().segment_bytes, 1, std::chrono::seconds(1)};
  device::EncoderCounters counters;
  device::SegmentSealer sealer(system_env(), *volume->keys(), chain, options, counters);
  Bytes stored;
  const auto sealed = must(sealer.seal_lost(stored));
  segment::ObjectInfo info;
  info.key = {0, sealed.segment->id};
  info.kind = segment::ObjectKind::inline_extents;
  info.length = stored.size();
  info.ring = sealed.segment->ring;
  info.sealed_secret = sealed.segment->sealed_secret;
  info.blocks = 1;
  volume::CommitBody body;
  body.kind = CommitKind::data;
  body.objects = {info};
  body.runs = {device::run_of(BlockIndex(kLostBlock), 1, sealed)};
  must(chain.append(std::move(body), std::nullopt, stored));
  contents_.push_back(now_);
  body = {};
  body.kind = CommitKind::close;
  must(chain.append(std::move(body)));
}

void TamperWorld::add_slot(const Volume& volume, volume::SlotKind kind, const Bytes& key,
                           const volume::Identity& identity) {
  volume::SlotHeader header;
  header.vid = volume.vid();
  header.slot = system_random().array<16>();
  header.kind = kind;
  header.identity = identity.id();
  must(memory_.put(
      segment::slot_name(header.slot),
      seal_slot(header, crypto::Secret::copy_of(key), identity, volume.anchor(), system_random())));
}

Bytes TamperWorld::continue_in(store::ObjectStore& store, const std::string& state,
                               std::uint8_t value, int generations) {
  const auto volume = must(Volume::open(system_env(), store, world_.keys(), {}));
  device::DiskOptions options = world_.options;
  options.state_dir = state;
  options.checkpoint_runs = 4;
  auto disk = must(device::Disk::open(system_env(), io::posix_file_io(), *volume, options));
  for (int i = 0; i < generations; ++i) {
    for (std::uint64_t b = 0; b < kBlocks; b += 5)
      must(disk->write((b + static_cast<std::uint64_t>(i)) % kBlocks * kBlock,
                       Bytes(kBlock, value)));
    must(disk->sync());
    wait_for_checkpoint(*disk, 1);
  }
  Bytes content(disk->size());
  must(disk->read(0, content));
  must(disk->close(std::chrono::minutes(1)));
  return content;
}

void TamperWorld::note_contents() {
  ShelfStore store(shelf_);
  const auto volume = must(Volume::open(env(), store, world_.keys(), {}));
  const Commit head = must(volume->load_head());
  seen_ = {head.header.generation, head.hash};
  auto content = contents_.begin();
  for (std::uint64_t g = 1; g <= seen_.generation.value; ++g) {
    const Commit commit = must(volume->load_commit(Generation(g)));
    if (volume::has_changes(commit.body) || commit.body.kind == CommitKind::resize) ++content;
    CHECK(content != contents_.end());
    generations_[g].content = *content;
  }
  CHECK(content + 1 == contents_.end());
}

// Each block as if nothing had been read before it.
void TamperWorld::trace(const Bytes& content, Generation g) {
  ShelfStore store(shelf_);
  const auto volume =
      must(Volume::open(env(), store, world_.keys(), {.expected = {}, .page_cache_bytes = 0}));
  must(volume->load_head());
  const Commit commit = must(volume->load_commit(g));
  OneGeneration disk(env(), *volume, commit);
  CHECK(disk.opens() && disk.blocks() * kBlock == content.size());
  AsRead& out = generations_.at(g.value);
  out.opening = store.take_reads();
  // Other slots are looked at on the way, not needed.
  std::erase_if(out.opening, [&](const Span& span) {
    return segment::parse_slot_name(span.object) && span.object != own_slot_;
  });
  Bytes block(kBlock);
  for (std::uint64_t b = 0; b < disk.blocks(); ++b) {
    disk.make_cold();
    const auto read = disk.read(b, block);
    if (is(read, Code::kLost)) out.lost.insert(b);
    else CHECK(read && equal(block, ByteView(content).subspan(b * kBlock, kBlock)));
    out.blocks.push_back(store.take_reads());
  }
}

// Those of trees beside the map, which only a check reads.
void TamperWorld::trace_pages() {
  ShelfStore store(shelf_);
  const auto volume = must(Volume::open(env(), store, world_.keys(), {}));
  CHECK(must(volume::check(env(), *volume, {.read_data = true, .seen = seen_})).clean());
  for (const Span& span : store.take_reads())
    if (!span.whole) checked_.push_back(span);
}

std::vector<Span> TamperWorld::spans_of(const std::string& object) const {
  std::map<std::pair<std::uint64_t, std::uint64_t>, Span> spans;
  const auto take = [&](const std::vector<Span>& read) {
    for (const Span& span : read)
      if (span.object == object) spans[{span.from, span.to}] = span;
  };
  take(checked_);
  for (const auto& [g, generation] : generations_) {
    take(generation.opening);
    for (const auto& read : generation.blocks) take(read);
  }
  std::vector<Span> out;
  for (const auto& [place, span] : spans) out.push_back(span);
  return out;
}

bool TamperWorld::holds_blocks(const Span& span) const {
  for (const auto& [g, generation] : generations_)
    for (const auto& read : generation.blocks)
      for (const Span& one : read)
        if (one.object == span.object && one.from == span.from && one.to == span.to) return true;
  return false;
}

bool TamperWorld::lost(const Span& span, const Shelf& shelf) const {
  const auto now = shelf.find(span.object);
  if (now == shelf.end()) return true;
  const auto& was = shelf_.at(span.object);
  if (now->second == was) return false;
  if (span.whole) return *now->second != *was;
  if (now->second->size() < span.to) return true;
  return std::memcmp(now->second->data() + span.from, was->data() + span.from,
                     span.to - span.from) != 0;
}

std::optional<TamperWorld::Blocks> TamperWorld::model(Generation g, const Shelf& shelf) const {
  const auto any = [&](const std::vector<Span>& spans) {
    return std::ranges::any_of(spans, [&](const Span& span) { return lost(span, shelf); });
  };
  const AsRead& generation = generations_.at(g.value);
  if (any(generation.opening)) return std::nullopt;
  Blocks out;
  for (const auto& spans : generation.blocks) out.push_back(generation.lost.contains(out.size()) || any(spans));
  return out;
}

device::DiskOptions TamperWorld::reader_options(Trust trust) const {
  device::DiskOptions options = world_.options;
  options.read_only = true;
  options.read_ahead_bytes = 0;
  options.accept_rollback = trust == Trust::nothing;
  return options;
}

std::optional<TamperWorld::Blocks> TamperWorld::read_disk(Volume& volume, Trust trust,
                                                          std::string& wrong) const {
  auto disk = device::Disk::open(env(), io::posix_file_io(), volume, reader_options(trust));
  if (!disk) return std::nullopt;
  const Generation shown = (*disk)->stats().generation;
  if (!generations_.contains(shown.value)) {
    wrong = fmt::format("generation {} is shown, which never was", shown);
    return std::nullopt;
  }
  const Bytes& expected = content(shown);
  if (trust == Trust::seen && shown < seen_.generation) wrong = "an older state is shown";
  if ((*disk)->size() != expected.size()) {
    wrong = "the disk has another size";
    return std::nullopt;
  }
  Blocks lost;
  Bytes block(kBlock);
  for (std::uint64_t at = 0; at < expected.size(); at += kBlock) {
    const auto read = (*disk)->read(at, block);
    lost.push_back(!read);
    const bool was_lost = generations_.at(shown.value).lost.contains(at / kBlock);
    if (read && (was_lost || !equal(block, ByteView(expected).subspan(at, kBlock))))
      wrong = fmt::format("wrong bytes in block {} of generation {}", at / kBlock, shown);
    if (!read && !is(read, Code::kCorrupt) && !is(read, Code::kNotFound) && !(was_lost && is(read, Code::kLost)))
      wrong = read.error().message();
  }
  return lost;
}

std::optional<TamperWorld::Blocks> TamperWorld::read_older(Volume& volume, Generation g,
                                                           std::string& wrong) const {
  const auto commit = volume.load_commit(g);
  if (!commit) return std::nullopt;
  OneGeneration disk(env(), volume, *commit);
  if (!disk.opens()) return std::nullopt;
  const Bytes& expected = content(g);
  Blocks lost;
  Bytes block(kBlock);
  for (std::uint64_t b = 0; b < disk.blocks(); ++b) {
    lost.push_back(!disk.read(b, block));
    if (!lost.back() && (generations_.at(g.value).lost.contains(b) || !equal(block, ByteView(expected).subspan(b * kBlock, kBlock))))
      wrong = fmt::format("wrong bytes in block {} of generation {}", b, g);
  }
  return lost;
}

TamperWorld::Seen TamperWorld::look(const Shelf& shelf, Trust trust,
                                    std::optional<Generation> older) const {
  Seen out;
  ShelfStore store(shelf);
  auto volume = Volume::open(env(), store, world_.keys(), {});
  if (!volume) return out;
  out.blocks = read_disk(**volume, trust, out.wrong);
  volume::CheckOptions options{.read_data = true};
  if (trust == Trust::seen) options.seen = seen_;
  auto report = volume::check(env(), **volume, options);
  if (report)
    out.report = std::move(*report);
  else
    out.wrong = fmt::format("check: {}", report.error().message());
  if (older && (*volume)->load_head()) out.older = read_older(**volume, *older, out.wrong);
  return out;
}

}  // namespace s3crate::test
