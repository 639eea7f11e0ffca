// SPDX-License-Identifier: GPL-3.0-or-later
// HistoryWorld: a volume with a history that a writer's chain made, without a disk: generations at times of the test's choice, tags
// given and taken away, checkpoints with a true catalogue. Beside it stands what must be found.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/check.h"
#include "segment/object_names.h"
#include "store/memory_store.h"
#include "store/metered_store.h"
#include "tests/support/fault_store.h"
#include "tests/support/open_chain.h"
#include "volume/create.h"

namespace s3crate::test {

// The system's, but for the time of day.
class DayClock final : public Clock {
 public:
  MonotonicTime monotonic_now() override { return system_clock().monotonic_now(); }
  BootTime boottime_now() override { return system_clock().boottime_now(); }
  WallTime wall_now() override { return now; }
  WallTime now = WallTime(std::chrono::hours(24 * 20'000));
};

class HistoryWorld {
 public:
  static constexpr std::uint64_t kDiskBytes = 1 << 20;
  struct Made {
    WallTime time;
    volume::CommitKind kind;
    crypto::Hash hash;
    std::uint64_t disk_bytes = 0;
  };

  HistoryWorld() {
    CHECK(crypto::initialise());
    volume::CreateOptions options;
    options.disk_bytes = kDiskBytes;
    volume::SlotRequest slot;
    slot.key_file = crypto::Secret::copy_of(key_);
    CHECK(volume::create(env(), memory_, options, {&slot, 1}));
    volume_ = open_volume();
    auto head = volume_->load_head();
    CHECK(head);
    note_made(volume::CommitKind::keys);
    start(*head);
  }
  // Goes on from a copy of what another one's store holds.
  explicit HistoryWorld(HistoryWorld& other) : day(other.day), made(other.made), tags(other.tags) {
    for (const std::string& name : other.names()) CHECK(memory_.put(name, *other.memory_.get(name, ~std::uint64_t{0})));
    volume_ = open_volume();
    start(*volume_->load_head());
  }

  [[nodiscard]] std::unique_ptr<volume::Volume> open_volume() {
    volume::KeySource keys;
    keys.key_file = crypto::Secret::copy_of(key_);
    auto volume = volume::Volume::open(env(), metered_, keys, {});
    CHECK(volume);
    return std::move(*volume);
  }
  [[nodiscard]] Env env() { return {day, system_env().random, system_env().executor}; }
  [[nodiscard]] Generation newest() const { return Generation(made.size()); }
  [[nodiscard]] const Made& at(Generation g) const { return made.at(g.value - 1); }
  [[nodiscard]] std::uint64_t requests() const { return metered_.stats().calls(); }

  void change() {
    volume::CommitBody body = body_of(volume::CommitKind::data);
    body.runs = {{.block = BlockIndex(newest().value % 200), .count = 1, .hole = true, .first = 0, .extent = {}}};
    runs_.put(body.runs[0]);
    append(std::move(body));
  }
  void resize(std::uint64_t bytes) {
    disk_bytes_ = bytes;
    append(body_of(volume::CommitKind::resize));
  }
  void tag(const std::string& name, Generation g) {
    volume::CommitBody body = body_of(volume::CommitKind::tag);
    body.tags = {{name, g}};
    append(std::move(body));
    tags[name] = g;
  }
  void untag(const std::string& name) {
    volume::CommitBody body = body_of(volume::CommitKind::untag);
    body.tags = {{name, tags.at(name)}};
    append(std::move(body));
    tags.erase(name);
  }
  // Of all that there is, with pages that hold a few rows each.
  void checkpoint() {
    const Generation as_of = newest();
    const auto keys = volume_->keys();
    volume::PageWriter writer({.store = memory_, .random = system_env().random, .loader = volume_->pages(), .vid = keys->vid(),
                               .ring = keys->ring(), .page_key = keys->page_sealing_key(),
                               .new_id = [this] { return chain_->new_object_id(); }, .page_bytes = page_bytes});
    volume::Companions next = companions_;
    auto map = volume::map_update(volume_->pages(), writer, map_, runs_.runs(), next.late);
    CHECK(map);
    std::vector<volume::TreeChange> carried;
    auto updated = volume::update_companions(volume_->pages(), writer, std::move(next),
                                             {.as_of = as_of, .previous = previous_, .objects = {}, .events = events_}, carried);
    CHECK(updated);
    companions_ = std::move(*updated);
    map_ = *map;
    volume::CommitBody body = body_of(volume::CommitKind::checkpoint);
    body.checkpoint.as_of = as_of;
    if (map_) body.roots.push_back(*map_);
    volume::put_companions(companions_, body);
    auto objects = writer.finish();
    CHECK(objects);
    body.objects = *objects;
    append(std::move(body));
    events_.erase(events_.begin(), events_.end() - 1);
    previous_ = {newest(), as_of, {}};
    runs_.clear();
  }

  [[nodiscard]] std::vector<std::string> names(const std::string& prefix = "") {
    std::vector<std::string> out;
    for (std::string after;;) {
      auto page = memory_.list(prefix, after, 1000);
      CHECK(page);
      for (const auto& info : page->objects) out.push_back(info.name);
      if (!page->more) return out;
      after = out.back();
    }
  }
  [[nodiscard]] Bytes commit_bytes(Generation g) { return *memory_.get(segment::commit_name(g), ~std::uint64_t{0}); }

 private:
  store::MemoryStore memory_;

 public:
  DayClock day;
  FaultStore store{memory_};
  std::size_t page_bytes = 1024;
  std::vector<Made> made;  // generation 1 first
  std::map<std::string, Generation> tags;

 private:
  void start(const volume::Commit& head) {
    chain_ = std::move(*open_chain(env(), *volume_, head));
    note_made(volume::CommitKind::open);
  }
  [[nodiscard]] volume::CommitBody body_of(volume::CommitKind kind) const {
    volume::CommitBody body;
    body.kind = kind;
    body.disk_bytes = disk_bytes_;
    return body;
  }
  void append(volume::CommitBody body) {
    const auto kind = body.kind;
    CHECK(chain_->append(std::move(body)));
    note_made(kind);
  }
  void note_made(volume::CommitKind kind) {
    const auto commit = volume_->load_commit(newest().next());
    CHECK(commit && commit->body.kind == kind);
    made.push_back({day.now, kind, commit->hash, disk_bytes_});
    events_.push_back(volume::event_of(*commit));
  }

  Bytes key_ = Bytes(32, 7);
  store::MeteredStore metered_{system_clock(), store};
  std::unique_ptr<volume::Volume> volume_;
  std::unique_ptr<volume::Chain> chain_;
  std::uint64_t disk_bytes_ = kDiskBytes;
  volume::RunMap runs_;
  volume::MaybeRoot map_;
  volume::Companions companions_;
  volume::CheckpointRef previous_;
  std::vector<volume::Event> events_;  // since the checkpoint
};

}  // namespace s3crate::test
