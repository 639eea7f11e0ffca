// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/fork.h"

#include <algorithm>

#include "segment/object_names.h"
#include "volume/line_place.h"
#include "volume/new_volume.h"
#include "volume/origins.h"

namespace s3crate::volume {
namespace {

constexpr std::uint16_t kForkPoint = 7;  // type of the extension
constexpr std::uint16_t kParent = 1;     // the number of the origin that is forked
constexpr std::size_t kNoteMax = 200;    // of a pin

Result<TreeRoot> as_seen_from_fork(TreeRoot root) {
  TRY(volume::as_seen_from_fork(root.page.object, kParent));
  if (root.tree == TreeId::objects) root.origin = static_cast<std::uint16_t>(root.origin + kParent);
  return root;
}

// What a generation of the origin is, in the numbers of the fork.
Result<View> as_seen_from_fork(const View& view) {
  View out;
  out.disk_bytes = view.disk_bytes;
  if (view.map) out.map = TRY(as_seen_from_fork(*view.map));
  for (Run run : view.changes.runs()) {
    TRY(volume::as_seen_from_fork(run, kParent));
    out.changes.put(run);
  }
  for (ObjectInfo info : view.new_objects) {
    TRY(volume::as_seen_from_fork(info.key, kParent));
    out.new_objects.push_back(info);
  }
  std::ranges::sort(out.new_objects, {}, &ObjectInfo::key);
  if (view.companions.objects) out.companions.origin_objects.push_back(TRY(as_seen_from_fork(*view.companions.objects)));
  for (const TreeRoot& root : view.companions.origin_objects) out.companions.origin_objects.push_back(TRY(as_seen_from_fork(root)));
  return out;
}

class Forker {
 public:
  // `point`: the generation that `state` is; nullopt: it is none.
  Forker(Env env, Volume& origin, std::optional<CommitRef> point, store::OriginStores& target, const ForkOptions& options)
      : env_(env), origin_(origin), point_(std::move(point)), target_(target), options_(options) {}

  [[nodiscard]] Result<> refuse() const;
  Result<Forked> run(const View& state, std::span<const SlotRequest> slots, const PutGuest& put_guest);

 private:
  [[nodiscard]] Result<NewVolume> make(std::uint64_t disk_bytes) const;
  [[nodiscard]] CommitBody pin(CommitKind kind, const Vid& holder) const;
  [[nodiscard]] Result<> put_content(const NewVolume& made, const View& past);
  [[nodiscard]] Result<> lay_tables(PageLoader& loader, PageWriter& writer, const View& past, Companions& out) const;

