// SPDX-License-Identifier: GPL-3.0-or-later
// A volume opened for reading: its keys, its chain of commits, and the map as of any generation.
//
// Nothing is believed that a signature does not reach: the slot names the vid, the vid the volume object and its admin key, that
// key the chain of keys commits, those the writers, a writer the commit, the commit its roots and segments, those their pages
// and extents. A LIST only says where to look.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>

#include "cache/extent_cache.h"
#include "volume/checkpoint_mark.h"
#include "volume/companions.h"
#include "volume/key_ring.h"
#include "volume/run_map.h"

namespace s3crate::volume {

// What the user gave to unlock with. Any may be missing.
struct KeySource {
  std::optional<crypto::Secret> key_file;
  // Asked for only if a passphrase slot is there. nullopt: none to be had.
  std::function<Result<std::optional<Bytes>>()> passphrase;
};

struct OpenOptions {
  std::optional<Vid> expected;  // refuse any other volume
  std::uint64_t page_cache_bytes = 64 << 20;
};

class DeltaLevels;

// The map and its companions as of one generation. Immutable but for what its loaders cache.
struct View {
  Generation generation;
  std::uint64_t disk_bytes = 0;
  RunMap changes;       // since the checkpoint
  MaybeRoot map;        // as of the checkpoint
  Companions companions;  // as of the checkpoint
  std::vector<ObjectInfo> new_objects;  // since then, map objects of the checkpoint itself included
  CheckpointRef checkpoint;
  std::optional<CheckpointMark> mark;   // of the checkpoint, if it can be marked
  std::optional<MapState> state;        // after the generation
  std::uint32_t change_commits = 0;     // commits read to get here
};

class Volume {
 public:
  // kNotFound: no volume there; kBadKey; kUnsupported; kCorrupt; store errors.
  [[nodiscard]] static Result<std::unique_ptr<Volume>> open(Env env, store::ObjectStore& store, const KeySource& keys,
                                                            const OpenOptions& options);

  // A second reader of the same volume, which knows what this one does by now and shares its pages: for another task, as no
  // volume is thread-safe. After load_head(), while nobody else uses this one; it may outlive this one, not the store.
  [[nodiscard]] std::unique_ptr<Volume> another_reader() const;

  [[nodiscard]] const VolumeObject& object() const { return object_; }
  // As it is stored.
  [[nodiscard]] const Bytes& object_bytes() const { return object_bytes_; }
  [[nodiscard]] const Vid& vid() const { return vid_; }
  [[nodiscard]] const Identity& identity() const { return *identity_; }
  [[nodiscard]] std::shared_ptr<const KeyRing> keys() const { return keys_; }
  [[nodiscard]] store::ObjectStore& store() const { return store_; }
  [[nodiscard]] PageLoader& pages() const { return *pages_; }
  [[nodiscard]] const CommitRef& anchor() const { return anchor_; }

  // The highest number of a commit that LIST shows; what is below their prefix and has no commit's name is passed over.
  [[nodiscard]] Result<std::optional<Generation>> newest_commit();
  // The newest commit, found by LIST and verified; the keys in force follow it. One LIST and the commits not yet known.
  [[nodiscard]] Result<Commit> load_head();
  // A commit by number, verified against the keys commit it names. kNotFound.
  [[nodiscard]] Result<Commit> load_commit(Generation generation);
  // The same, and it must have this hash.
  [[nodiscard]] Result<Commit> load_commit(const CommitRef& ref);
  // The map as of a commit. `levels`, if given: what a writer on top of it goes on with.
  [[nodiscard]] Result<View> load_view(const Commit& commit, DeltaLevels* levels = nullptr);
  // Gets, side by side, the objects of the commits that load_view(commit) is going to load, as far as is known, and those of `also`:
  // the next load of each of them asks the store for nothing. Only an error of a store that is away counts.
  [[nodiscard]] Result<> get_ahead_of_view(const Commit& commit, std::span<const Generation> also);
  // The same of commits that are about to be loaded; one that is named twice will be loaded twice.
  [[nodiscard]] Result<> get_ahead(std::span<const Generation> commits);

  // For a repair: from now on the copies of keys commits stand in for those that are lost, and the newest of them says which keys are
  // in force, as if all commits were. kCorrupt: there is none, or it is damaged.
  [[nodiscard]] Result<> use_copies_of_keys();
  // The keys of that generation are now the ones in force.
  [[nodiscard]] Result<> use_keys(Generation in_force);
  // The keys in force at `keys_generation`, through the verified chain of keys commits.
  [[nodiscard]] Result<std::shared_ptr<const KeyRing>> ring_at(Generation keys_generation);
  // Verifies and opens a commit object got by any way. Loads keys commits as needed.
  [[nodiscard]] Result<Commit> open_commit_object(Bytes object, Generation generation);

