// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/volume.h"

#include <algorithm>
#include <utility>

#include "base/parallel.h"
#include "segment/object_names.h"
#include "store/reread.h"

namespace s3crate::volume {

using segment::commit_name;

namespace {

// A chain of more keys commits than this is no honest volume's.
constexpr std::uint32_t kKeysCommitsMax = 4096;
constexpr std::size_t kSlotsMax = 1000;
constexpr Duration kStalePauseFirst = std::chrono::milliseconds(50), kStalePauseMax = std::chrono::seconds(1);
// What was listed so long ago is listed again: somebody may have been asked for a passphrase meanwhile.
constexpr Duration kListingFresh = std::chrono::seconds(5);
// What other programs leave behind (.DS_Store) must not hide the volume.
constexpr std::size_t kStrangersMax = 16;

Result<> check_trust(const Vid& vid, const std::optional<Vid>& expected, std::string_view where) {
  if (!expected || *expected == vid) return {};
  return fail(Code::kCorrupt, "{}: volume {} was expected here, but this is {}: if it was replaced on purpose, "
              "name the new one with --expect-volume", where, fingerprint(*expected), fingerprint(vid));
}

}  // namespace

std::string fingerprint(const Vid& vid) { return to_hex(ByteView(vid).first(8)); }

Result<std::unique_ptr<Volume>> Volume::open(Env env, store::ObjectStore& store, const KeySource& keys,
                                             const OpenOptions& options) {
  std::unique_ptr<Volume> volume(new Volume(env, store));
  volume->page_cache_bytes_ = options.page_cache_bytes;
  Result<Bytes> first;
  Result<store::ListPage> slots, commits;
  const MonotonicTime listed = env.clock.monotonic_now();
  parallel(env.executor, 3, 3, [&](std::size_t i) {
    if (i == 0) first = store.get(std::string(segment::kVolumeName), kVolumeObjectMax);
    if (i == 1) slots = store.list(std::string(segment::kKeysPrefix), "", kSlotsMax);
    if (i == 2) commits = store.list(std::string(segment::kCommitsPrefix), "", 1);
  });
  auto checked = [&](Result<Bytes> bytes) -> Result<Bytes> {
    if (!bytes) return fail(bytes.error().within("reading the volume object"));
    volume->object_ = TRY(decode_volume(*bytes));
    return bytes;
  };
  auto object = store::reread(store, checked(std::move(first)),
                              [&] { return checked(store.get(std::string(segment::kVolumeName), kVolumeObjectMax)); });
  if (is(object, Code::kNotFound)) {
    if (TRY(std::move(commits)).objects.empty())
      return fail(Code::kNotFound, "there is no volume at {}: make one with `s3crate-blk format`", store.describe());
    return fail(Code::kNotFound, "a format at {} was interrupted and left no volume: delete what is there and format again",
                store.describe());
  }
  volume->object_bytes_ = TRY(std::move(object));
  volume->vid_ = crypto::blake2b(volume->object_bytes_);
  TRY(check_trust(volume->vid_, options.expected, store.describe()));
  if (commits) volume->first_listing_ = Listing{std::move(*commits), listed};
  TRY(volume->unlock(keys, TRY(std::move(slots)).objects));
  return volume;
}

std::unique_ptr<Volume> Volume::another_reader() const {
  std::unique_ptr<Volume> other(new Volume(env_, store_));
  other->vid_ = vid_;
  other->object_ = object_;
  other->object_bytes_ = object_bytes_;
  other->identity_ = identity_;
  other->anchor_ = anchor_;
  other->page_cache_bytes_ = page_cache_bytes_;
  other->verified_keys_ = verified_keys_;
  other->newest_keys_copy_ = newest_keys_copy_;
  other->rings_ = rings_;
  other->keys_ = keys_;
  other->pages_ = pages_;
  return other;
}

// Keys commits form a chain of their own: each is signed by the admin key that the one before it named, the first by the
// volume object's.
Result<> Volume::verify_keys_chain(Generation newest) {
  auto done = verify_keys_chain(newest, KeysFrom::commits);
  return is(done, Code::kCorrupt) && copies_stand_in_ ? verify_keys_chain(newest, KeysFrom::copies) : done;
}

Result<> Volume::verify_keys_chain(Generation newest, KeysFrom from) {
  std::vector<ParsedCommit> chain;
  for (Generation at = newest; !verified_keys_.contains(at.value);) {
    if (chain.size() >= kKeysCommitsMax) return fail(Code::kCorrupt, "too many keys commits");
    auto object = from == KeysFrom::commits ? get_named(at) : store_.get(segment::keys_copy_name(at), kCommitBytesMax);
    if (is(object, Code::kNotFound)) return fail(Code::kCorrupt, "keys commit {} is missing", at);
    chain.push_back(TRY(parse_commit(TRY(std::move(object)), vid_, at)));
    const ParsedCommit& parsed = chain.back();
    if (!parsed.keys || parsed.header.writer != kAdminWriter) return fail(Code::kCorrupt, "commit {} is no keys commit", at);
    if (anchor_.generation == at && anchor_.hash != parsed.hash)
      return fail(Code::kCorrupt, "keys commit {} is not the one that the key slot knows", at);
    Generation previous = parsed.keys->previous_keys;
    if (at == Generation(1)) {
      if (previous != Generation(0)) return fail(Code::kCorrupt, "commit 1 names keys before it");
      break;
    }
    if (previous == Generation(0) || previous >= at) return fail(Code::kCorrupt, "keys commit {} names no earlier one", at);
    at = previous;
  }
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
    Generation previous = it->keys->previous_keys;
    const crypto::VerifyKey& admin =
        previous == Generation(0) ? object_.admin : verified_keys_.at(previous.value).keys.next_admin;
    if (auto ok = verify_commit(*it, admin); !ok)
      return fail(ok.error().within(fmt::format("keys commit {}", it->header.generation)));
    verified_keys_.emplace(it->header.generation.value, VerifiedKeys{*it->keys, it->hash});
  }
  return {};
}

