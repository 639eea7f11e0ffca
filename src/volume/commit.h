// SPDX-License-Identifier: GPL-3.0-or-later
// Commits: header | plain part (keys commits only) | inline extents | sealed body | signature. Keys commits have no inline
// extents, so these always begin at commit_inline_offset().
// s3crate-blk-format(5), "Commits". Pure functions, bytes to structs and back.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "segment/segment.h"

namespace s3crate::volume {

using crypto::Hash;
using segment::Extension;
using segment::ObjectId;
using segment::ObjectInfo;
using segment::ObjectKey;
using segment::ObjectNonce;
using segment::Run;
using segment::Uuid;
using segment::Vid;

inline constexpr std::size_t kCommitBytesMax = 16 << 20;
inline constexpr std::size_t kInlineBytesMax = 256 << 10;
inline constexpr std::uint32_t kAdminWriter = 0xffffffff;  // signed by the admin key, not by one of the writers

enum class CommitKind : std::uint8_t {  // never renumbered
  keys = 1, stores = 2, config = 3, open = 4, data = 5, compact = 6, checkpoint = 7, tag = 8, untag = 9,
  pin = 10, unpin = 11, condemn = 12, freed = 13, hold = 14, resize = 15, rollback = 16, close = 17,
};
[[nodiscard]] std::string_view kind_name(CommitKind kind);

// What a writer may sign; bits, never renumbered.
enum Capability : std::uint32_t {
  kAppend = 1,    // open, data, checkpoint, close, tag, pin, unpin
  kChange = 2,    // compact, resize, rollback, untag
  kMaintain = 4,  // condemn, freed, hold
  // keys, stores, config and any commit with voids need the admin key itself.
};
[[nodiscard]] bool may_sign(std::uint32_t capabilities, CommitKind kind);
// Tag, untag, pin, unpin, keys, stores, config, condemn, freed, hold: what another party may put between a writer's
// commits without fencing it. Guests carry no changes.
[[nodiscard]] bool is_guest(CommitKind kind);

enum class Role : std::uint8_t { owner = 1, writer = 2, reader = 3, blind = 4, maintainer = 5, public_reader = 6 };

struct CommitHeader {
  Vid vid{};
  Generation generation;
  Hash parent{};               // BLAKE2b-256 of the whole parent object; zero in commit 1
  Generation keys_generation;  // the keys commit in force: the parent's, or the parent if that is one; 1 in commit 1
  std::uint32_t ring = 0;
  std::uint32_t writer = 0;
  friend bool operator==(const CommitHeader&, const CommitHeader&) = default;
};

struct Writer {
  crypto::VerifyKey verify_key{};
  Uuid identity{};  // first 16 bytes of BLAKE2b-256(X25519 public | Ed25519 public)
  std::uint32_t capabilities = 0;
  Generation from;
  friend bool operator==(const Writer&, const Writer&) = default;
};
struct Grant {
  Uuid identity{};
  crypto::PublicKey box_key{};
  Role role = Role::reader;
  Bytes sealed;  // box of an encoded GrantSecrets
  friend bool operator==(const Grant&, const Grant&) = default;
};
struct OlderRing {  // how the holder of ring r opens ring r-1; 72 bytes sealed: KEYS and additional data in the page
  std::uint32_t ring = 0;          // r-1
  crypto::PublicKey data_key{};    // X25519 public of r-1
  Bytes sealed_metadata_key;
  Bytes sealed_data_secret;
  friend bool operator==(const OlderRing&, const OlderRing&) = default;
};
struct OriginKeys {  // in commit 1 of a fork: the newest ring of an origin, sealed as older rings are
  std::uint16_t origin = 0;  // 1 ...
  std::uint32_t ring = 0;
  crypto::PublicKey data_key{};
  Bytes sealed_metadata_key;
  Bytes sealed_data_secret;
  friend bool operator==(const OriginKeys&, const OriginKeys&) = default;
};
struct KeysPart {
  crypto::VerifyKey next_admin{};
  crypto::PublicKey data_key{};
  std::vector<Writer> writers;
  std::vector<Uuid> revoked;
  std::vector<Grant> grants;
  std::vector<OlderRing> older;     // newest first
  std::vector<OriginKeys> origins;  // ascending
  Generation previous_keys;         // 0 in commit 1
  std::vector<Extension> extensions;
  friend bool operator==(const KeysPart&, const KeysPart&) = default;
};

// A typed root of a checkpoint.
enum class TreeId : std::uint8_t {  // never renumbered
  map = 1, objects = 2, liveness = 3, dead = 4, catalogue = 5, tags = 6, fingerprints = 7,
};
// Where a page is and what its stored bytes hash to.
struct PageRef {
  ObjectKey object;
  ObjectNonce nonce{};
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  Hash hash{};
  friend bool operator==(const PageRef&, const PageRef&) = default;
};
struct TreeRoot {
  TreeId tree = TreeId::map;
  std::uint8_t level = 0;  // of the root page; leaves are level 0
  PageRef page;
  std::uint16_t origin = 0;  // whose object table, in a fork; else 0
  friend bool operator==(const TreeRoot&, const TreeRoot&) = default;
};
// What any commit says of the newest checkpoint at or below it. generation 0: none yet, the map as of 0 is empty.
struct CheckpointRef {
  Generation commit;  // C: where the roots stand
  Generation as_of;   // P: the state they hold
  Hash roots_hash{};  // BLAKE2b-256 of the encoded list of roots
  friend bool operator==(const CheckpointRef&, const CheckpointRef&) = default;
};
// A commit by number and hash. generation 0: none.
struct CommitRef {
  Generation generation;
  Hash hash{};
  friend bool operator==(const CommitRef&, const CommitRef&) = default;
};
struct Tag {
  std::string name;
  Generation generation;
  friend bool operator==(const Tag&, const Tag&) = default;
};
// Tags are names of files under history/.
[[nodiscard]] bool is_tag_name(std::string_view name);
struct Pin {
  Vid holder{};
  Generation generation;
  std::string note;
  friend bool operator==(const Pin&, const Pin&) = default;
};
struct PendingClose {  // in close: what a journal still holds
  std::uint64_t bytes = 0;
  Seq first;
  friend bool operator==(const PendingClose&, const PendingClose&) = default;
};

// Lists ascend without duplicates: roots by (tree, origin), objects and object keys by (origin, id), tags by name, generations.
struct CommitBody {
  CommitKind kind = CommitKind::data;
  std::uint32_t epoch = 0;
  Uuid instance{};     // random, of one mount
  std::array<std::uint8_t, 16> home{};  // KDF(Mk, "home", ...), truncated
  std::string host;
  WallTime time{};
  WallTime store_time{};  // 0: unknown
  std::uint64_t disk_bytes = 0;
  Uuid journal{};
  Seq committed;             // all batches up to here are in the store
  std::uint64_t unsent_bytes = 0;
  std::uint64_t unsent_age_ns = 0;
  Generation term;           // the newest open, or the close that ended it
  std::optional<PendingClose> pending;
  CommitRef delta_base;      // runs and objects are the changes since then; generation 0: since the empty disk
  CheckpointRef checkpoint;
  std::vector<TreeRoot> roots;      // checkpoint (and rollback) commits only
  std::vector<ObjectInfo> objects;  // new since delta_base
  std::vector<Run> runs;            // changed since delta_base; sorted by block, no overlaps
  std::vector<Generation> voids;
  std::vector<segment::SeqRange> abandoned;
  std::vector<Tag> tags;
  std::vector<Pin> pins;
  std::vector<ObjectKey> condemned_objects;
  std::vector<Generation> condemned_generations;
  std::vector<ObjectKey> freed_objects;
  std::vector<Generation> freed_generations;
  std::vector<Extension> extensions;
  friend bool operator==(const CommitBody&, const CommitBody&) = default;
};

struct Commit {
  CommitHeader header;
  std::optional<KeysPart> keys;  // keys commits only
  CommitBody body;
  Bytes inline_extents;  // of the one inline object born here; offsets of its extents count from their beginning
  Hash hash{};  // of the whole object; filled by seal_commit and open_commit
};

// Where in a commit object its inline extents begin.
[[nodiscard]] std::size_t commit_inline_offset();

// decode_body's block_size bounds the runs.
[[nodiscard]] Bytes encode_body(const CommitBody& body);
[[nodiscard]] Result<CommitBody> decode_body(ByteView plain, std::uint32_t block_size);
// Extension 5 of a body: which commits are read below its delta base, newest first, as a reader may like to know at once. A hint:
// what is missing or wrong in it costs time. At most kBasesHintMax are written; what makes no sense reads as less.
inline constexpr std::size_t kBasesHintMax = 256;
void put_bases_hint(CommitBody& body, std::span<const Generation> below_delta_base);
[[nodiscard]] std::vector<Generation> bases_hint(const CommitBody& body);
[[nodiscard]] Bytes encode_keys_part(const KeysPart& keys);
[[nodiscard]] Result<KeysPart> decode_keys_part(ByteView plain);
[[nodiscard]] Bytes encode_roots(const std::vector<TreeRoot>& roots);  // what roots_hash is of

// `body_key` from KDF(Mk_ring, "commit", vid). kNoSpace past kCommitBytesMax or kInlineBytesMax; kBadArgument if the parts do
// not fit together (a guest with changes, a born or a tag of the future ...).
[[nodiscard]] Result<Bytes> seal_commit(Commit& commit, const crypto::SealingKey& body_key, const crypto::Signer& signer,
                                        Random& random);

// The stages of reading one, so that nothing sealed is opened, and nothing unsigned believed, too early.
struct ParsedCommit {
  ParsedCommit() = default;
  ParsedCommit(ParsedCommit&&) noexcept = default;  // not copied: it points into itself
  ParsedCommit& operator=(ParsedCommit&&) noexcept = default;

  CommitHeader header;
  std::optional<KeysPart> keys;
  Hash hash{};
  Bytes object;  // the rest points into it
  ByteView plain, sealed_body, inline_extents, signature;
};
// Structure only. kCorrupt; kUnsupported for a newer version.
[[nodiscard]] Result<ParsedCommit> parse_commit(Bytes object, const Vid& vid, Generation expected);
[[nodiscard]] Result<> verify_commit(const ParsedCommit& parsed, const crypto::VerifyKey& signer);
[[nodiscard]] Result<Commit> open_commit(const ParsedCommit& parsed, const crypto::OpeningKey& body_key,
                                         std::uint32_t block_size);

}  // namespace s3crate::volume