 private:
  Volume(Env env, store::ObjectStore& store) : env_(env), store_(store) {}
  [[nodiscard]] Result<> unlock(const KeySource& source, std::span<const store::ObjectInfo> names);
  [[nodiscard]] Result<std::map<std::string, Result<Bytes>>> get_slots(std::span<const std::string> slots,
                                                                       std::span<const Generation> keys_commits);
  // The object of a commit that must be there: a LIST showed it, or a verified commit names it.
  [[nodiscard]] Result<Bytes> get_named(Generation generation);
  enum class Expected { no, yes };
  [[nodiscard]] Result<Commit> load_commit(Generation generation, Expected expected);
  [[nodiscard]] Result<> verify_keys_chain(Generation newest);
  enum class KeysFrom { commits, copies };
  [[nodiscard]] Result<> verify_keys_chain(Generation newest, KeysFrom from);
  [[nodiscard]] Result<View> read_view(const Commit& commit, DeltaLevels* levels);
  [[nodiscard]] Result<> load_checkpoint(const Commit& commit, View& view);
  [[nodiscard]] Result<Bytes> commit_object(Generation generation);
  [[nodiscard]] Result<> keep_ahead(const std::map<Generation, int>& commits, std::span<Result<Bytes>> got);
  [[nodiscard]] Result<std::optional<Generation>> newest_of(store::ListPage page);

  Env env_;
  store::ObjectStore& store_;
  Vid vid_{};
  VolumeObject object_;
  Bytes object_bytes_;
  std::shared_ptr<const Identity> identity_;
  CommitRef anchor_;
  Duration stale_patience_ = std::chrono::seconds(10);  // that is left
  std::uint64_t page_cache_bytes_ = 0;
  struct VerifiedKeys {
    KeysPart keys;
    Hash hash{};
  };
  std::unordered_map<std::uint64_t, VerifiedKeys> verified_keys_;  // by generation
  struct Ahead {
    Bytes object;
    int uses = 1;  // that are left
  };
  std::unordered_map<std::uint64_t, Ahead> ahead_;  // commit objects that were got before they are needed, by generation
  struct Listing {
    store::ListPage page;
    MonotonicTime when;
  };
  std::optional<Listing> first_listing_;  // of commits; for the first load_head
  bool copies_stand_in_ = false;
  Generation newest_keys_copy_;  // that a LIST showed: the head's keys are at least these
  std::unordered_map<std::uint64_t, std::shared_ptr<const KeyRing>> rings_;
  std::shared_ptr<const KeyRing> keys_;
  // Pages are of any ring that the newest keys open.
  std::shared_ptr<PageLoader> pages_;
};

// Finds objects for the extent cache: first among those new since the checkpoint, then in the object table.
class ObjectTable final : public cache::ObjectResolver {
 public:
  // Opened objects cost a box and a key each, some 50 us and 300 bytes: `opened_max` of them are kept, as many as a cache of extents
  // is likely to touch.
  ObjectTable(Executor& executor, std::shared_ptr<const KeyRing> keys, PageLoader& pages, std::size_t opened_max = 16384);
  ~ObjectTable() override;
  [[nodiscard]] Result<std::shared_ptr<const cache::OpenedObject>> resolve(const ObjectKey& key) override;
  [[nodiscard]] Result<ObjectInfo> find(const ObjectKey& key);

  // As `view` has it, of origins too. Before other tasks use the table.
  void begin_at(const View& view);
  void add(const ObjectInfo& info);
  // A checkpoint holds everything born up to it: the table now stands at `root`, and those are forgotten.
  void rebase(const MaybeRoot& root, std::span<const ObjectInfo> stored);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Objects that were asked for together, so that they cost one round trip.
struct WantedObject {
  std::string name;
  std::uint64_t size_max = 0;
};
inline constexpr std::size_t kGetTogetherMax = 48;  // at a time
[[nodiscard]] std::vector<Result<Bytes>> get_together(Executor& executor, store::ObjectStore& store,
                                                      std::span<const WantedObject> wanted);

// The commits that are read below this one, newest first, as far as it says: its delta base, and the hint.
[[nodiscard]] std::vector<Generation> bases_above(const CommitBody& body, Generation as_of);
// Whether it says that something has changed since its delta base: runs, or objects alone (of a generation whose writes were all
// dropped).
[[nodiscard]] bool has_changes(const CommitBody& body);
// The newest commit with changes at or below `commit`: what a commit on top of it has as its delta base.
[[nodiscard]] CommitRef newest_change(const Commit& commit);
// The keys commit in force for whatever stands on `commit`.
[[nodiscard]] inline Generation keys_after(const Commit& commit) {
  return commit.keys ? commit.header.generation : commit.header.keys_generation;
}

// How messages and trust name a volume: the first 16 hexadecimal digits of its vid.
[[nodiscard]] std::string fingerprint(const Vid& vid);

}  // namespace s3crate::volume
