// SPDX-License-Identifier: GPL-3.0-or-later
// Check: proves that everything the chain of commits names is in the store as it was written, or
// says exactly what is not.
//
// Four passes, each with bounded memory: the commits, from the newest down to 1; the objects, in
// the order of their names, against LIST (and with `read_data` all that they hold); the newest map,
// in the order of blocks; and what counts as used, in as many rounds as memory calls for. What is damaged never stops the check, and costs in the report what it
// costs a reader of the newest generation: the blocks in it and no others.
//
// Damage is whatever no second try can mend. A store that is away or refuses is an error of the
// check itself.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "volume/volume.h"

namespace s3crate::volume {

struct CheckProgress {
  std::string_view phase;  // "commits", "objects", "map", "counts"
  std::uint64_t done = 0;  // of `total`: generations, objects, blocks of the disk, pages
  std::uint64_t total = 0;
  std::uint64_t bytes = 0;  // read so far, in all phases
};

struct CheckOptions {
  bool read_data = false;  // every extent is read, its digest and seal checked
  double percent = 100;    // of the extents, a sample that `sample_seed` draws
  std::uint64_t sample_seed = 0;
  std::optional<CommitRef> seen = {};  // the newest generation that this machine ever saw
  std::function<void(const CheckProgress&)> progress = {};  // called often
  const std::atomic<bool>* stop = nullptr;                  // kCancelled soon after it is set
  std::size_t batch_runs = 1 << 18;  // of the map, held against the indexes at a time
  std::size_t recounted_max = 1 << 20;  // objects whose counts are held at a time, 48 bytes each
  std::size_t damages_max = 10'000;  // told one by one; the rest is counted
  std::size_t ranges_max = 1 << 20;
};

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

struct Damage {
  std::string what;       // a sentence
  std::string object;     // its name in the store
  Generation generation;  // that the object was made for; 0: all or none
  std::vector<ByteRange>
      ranges;  // of the newest disk, that cannot be read because of it; ascending and apart
};

struct CheckReport {
  Generation head;  // the newest generation that could be verified; 0: none
  std::uint64_t disk_bytes = 0;
  bool disk_lost = false;  // the newest generation does not open: nothing of the disk can be read
  std::uint64_t commits = 0, segments = 0, map_objects = 0, pages = 0,
                runs = 0;                       // looked at and sound
  std::uint64_t extents = 0;                    // read and sound
  std::uint64_t bytes = 0;                      // read from the store
  std::uint64_t orphans = 0, orphan_bytes = 0;  // objects that no commit names: left by a writer
                                                // that was stopped; no damage
  bool orphans_known = true;    // false: what is damaged may have named some of them
  std::uint64_t strangers = 0;  // objects whose names are none of ours
  std::vector<Damage> damages;
  std::uint64_t damages_total =
      0;  // more than damages.size() if there are too many to tell; then only about
  std::uint64_t damaged_bytes = 0;  // of the newest disk
  bool complete = true;             // false: too many damages or ranges to tell them all

  [[nodiscard]] bool clean() const { return damages_total == 0; }
  // Of all damages together; ascending and apart.
  [[nodiscard]] std::vector<ByteRange> damaged_ranges() const;
};

// The volume must be open. kCancelled; kBadKey if the data shall be read and the key may not;
// errors of the store.
[[nodiscard]] Result<CheckReport> check(Env env, Volume& volume, const CheckOptions& options);

}  // namespace s3crate::volume
