// SPDX-License-Identifier: GPL-3.0-or-later
// What is put before a commit that holds the roots of a checkpoint: pages of the map, and of the companions that follow it.
#pragma once

#include "volume/chain.h"

namespace s3crate::device {

struct LayContext {
  Env env;
  volume::Volume& volume;
  volume::Chain& chain;
  std::uint32_t page_bytes;
  std::function<bool()> stopped;  // kCancelled soon after
};

// `keys` outlive it.
[[nodiscard]] volume::PageWriter page_writer(const LayContext& context, const volume::KeyRing& keys);
// Of pages that have a loader and a key of their own.
[[nodiscard]] volume::PageWriter page_writer(const LayContext& context, const volume::KeyRing& keys, volume::PageLoader& loader,
                                             const crypto::SealingKey& page_key);

struct Laid {
  volume::MaybeRoot map;
  volume::Companions companions;  // in `late` what is to be noted
  std::vector<volume::Run> carried;           // changes over pages that cannot be read: they stay beside the map
  std::vector<segment::ObjectInfo> objects;   // that the table has taken
  std::vector<segment::ObjectInfo> left;      // that it could not
  std::vector<segment::ObjectInfo> own;       // the map objects
};

// Lets the companions follow: `laid.objects` are those that were named since `previous`, of which laid.companions are. What is not
// referred to any more dies in `deaths_in`.
[[nodiscard]] Result<> lay_companions(const LayContext& context, volume::PageWriter& writer, Laid& laid,
                                      const volume::CheckpointRef& previous, Generation as_of, Generation deaths_in);

// Of kind checkpoint; `state` is what the map holds, if that is known.
[[nodiscard]] volume::CommitBody body_of(const Laid& laid, Generation as_of, const std::optional<volume::MapState>& state);

}  // namespace s3crate::device
