// SPDX-License-Identifier: GPL-3.0-or-later
// Whole commits: an input is header, plain part, inline extents, and the body that is to be sealed.
#include "tests/fuzz/fuzz.h"
#include "volume/commit.h"
#include "volume/wire_format.h"

namespace s3crate::fuzz {
namespace {

using namespace volume;

std::vector<Bytes> seeds() {
  wire::CommitHead data, keys;
  data.generation = 7, data.parent[0] = 1, data.keys_generation = 1;
  keys.generation = 1, keys.keys_generation = 1, keys.writer = kAdminWriter;
  const Bytes plain = encode_keys_part({});
  keys.plain_length = static_cast<std::uint32_t>(plain.size());
  CommitBody of_keys;
  of_keys.kind = CommitKind::keys;
  return {joined(wire_bytes(data), encode_body({})),
          joined(joined(wire_bytes(keys), plain), encode_body(of_keys))};
}

void run(ByteView input) {
  auto head = ByteReader(input).wire<wire::CommitHead>();
  const std::uint64_t clear = sizeof head + std::uint64_t{head.plain_length} + head.inline_length;
  if (input.size() < clear) return;
  const ByteView plain = input.subspan(sizeof head, head.plain_length), body = input.subspan(clear);
  head.sealed_length = static_cast<std::uint32_t>(body.size() + crypto::kSealOverhead);
  Bytes object = joined(wire_bytes(head), input.subspan(sizeof head, clear - sizeof head));
  object = joined(object, sealed(body, joined(wire_bytes(head), crypto::blake2b(plain))));
  const ByteView all = object;
  object = joined(object, signer().sign("commit", {&all, 1}));
  const auto parsed = parse_commit(object, head.vid, Generation(head.generation));
  if (!parsed) return CHECK(is_refusal(parsed.error()));
  CHECK(verify_commit(*parsed, signer().verify_key()));
  const auto commit = open_commit(*parsed, sealing_key().opening_key(), segment::kBlockSizeMin);
  if (!commit) return CHECK(is_refusal(commit.error()));
  CHECK(equal(encode_body(commit->body), body));
  CHECK(!commit->keys || equal(encode_keys_part(*commit->keys), plain));
}

const Target target("commit", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
