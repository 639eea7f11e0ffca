// SPDX-License-Identifier: GPL-3.0-or-later
// The objects of a volume, one by one: what a check proves of each, and where it finds what the
// newest generation knows of them.
#pragma once

#include "cache/extent_cache.h"
#include "volume/check_findings.h"
#include "volume/tree_read.h"

namespace s3crate::volume {

// The leaves of a tree in order, around what is damaged: `bad` hears of each page that cannot be
// had, with the first of the keys that it answers for (empty: the root's); its place's upper bound
// ends them. Memory: one page a level.
using OnLeaf = std::function<Result<>(const Page&, const Place&)>;
using OnBadPage = std::function<Result<>(const Place&, ByteView lower, const Error&)>;
[[nodiscard]] Result<> walk_tree(PageLoader& loader, const MaybeRoot& root, std::uint64_t& pages,
                                 const OnLeaf& leaf, const OnBadPage& bad);

// The index of a segment that the chain names, verified; counts the bytes that were read.
[[nodiscard]] Result<segment::SegmentIndex> read_segment_index(Volume& volume, const ObjectInfo& info, std::uint64_t& bytes);

// What the newest generation knows of its objects.
class KnownObjects {
 public:
  // `view` outlives it.
  KnownObjects(Volume& volume, const View& view);
  // nullopt: it does not know the object.
  [[nodiscard]] Result<std::optional<ObjectInfo>> find(const ObjectKey& key);
  // Every one in the order of keys. Pages of the object table that cannot be had are reported, and
  // passed over.
  [[nodiscard]] Result<> for_each(Findings& findings,
                                  const std::function<Result<>(const ObjectInfo&)>& each);
  // Of the tables of origins nothing is told but what the map asks for.
  // After for_each: the damage that hides this key; nullopt: none.
  [[nodiscard]] std::optional<Findings::DamageId> hidden_by(const ObjectKey& key) const;

 private:
  struct Hidden {
    Bytes lower;
    std::optional<Bytes> upper;
    Findings::DamageId damage;
  };
  Volume& volume_;
  const View& view_;
  std::vector<ObjectInfo> fresh_;  // since the checkpoint, by key
  std::vector<Hidden> hidden_;
};

class ObjectCheck {
 public:
  ObjectCheck(Volume& volume, const CheckOptions& options, Findings& findings)
      : volume_(volume), options_(options), findings_(findings) {}

  // All that the newest generation knows, against LIST.
  [[nodiscard]] Result<> all(KnownObjects& known, std::uint64_t expected);
  // One that a commit names.
  [[nodiscard]] Result<> one(const ObjectInfo& info);

  // Of an origin, whose writers nobody here knows, the sealed index is the one that its chain names.
  [[nodiscard]] Result<> origin_segment(const ObjectInfo& info);
  // Whether an extent is one of those that are to be read.
  [[nodiscard]] bool in_sample(ObjectId id, std::uint32_t number) const;
  // The verified index of a segment.
  [[nodiscard]] Result<segment::SegmentIndex> open_index(const ObjectInfo& info);
  // Reads extents of one object (by offset, distinct) as a disk would; `each` hears of each, with
  // nullptr if it is sound.
  [[nodiscard]] Result<> read_extents(
      const ObjectInfo& info, std::span<const segment::ExtentRef> refs,
      const std::function<void(const segment::ExtentRef&, const Error*)>& each);

 private:
  [[nodiscard]] Result<> content(const ObjectInfo& info);
  [[nodiscard]] Result<> map_object(const ObjectInfo& info);
  [[nodiscard]] Result<> segment(const ObjectInfo& info);
  [[nodiscard]] Result<> extents(const ObjectInfo& info, const segment::SegmentIndex& index);
  [[nodiscard]] Result<std::optional<std::uint64_t>> size_of(const std::string& name);
  void damage(const ObjectInfo& info, std::string_view what);

  Volume& volume_;
  const CheckOptions& options_;
  Findings& findings_;
};

}  // namespace s3crate::volume