Result<std::shared_ptr<const KeyRing>> Volume::ring_at(Generation keys_generation) {
  if (auto it = rings_.find(keys_generation.value); it != rings_.end()) return it->second;
  TRY(verify_keys_chain(keys_generation));
  KeysPart keys = verified_keys_.at(keys_generation.value).keys;
  const auto ours = [&] { return std::ranges::find(keys.grants, identity_->id(), &Grant::identity); };
  if (ours() == keys.grants.end()) {
    // Who was granted something later may read what is older: by the newest keys that a LIST showed or a commit stands on.
    Generation newest = newest_keys_copy_;
    for (const auto& [generation, verified] : verified_keys_) newest = std::max(newest, Generation(generation));
    TRY(verify_keys_chain(newest));
    const KeysPart& granting = verified_keys_.at(newest.value).keys;
    keys.data_key = granting.data_key;
    keys.older = granting.older;
    keys.grants = granting.grants;
  }
  const auto grant = ours();
  if (grant == keys.grants.end())
    return fail(Code::kBadKey, "this key was revoked: keys commit {} grants it nothing", keys_generation);
  GrantSecrets secrets = TRY(open_grant(grant->sealed, identity_->box.secret));
  auto ring = TRY(KeyRing::make(object_, vid_, keys_generation, keys, verified_keys_.at(1).keys.origins, secrets, *identity_));
  rings_.emplace(keys_generation.value, ring);
  return ring;
}

Result<Commit> Volume::open_commit_object(Bytes object, Generation generation) {
  ParsedCommit parsed = TRY(parse_commit(std::move(object), vid_, generation));
  Generation keys_generation = parsed.keys ? generation : parsed.header.keys_generation;
  auto ring = TRY(ring_at(keys_generation));
  // A keys commit's signature is the business of the chain of keys commits, which ring_at went through.
  if (!parsed.keys) TRY(verify_commit(parsed, TRY(ring->writer_key(parsed.header.writer))));
  if (parsed.keys && verified_keys_.at(generation.value).hash != parsed.hash)
    return fail(Code::kCorrupt, "two keys commits under one number");
  Commit commit = TRY(open_commit(parsed, *TRY(ring->commit_opening_key(parsed.header.ring)), object_.block_size()));
  TRY(ring->check_capability(parsed.header.writer, commit.body.kind, !commit.body.voids.empty()));
  if ((commit.body.kind == CommitKind::keys) != commit.keys.has_value())
    return fail(Code::kCorrupt, "commit {} is of kind {}, its shape says otherwise", generation, kind_name(commit.body.kind));
  return commit;
}

