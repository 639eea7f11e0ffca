// SPDX-License-Identifier: GPL-3.0-or-later
// The companions of the map: what a checkpoint stores beside it, and how they follow it.
//
//   objects     object -> what it is                             (ObjectTable reads it)
//   liveness    object -> how much of it is in use, when it died
//   dead        died, object -> born                             (what may be deleted, in order)
//   catalogue   generation -> what it was
//   tags        name -> generation
//
// The tree of fingerprints (volume/fingerprints.h) stands beside them; only imports change it.
//
// A set of kept generations needs what is_needed() says for one of them, so no old map is ever opened
// to know what may go. Deaths are noted late, never early: an object is dead when the last page that
// refers to it is gone from the trees. What cannot be told (a lost page, a lost row) stays alive.
#pragma once

#include "volume/ledger.h"

namespace s3crate::volume {

inline constexpr std::uint64_t kLiveMax = std::uint64_t{1} << 56;  // far above any disk's blocks

struct Liveness {
  std::uint64_t live = 0;  // blocks; pages of a map object; and 1 for holes that only its index tells
  Generation died;         // 0: never so far
  friend bool operator==(const Liveness&, const Liveness&) = default;
};
struct CatalogueEntry {
  Generation generation;
  CommitKind kind = CommitKind::data;
  WallTime time{};
  WallTime store_time{};
  std::uint64_t bytes = 0;  // of the objects born in it
  std::uint64_t disk_bytes = 0;
  Hash hash{};
  friend bool operator==(const CatalogueEntry&, const CatalogueEntry&) = default;
};
struct TagEntry {
  std::string name;
  Generation generation;
  WallTime time{};  // of the commit that gave it
  friend bool operator==(const TagEntry&, const TagEntry&) = default;
};

[[nodiscard]] PageEntry encode_liveness(const ObjectKey& key, const Liveness& liveness);
[[nodiscard]] Result<std::pair<ObjectKey, Liveness>> decode_liveness(const PageEntry& entry);
[[nodiscard]] PageEntry encode_dead(Generation died, const ObjectKey& key, Generation born);
[[nodiscard]] PageEntry encode_catalogue(const CatalogueEntry& row);
[[nodiscard]] Result<CatalogueEntry> decode_catalogue(const PageEntry& entry);
[[nodiscard]] PageEntry encode_tag(const TagEntry& row);
[[nodiscard]] Result<TagEntry> decode_tag(const PageEntry& entry);

// What the catalogue and the tags take of a commit.
struct Event {
  CatalogueEntry entry;
  std::vector<Tag> tags;  // given, or taken away if it is an untag
};
[[nodiscard]] Event event_of(const Commit& commit);

struct Companions {
  MaybeRoot objects, liveness, dead, catalogue, tags, fingerprints;
  std::vector<TreeRoot> origin_objects;  // of a fork: the object tables of its origins, as of the fork; ascending
  Ledger late;  // what the checkpoint left to be noted by the next one
};
// From the roots and the extensions of a checkpoint's commit, and back (the map's root is not
// touched). What was left to be noted is dropped if it is malformed.
[[nodiscard]] Companions companions_of(const CommitBody& checkpoint);
void put_companions(const Companions& companions, CommitBody& checkpoint);

// Whether generation `g`, which names `checkpoint`, needs an object that died in `died` (0: never).
//
// A segment that a map has let go of is still needed by what came before that map's P. A page that a
// checkpoint has let go of is needed by all that name an earlier one, up to the commit of that
// checkpoint, whose number nobody knows when `died` is written: what is known is that it is above the
// C of the one before. So for pages the C that is named counts, and not the generation.
[[nodiscard]] bool is_needed(Generation born, Generation died, Generation g, const CheckpointRef& checkpoint);

struct CompanionChanges {
  Generation as_of;                     // P
  CheckpointRef previous;               // the checkpoint before; 0: none
  std::span<const ObjectInfo> objects;  // named since then, ascending; map objects of that one included
  std::span<const Event> events;        // generations since its P, up to P, ascending
};
// `old`, with the map's own update already in old.late. `carried` objects: those that the table could
// not take, as in tree_update.
[[nodiscard]] Result<Companions> update_companions(PageLoader& loader, PageWriter& writer,
                                                   Companions old, const CompanionChanges& changes,
                                                   std::vector<TreeChange>& carried);

}  // namespace s3crate::volume
