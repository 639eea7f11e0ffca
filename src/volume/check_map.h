// SPDX-License-Identifier: GPL-3.0-or-later
// The map pass of a check: every run of the newest generation, held against the objects and indexes
// that it names; what cannot be read is told in blocks. Runs are taken in batches, and a batch
// object by object, so that an index is opened once a batch.
#pragma once

#include "volume/check_objects.h"

namespace s3crate::volume {

class MapCheck {
 public:
  MapCheck(Volume& volume, const View& view, const CheckOptions& options, Findings& findings,
           KnownObjects& known, ObjectCheck& objects);
  [[nodiscard]] Result<> run();

 private:
  using Group = std::span<const Run>;  // of one object, by offset
  [[nodiscard]] Result<> leaf(const Page& page, const Place& place);
  // Those of one page, less what a delta page over it says.
  [[nodiscard]] Result<> runs_of(const Page& page, const Place& place, const RunMap& amended);
  [[nodiscard]] bool reaches_beyond(const Run& run, const RunMap& amended) const;
  // The parts of [from, to) that neither the changes since the checkpoint nor a delta page hide.
  void uncovered(const RunMap& amended, BlockIndex from, BlockIndex to,
                 const std::function<void(BlockIndex, BlockIndex)>& each) const;
  void lose_uncovered(Findings::DamageId damage, const RunMap& amended, BlockIndex from,
                      BlockIndex to);
  [[nodiscard]] Result<> bad_page(const Place& place, ByteView lower, const Error& error);
  [[nodiscard]] Result<> add(const Run& run);
  [[nodiscard]] Result<> flush();
  [[nodiscard]] Result<> group(Group runs);
  [[nodiscard]] Result<> of_commit(Group runs, const ObjectInfo& info);
  [[nodiscard]] Result<> of_origin(Group runs, const ObjectInfo& info);
  [[nodiscard]] Result<> against_index(Group runs, const ObjectInfo& info,
                                       const segment::SegmentIndex& index);
  // Nothing vouches for the extents of these runs: each is read.
  [[nodiscard]] Result<> by_reading(Group runs, const ObjectInfo& info);
  [[nodiscard]] Result<> unknown_object(Group runs, std::string_view why);
  void lose(Findings::DamageId damage, Group runs);
  Findings::DamageId damage(const ObjectInfo& info, std::string_view what);

  Volume& volume_;
  const View& view_;
  const CheckOptions& options_;
  Findings& findings_;
  KnownObjects& known_;
  ObjectCheck& objects_;
  const BlockIndex end_;  // of the disk
  std::vector<Run> batch_;
};

}  // namespace s3crate::volume
