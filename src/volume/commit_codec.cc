// SPDX-License-Identifier: GPL-3.0-or-later
// Commit objects: header, seal and signature, and that their parts fit together.
#include <algorithm>

#include "base/check.h"
#include "volume/codec.h"
#include "volume/wire_format.h"

namespace s3crate::volume {
namespace {

constexpr std::string_view kSignatureType = "commit";
constexpr std::size_t kPlainMax = 4 << 20;
constexpr std::size_t kSignatureSize = sizeof(crypto::Signature);

Bytes body_additional(ByteView header, ByteView plain) {
  Bytes out(header.begin(), header.end());
  append(out, crypto::blake2b(plain));
  return out;
}

bool is_sound(const wire::CommitHead& w) {
  const bool first = w.generation == 1;
  return w.reserved == 0 && w.reserved2 == 0 && w.generation >= 1 && w.generation <= kNumberMax &&
         w.keys_generation >= 1 &&
         (first ? w.keys_generation == 1 : w.keys_generation < w.generation) &&
         first == all_zero(w.parent) && w.plain_length <= kPlainMax &&
         w.inline_length <= kInlineBytesMax && w.sealed_length >= crypto::kSealOverhead &&
         (w.plain_length == 0 || (w.inline_length == 0 && w.writer == kAdminWriter));
}

CommitHeader from_wire(const wire::CommitHead& w) {
  CommitHeader header;
  header.vid = w.vid;
  header.generation = Generation(w.generation);
  header.parent = w.parent;
  header.keys_generation = Generation(w.keys_generation);
  header.ring = w.ring;
  header.writer = w.writer;
  return header;
}

wire::CommitHead to_wire(const CommitHeader& header) {
  wire::CommitHead w;
  w.vid = header.vid;
  w.generation = header.generation.value;
  w.parent = header.parent;
  w.keys_generation = header.keys_generation.value;
  w.ring = header.ring;
  w.writer = header.writer;
  return w;
}

bool inline_part_fits(const Commit& commit) {
  bool found = false;
  for (const ObjectInfo& info : commit.body.objects) {
    if (info.born > commit.header.generation) return false;
    if (info.kind != segment::ObjectKind::inline_extents || info.born != commit.header.generation)
      continue;
    if (found || info.length != commit.inline_extents.size()) return false;
    found = true;
  }
  return found == !commit.inline_extents.empty();
}

bool checkpoint_fits(const CommitBody& body, Generation generation) {
  const bool names_roots = body.kind == CommitKind::checkpoint || !body.roots.empty();
  if (!names_roots) return body.checkpoint.commit <= generation;
  return (body.kind == CommitKind::checkpoint || body.kind == CommitKind::rollback) &&
         body.checkpoint.commit == generation &&
         body.checkpoint.roots_hash == crypto::blake2b(encode_roots(body.roots));
}

// What the page says of header, plain part, body and inline extents together. nullptr: all is well.
const char* misfit(const Commit& commit) {
  const CommitBody& body = commit.body;
  const Generation own = commit.header.generation;
  if (commit.keys.has_value() != (body.kind == CommitKind::keys))
    return "a plain part is what keys commits have, and only they";
  if (is_guest(body.kind) && !(body.objects.empty() && body.runs.empty() && body.roots.empty() &&
                               commit.inline_extents.empty()))
    return "a guest carries changes";
  if (body.pending && body.kind != CommitKind::close) return "only a close says what is pending";
  if (!inline_part_fits(commit)) return "objects and inline extents do not fit";
  if (!checkpoint_fits(body, own)) return "roots and checkpoint do not fit";
  if (body.delta_base.generation >= own || body.term > own) return "it stands on the future";
  if (!body.voids.empty() && body.voids.back() >= own) return "it voids the future";
  if (std::ranges::any_of(body.tags, [&](const Tag& tag) { return tag.generation > own; }))
    return "it tags the future";
  return nullptr;
}

}  // namespace

std::size_t commit_inline_offset() { return sizeof(wire::CommitHead); }

Result<Bytes> seal_commit(Commit& commit, const crypto::SealingKey& body_key,
                          const crypto::Signer& signer, Random& random) {
  if (const char* what = misfit(commit); what != nullptr)
    return fail(Code::kBadArgument, "commit {}: {}", commit.header.generation, what);
  if (commit.body.objects.size() > kObjectsPerCommitMax ||
      commit.body.runs.size() > kRunsPerCommitMax)
    return fail(Code::kNoSpace, "commit {} would name too much", commit.header.generation);
  const Bytes plain = commit.keys ? encode_keys_part(*commit.keys) : Bytes();
  const Bytes body = encode_body(commit.body);
  wire::CommitHead head = to_wire(commit.header);
  const std::size_t total = sizeof head + plain.size() + commit.inline_extents.size() +
                            body.size() + crypto::kSealOverhead + kSignatureSize;
  if (total > kCommitBytesMax || plain.size() > kPlainMax ||
      commit.inline_extents.size() > kInlineBytesMax)
    return fail(Code::kNoSpace, "commit {} would be too large", commit.header.generation);
  head.plain_length = static_cast<std::uint32_t>(plain.size());
  head.inline_length = static_cast<std::uint32_t>(commit.inline_extents.size());
  head.sealed_length = static_cast<std::uint32_t>(body.size() + crypto::kSealOverhead);
  if (!is_sound(head))
    return fail(Code::kBadArgument, "commit {} has a header that nobody would accept",
                commit.header.generation);
  Bytes out;
  out.reserve(total);
  ByteWriter writer(out);
  writer.wire(head);
  writer.raw(plain);
  writer.raw(commit.inline_extents);
  body_key.seal(random, body, body_additional(wire_bytes(head), plain), out);
  const ByteView signed_part = out;
  writer.raw(signer.sign(kSignatureType, {&signed_part, 1}));
  CHECK(out.size() == total);
  commit.hash = crypto::blake2b(out);
#ifndef NDEBUG
  const auto parsed = parse_commit(out, commit.header.vid, commit.header.generation);
  CHECK(parsed || is(parsed, Code::kUnsupported));
  if (parsed) {
    CHECK(verify_commit(*parsed, signer.verify_key()));
    const auto opened = open_commit(*parsed, body_key.opening_key(), segment::kBlockSizeMin);
    CHECK(opened ? opened->header == commit.header && opened->keys == commit.keys &&
                       opened->body == commit.body && opened->hash == commit.hash &&
                       opened->inline_extents == commit.inline_extents
                 : is(opened, Code::kUnsupported));
  }
#endif
  return out;
}

Result<ParsedCommit> parse_commit(Bytes object, const Vid& vid, Generation expected) {
  if (object.size() > kCommitBytesMax) return fail(Code::kCorrupt, "the commit is too large");
  ParsedCommit parsed;
  parsed.object = std::move(object);
  ByteReader reader(parsed.object);
  const auto w = reader.wire<wire::CommitHead>();
  if (!reader.ok() || w.magic != wire::kCommitMagic)
    return fail(Code::kCorrupt, "this is no commit");
  if (w.version != wire::kVersion || w.flags != 0)
    return fail(Code::kUnsupported, "a commit of version {} needs a newer version of this program",
                static_cast<std::uint16_t>(w.version));
  if (w.vid != vid) return fail(Code::kCorrupt, "the commit is of another volume");
  if (w.generation != expected.value)
    return fail(Code::kCorrupt, "the commit is of generation {}, not {}",
                static_cast<std::uint64_t>(w.generation), expected);
  if (!is_sound(w)) return fail(Code::kCorrupt, "the commit's header is malformed");
  parsed.header = from_wire(w);
  parsed.plain = reader.raw(w.plain_length);
  parsed.inline_extents = reader.raw(w.inline_length);
  parsed.sealed_body = reader.raw(w.sealed_length);
  parsed.signature = reader.raw(kSignatureSize);
  if (!reader.done()) return fail(Code::kCorrupt, "the commit has the wrong length");
  if (!parsed.plain.empty()) parsed.keys = TRY(decode_keys_part(parsed.plain));
  parsed.hash = crypto::blake2b(parsed.object);
  return parsed;
}

Result<> verify_commit(const ParsedCommit& parsed, const crypto::VerifyKey& signer) {
  const ByteView signed_part = ByteView(parsed.object).first(parsed.object.size() - kSignatureSize);
  crypto::Signature signature;
  std::ranges::copy(parsed.signature, signature.begin());
  return crypto::verify(signer, kSignatureType, {&signed_part, 1}, signature);
}

Result<Commit> open_commit(const ParsedCommit& parsed, const crypto::OpeningKey& body_key,
                           std::uint32_t block_size) {
  const ByteView header = ByteView(parsed.object).first(sizeof(wire::CommitHead));
  Bytes plain;
  TRY(body_key.open(parsed.sealed_body, body_additional(header, parsed.plain), plain));
  Commit commit;
  commit.header = parsed.header;
  commit.keys = parsed.keys;
  commit.body = TRY(decode_body(plain, block_size));
  commit.inline_extents.assign(parsed.inline_extents.begin(), parsed.inline_extents.end());
  commit.hash = parsed.hash;
  if (const char* what = misfit(commit); what != nullptr)
    return fail(Code::kCorrupt, "commit {}: {}", commit.header.generation, what);
  return commit;
}

}  // namespace s3crate::volume
