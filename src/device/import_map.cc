// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/import_map.h"

#include <algorithm>
#include <utility>

#include "volume/line_place.h"

namespace s3crate::device {

using segment::ObjectInfo;
using volume::CommitKind;
using volume::Run;

namespace {
constexpr int kTriesMax = 16;                // guests that took the number, each time after the companions were laid
constexpr std::size_t kBesideMax = 50'000;   // as a checkpoint carries
constexpr std::uint32_t kFingerprintPageBytes = 8 << 10;  // each fingerprint that is noted changes another page
}  // namespace

ImportMap::ImportMap(const LayContext& context, Uploader& uploader, const volume::View& view)
    : context_(context),
      uploader_(uploader),
      view_(view),
      map_(view.map),
      fingerprints_(view.companions.fingerprints),
      late_(view.companions.late),
      beside_(view.changes) {}

Result<> ImportMap::lay(volume::RunMap changes) {
  if (beside_.empty()) beside_ = std::exchange(changes, {});
  for (const Run& run : changes.runs()) beside_.put(run);
  const std::vector<Run> runs = std::exchange(beside_, {}).runs();
  const std::shared_ptr<const volume::KeyRing> keys = context_.volume.keys();
  volume::PageWriter writer = page_writer(context_, *keys);
  std::vector<Run> carried;
  map_ = TRY(volume::map_update(context_.volume.pages(), writer, map_, runs, late_, &carried));
  for (const Run& run : carried) beside_.put(run);
  if (beside_.size() > kBesideMax)
    return fail(Code::kCorrupt, "too many blocks are to be written over damaged pages of the map: repair the volume first");
  for (ObjectInfo& info : TRY(writer.finish())) own_.push_back(std::move(info));
  return {};
}

Result<> ImportMap::lay_fingerprints(volume::Fingerprints& fingerprints, std::span<const volume::TreeChange> changes) {
  const std::shared_ptr<const volume::KeyRing> keys = context_.volume.keys();
  LayContext context = context_;
  context.page_bytes = std::min(context.page_bytes, kFingerprintPageBytes);
  volume::PageWriter writer = page_writer(context, *keys, fingerprints.loader(), fingerprints.page_key());
  fingerprints_ = TRY(fingerprints.update(writer, changes, late_));
  for (ObjectInfo& info : TRY(writer.finish())) own_.push_back(std::move(info));
  return {};
}

// Of pages that a later share replaced the next checkpoint hears: it is the first that knows these objects.
void ImportMap::forget_own(volume::Ledger& late) const {
  for (const auto& [key, change] : late_.net()) {
    if (change >= 0 || !std::ranges::binary_search(own_, key, {}, &ObjectInfo::key)) continue;
    Run gone{.block = {}, .count = static_cast<std::uint64_t>(-change), .hole = false, .first = 0, .extent = {}};
    gone.extent.object = key;
    late.forget(gone);
  }
}

Result<Laid> ImportMap::lay_companions(Generation as_of, Generation deaths_in, std::span<const ObjectInfo> objects) {
  Laid laid;
  laid.map = map_;
  laid.companions = view_.companions;
  laid.companions.fingerprints = fingerprints_;
  laid.companions.late = late_;
  laid.carried = beside_.runs();
  laid.objects = view_.new_objects;
  laid.objects.insert(laid.objects.end(), objects.begin(), objects.end());
  const std::shared_ptr<const volume::KeyRing> keys = context_.volume.keys();
  volume::PageWriter writer = page_writer(context_, *keys);
  TRY(device::lay_companions(context_, writer, laid, view_.checkpoint, as_of, deaths_in));
  forget_own(laid.companions.late);
  laid.own = TRY(writer.finish());
  laid.own.insert(laid.own.begin(), own_.begin(), own_.end());
  return laid;
}

Result<> ImportMap::checkpoint() {
  const Generation as_of = view_.generation;
  return uploader_.append(body_of(TRY(lay_companions(as_of, as_of, {})), as_of, view_.state)).map([](const volume::CommitRef&) {});
}

// What only the map before it referred to dies in its own number, as generations below need it, guests among them.
Result<Generation> ImportMap::commit(std::uint64_t disk_bytes, Seq committed, std::span<const ObjectInfo> objects) {
  for (int i = 0; i < kTriesMax; ++i) {
    const Generation as_of = context_.chain.head(), own = as_of.next();
    const segment::LinePlace place{context_.chain.who().epoch, uploader_.context_of(committed).ordinal};
    volume::CommitBody body = body_of(TRY(lay_companions(as_of, own, objects)), as_of, volume::MapState{place.epoch, committed, place, disk_bytes});
    body.kind = CommitKind::rollback;
    body.disk_bytes = disk_bytes;
    body.committed = committed;
    volume::put_line_place(body, place);
    const auto ref = uploader_.append(std::move(body), own);
    if (is(ref, Code::kExists)) continue;
    return TRY(ref).generation;
  }
  return fail(Code::kTransient, "others commit to the volume faster than the import can be stored: try again, nothing is sent twice");
}

}  // namespace s3crate::device