// A store may lag behind with it for some seconds. All that is missing together is not waited for longer: it may be lost.
Result<Bytes> Volume::get_named(Generation generation) {
  for (Duration wait = kStalePauseFirst;; wait = std::min(wait * 2, kStalePauseMax)) {
    auto object = commit_object(generation);
    if (!is(object, Code::kNotFound) || store_.caps().local || stale_patience_ <= Duration::zero()) return object;
    stale_patience_ -= wait;
    nap(env_.clock, env_.executor, wait);
  }
}

Result<Commit> Volume::load_commit(Generation generation) { return load_commit(generation, Expected::no); }

Result<Commit> Volume::load_commit(Generation generation, Expected expected) {
  auto commit = store::reread(store_, [&]() -> Result<Commit> {
    auto object = expected == Expected::yes ? get_named(generation) : commit_object(generation);
    return open_commit_object(TRY(std::move(object)), generation);
  });
  if (!commit) return fail(commit.error().within(fmt::format("commit {}", generation)));
  return commit;
}

Result<Commit> Volume::load_commit(const CommitRef& ref) {
  auto commit = load_commit(ref.generation, Expected::yes);
  // The chain names it, so that it is missing is damage.
  if (is(commit, Code::kNotFound)) return fail(Code::kCorrupt, "commit {} is missing", ref.generation);
  if (commit && commit->hash != ref.hash)
    return fail(Code::kCorrupt, "commit {} is not the one that its successor names", ref.generation);
  return commit;
}

Result<> Volume::use_copies_of_keys() {
  copies_stand_in_ = true;
  if (newest_keys_copy_ == Generation(0)) return fail(Code::kCorrupt, "{} holds no copy of a keys commit", store_.describe());
  TRY(use_keys(newest_keys_copy_));
  if (!pages_) pages_ = std::make_shared<PageLoader>(env_.executor, store_, *keys_, page_cache_bytes_, &env_.clock);
  return {};
}

Result<> Volume::use_keys(Generation in_force) {
  if (in_force < newest_keys_copy_)
    return fail(Code::kCorrupt, "the newest commit stands on keys {}, but keys {} exist: the store hides newer commits, or a "
                "revoked writer made it", in_force, newest_keys_copy_);
  keys_ = TRY(ring_at(in_force));
  return {};
}

Result<std::optional<Generation>> Volume::newest_commit() {
  return newest_of(TRY(store_.list(std::string(segment::kCommitsPrefix), "", 1)));
}

// `page` is the first one of a LIST of commits.
Result<std::optional<Generation>> Volume::newest_of(store::ListPage page) {
  for (std::size_t strangers = 0;; ++strangers) {
    if (page.objects.empty()) return std::nullopt;
    const std::string& name = page.objects[0].name;
    if (auto generation = segment::parse_commit_name(name)) return generation;
    if (strangers == kStrangersMax) return fail(Code::kCorrupt, "{}: too many names below {} are not commits': {} for one",
                                                store_.describe(), segment::kCommitsPrefix, name);
    page = TRY(store_.list(std::string(segment::kCommitsPrefix), name, 1));
  }
}

Result<Commit> Volume::load_head() {
  auto listing = std::exchange(first_listing_, std::nullopt);
  const bool fresh = listing && env_.clock.monotonic_now() - listing->when <= kListingFresh;
  const auto generation = TRY(fresh ? newest_of(std::move(listing->page)) : newest_commit());
  if (!generation) return fail(Code::kCorrupt, "the volume at {} has lost all its commits", store_.describe());
  Commit head = TRY(load_commit(*generation, Expected::yes));
  TRY(use_keys(keys_after(head)));
  if (!pages_) pages_ = std::make_shared<PageLoader>(env_.executor, store_, *keys_, page_cache_bytes_, &env_.clock);
  return head;
}

}  // namespace s3crate::volume
