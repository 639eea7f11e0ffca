// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/lay.h"

#include <algorithm>

namespace s3crate::device {

using segment::ObjectInfo;
using volume::TreeChange;

namespace {

// Of subtrees that were dropped unread, so many pages are walked each time; and so many notes of them, some 90 bytes each, fit in a
// commit beside the rest that is left to be noted.
constexpr std::size_t kWalkedPagesMax = 512;
constexpr std::size_t kDroppedNotesMax = 400;

// Moves those objects that `rows` are of out of `objects`.
std::vector<ObjectInfo> take_rows(std::vector<ObjectInfo>& objects, const std::vector<TreeChange>& rows) {
  std::vector<ObjectInfo> taken;
  auto row = rows.begin();
  std::erase_if(objects, [&](const ObjectInfo& info) {
    if (row == rows.end() || volume::encode_object_info(info).key != row->key) return false;
    taken.push_back(info);
    ++row;
    return true;
  });
  return taken;
}

// The generations since a checkpoint. Most of them the chain has seen; the others (of before this mount) are loaded; one that is
// damaged is passed over.
Result<std::vector<volume::Event>> events(const LayContext& context, Generation since, Generation as_of) {
  std::vector<volume::Event> seen = context.chain.events(as_of);
  std::vector<volume::Event> out;
  const Generation to = seen.empty() ? as_of : Generation(seen.front().entry.generation.value - 1);
  for (Generation at = since.next(); at <= to; at = at.next()) {
    if (context.stopped()) return fail(Code::kCancelled, "the disk is closing");
    auto commit = context.volume.load_commit(at);
    if (commit) out.push_back(volume::event_of(*commit));
    else if (!is(commit, Code::kCorrupt) && !is(commit, Code::kNotFound)) return fail(commit.error());
  }
  out.insert(out.end(), std::move_iterator(seen.begin()), std::move_iterator(seen.end()));
  return out;
}

}  // namespace

volume::PageWriter page_writer(const LayContext& context, const volume::KeyRing& keys) {
  return page_writer(context, keys, context.volume.pages(), keys.page_sealing_key());
}

volume::PageWriter page_writer(const LayContext& context, const volume::KeyRing& keys, volume::PageLoader& loader,
                               const crypto::SealingKey& page_key) {
  return volume::PageWriter({.store = context.volume.store(), .random = context.env.random, .loader = loader,
                             .vid = keys.vid(), .ring = keys.ring(), .page_key = page_key,
                             .new_id = [&chain = context.chain] { return chain.new_object_id(); },
                             .page_bytes = context.page_bytes, .stopped = context.stopped});
}

Result<> lay_companions(const LayContext& context, volume::PageWriter& writer, Laid& laid, const volume::CheckpointRef& previous,
                        Generation as_of, Generation deaths_in) {
  volume::Ledger& late = laid.companions.late;
  // Over a page that is gone they stand in the commit instead; as they do so each time, they count too long.
  for (const volume::Run& run : laid.carried) late.add(run);
  TRY(late.walk(context.volume.pages(), kWalkedPagesMax, kDroppedNotesMax, context.stopped));
  std::ranges::sort(laid.objects, {}, &ObjectInfo::key);
  const std::vector<volume::Event> events = TRY(device::events(context, previous.as_of, as_of));
  std::vector<TreeChange> rows_left;
  laid.companions = TRY(volume::update_companions(context.volume.pages(), writer, std::move(laid.companions),
                                                  {.as_of = deaths_in, .previous = previous, .objects = laid.objects,
                                                   .events = events}, rows_left));
  laid.left = take_rows(laid.objects, rows_left);
  return {};
}

volume::CommitBody body_of(const Laid& laid, Generation as_of, const std::optional<volume::MapState>& state) {
  volume::CommitBody body;
  body.kind = volume::CommitKind::checkpoint;
  body.checkpoint.as_of = as_of;
  if (laid.map) body.roots.push_back(*laid.map);
  put_companions(laid.companions, body);
  body.objects = laid.own;
  body.objects.insert(body.objects.end(), laid.left.begin(), laid.left.end());
  body.runs = laid.carried;
  put_map_state(body, state);
  return body;
}

}  // namespace s3crate::device