  Env env_;
  Volume& origin_;
  const std::optional<CommitRef> point_;
  store::OriginStores& target_;
  const ForkOptions& options_;
  Forked done_;
};

Result<> Forker::refuse() const {
  const std::size_t origins = origin_.object().origins.size() + 1;
  if (origins > kOriginsMax)
    return fail(Code::kUnsupported, "{} comes from {} volumes already, and a fork may come from {}: export it into a new one instead",
                origin_.store().describe(), origins - 1, kOriginsMax);
  CHECK(target_.origins() == origins);
  if (!origin_.keys()->reads_data())
    return fail(Code::kBadKey, "this key may not read the data of {}, and so not fork it", origin_.store().describe());
  return refuse_if_taken(target_);
}

Result<NewVolume> Forker::make(std::uint64_t disk_bytes) const {
  const VolumeObject& parent = origin_.object();
  CreateOptions options;
  options.disk_bytes = disk_bytes;
  options.block_size = parent.block_size();
  options.extent_bytes = parent.extent_bytes;
  options.segment_bytes = parent.segment_bytes;
  options.single_writer = options_.single_writer;
  options.argon2 = options_.argon2;
  options.host = options_.host;
  ForkParent from{*origin_.keys(), {{origin_.vid(), options_.origin_url}}};
  from.origins.insert(from.origins.end(), parent.origins.begin(), parent.origins.end());
  return NewVolume::make(env_, options, &from);
}

CommitBody Forker::pin(CommitKind kind, const Vid& holder) const {
  CommitBody body;
  body.kind = kind;
  body.pins = {{holder, point_->generation, options_.note.substr(0, kNoteMax)}};
  return body;
}

Result<Forked> Forker::run(const View& state, std::span<const SlotRequest> slots, const PutGuest& put_guest) {
  const View past = TRY(as_seen_from_fork(state));
  const NewVolume made = TRY(make(past.disk_bytes));
  if (point_) {
    auto pinned = put_guest(pin(CommitKind::pin, made.vid()));
    if (!pinned) return fail(pinned.error().within("the generation could not be pinned, so there is no fork"));
  }
  const auto all_but_the_last = [&]() -> Result<> {
    TRY(made.put_first(target_));
    TRY(made.put_slots(env_, target_, options_.argon2, slots));
    return put_content(made, past);
  };
  if (auto put = all_but_the_last(); !put) {
    if (point_) (void)put_guest(pin(CommitKind::unpin, made.vid()));  // else it stays, which costs room at most
    return fail(put.error());
  }
  TRY(made.put_volume(target_));
  done_.vid = made.vid();
  if (point_) done_.origin_generation = point_->generation;
  done_.disk_bytes = past.disk_bytes;
  return done_;
}

// Objects of the origin that its own checkpoint does not know yet.
Result<> Forker::lay_tables(PageLoader& loader, PageWriter& writer, const View& past, Companions& out) const {
  out.origin_objects = past.companions.origin_objects;
  std::vector<TreeChange> rows;
  for (const ObjectInfo& info : past.new_objects) {
    PageEntry row = encode_object_info(info);
    rows.push_back({std::move(row.key), std::move(row.value)});
  }
  Ledger nothing;  // of an origin nothing is counted
  MaybeRoot table = TRY(tree_update(loader, writer, TreeId::objects, origin_table(out.origin_objects, kParent), rows, nothing));
  std::erase_if(out.origin_objects, [](const TreeRoot& root) { return root.origin == kParent; });
  if (!table) return {};
  table->origin = kParent;
  out.origin_objects.insert(out.origin_objects.begin(), *table);
  return {};
}

Result<> Forker::put_content(const NewVolume& made, const View& past) {
  const std::shared_ptr<const KeyRing> keys = TRY(made.owner_keys());
  PageLoader loader(env_.executor, target_, *keys, options_.page_cache_bytes);
  std::uint64_t ids = 0;  // of epoch 0, which no writer has
  PageWriter writer({.store = target_, .random = env_.random, .loader = loader, .vid = made.vid(), .ring = keys->ring(),
                     .page_key = keys->page_sealing_key(), .new_id = [&]() -> Result<ObjectId> { return ObjectId::of(0, ++ids); },
                     .page_bytes = options_.page_bytes});
  Commit commit;
  CommitBody& body = commit.body;
  Companions companions;
  const std::vector<Run> changes = past.changes.runs();
  const MaybeRoot map = TRY(map_update(loader, writer, past.map, changes, companions.late, &body.runs));
  TRY(lay_tables(loader, writer, past, companions));
  const Event first = event_of(made.first());
  std::vector<TreeChange> none;
  companions = TRY(update_companions(loader, writer, std::move(companions),
                                     {.as_of = Generation(1), .previous = {}, .objects = {}, .events = {&first, 1}}, none));
  commit.header = {.vid = made.vid(), .generation = Generation(2), .parent = made.first().hash, .keys_generation = Generation(1),
                   .ring = keys->ring(), .writer = keys->writer()};
  body.kind = CommitKind::checkpoint;
  body.host = options_.host;
  body.time = env_.clock.wall_now();
  body.store_time = target_.store_time().value_or(WallTime{});
  body.disk_bytes = past.disk_bytes;
  if (map) body.roots.push_back(*map);
  put_companions(companions, body);
  if (point_) put_fork_point(body, *point_);
  put_line_place(body, {});
  body.objects = TRY(writer.finish());
  for (ObjectInfo& info : body.objects) {
    info.born = Generation(2);
    done_.bytes_put += info.length;
  }
  std::ranges::sort(body.objects, {}, &ObjectInfo::key);
  body.checkpoint = {Generation(2), Generation(1), crypto::blake2b(encode_roots(body.roots))};
  const Bytes bytes = TRY(seal_commit(commit, keys->commit_sealing_key(), *keys->signer(), env_.random));
  return put_fresh(target_, segment::commit_name(Generation(2)), bytes);
}

}  // namespace

Result<Forked> fork(Env env, Volume& origin, const Commit& point, store::OriginStores& target, const ForkOptions& options,
                    std::span<const SlotRequest> slots, const PutGuest& put_guest) {
  return fork(env, origin, point, TRY(origin.load_view(point)), target, options, slots, put_guest);
}

Result<Forked> fork(Env env, Volume& origin, const Commit& point, const View& state, store::OriginStores& target, const ForkOptions& options,
                    std::span<const SlotRequest> slots, const PutGuest& put_guest) {
  if (slots.empty()) return fail(Code::kBadArgument, "a volume needs at least one key");
  Forker forker(env, origin, CommitRef{point.header.generation, point.hash}, target, options);
  TRY(forker.refuse());
  return forker.run(state, slots, put_guest);
}

Result<Forked> fork_state(Env env, Volume& origin, const View& state, store::OriginStores& target, const ForkOptions& options,
                          std::span<const SlotRequest> slots) {
  if (slots.empty()) return fail(Code::kBadArgument, "a volume needs at least one key");
  Forker forker(env, origin, std::nullopt, target, options);
  TRY(forker.refuse());
  return forker.run(state, slots, {});
}

void put_fork_point(CommitBody& body, const CommitRef& point) {
  Extension extension{kForkPoint, false, {}};
  ByteWriter writer(extension.value);
  writer.u64(point.generation.value);
  writer.raw(point.hash);
  body.extensions.insert(std::ranges::upper_bound(body.extensions, kForkPoint, {}, &Extension::type), std::move(extension));
}

std::optional<CommitRef> fork_point(const CommitBody& body) {
  const auto extension = std::ranges::find(body.extensions, kForkPoint, &Extension::type);
  if (extension == body.extensions.end() || extension->value.size() != 8 + sizeof(Hash)) return std::nullopt;
  ByteReader reader(extension->value);
  CommitRef point;
  point.generation = Generation(reader.u64());
  point.hash = reader.array<sizeof(Hash)>();
  return point;
}

}  // namespace s3crate::volume
