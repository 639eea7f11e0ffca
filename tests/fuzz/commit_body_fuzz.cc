// SPDX-License-Identifier: GPL-3.0-or-later
// The sealed bodies of commits.
#include "tests/fuzz/fuzz.h"
#include "volume/commit.h"
#include "volume/companions.h"

namespace s3crate::fuzz {
namespace {

using namespace volume;

std::vector<Bytes> seeds() {
  const ObjectKey key{0, ObjectId::of(1, 1)};
  CommitBody body;
  body.host = "host";
  body.disk_bytes = 1 << 30;
  body.roots = {{TreeId::map, 0, {key, {}, 56, 100, {}}, 0}};
  ObjectInfo info;
  info.key = key;
  info.born = Generation(1);
  info.length = 1000;
  body.objects = {info};
  body.runs = {{BlockIndex(1), 5, true, 0, {}}, {BlockIndex(9), 1, false, 0, {key, 1, 72, 100, {}}}};
  body.voids = {Generation(3)};
  body.abandoned = {{Seq(1), Seq(2)}};
  body.tags = {{"tag", Generation(1)}};
  body.pins = {{Vid{}, Generation(1), "note"}};
  body.condemned_objects = body.freed_objects = {key};
  body.extensions = {{3, false, {1, 2}}};
  body.delta_base = {Generation(300), {1}};
  const std::vector<Generation> bases = {Generation(299), Generation(7)};
  put_bases_hint(body, bases);
  return {encode_body(body)};
}

void run(ByteView input) {
  if (const auto body = decode_body(input, segment::kBlockSizeMax)) {
    Generation above = body->delta_base.generation;
    for (Generation base : bases_hint(*body)) {
      CHECK(base > Generation(0) && base < above);
      above = base;
    }
    // What a checkpoint's body says of the companions, into the body of another.
    const Companions companions = companions_of(*body);
    CommitBody next = *body;
    next.roots.clear();
    next.extensions.clear();
    put_companions(companions, next);
    const auto again = decode_body(encode_body(next), segment::kBlockSizeMax);
    CHECK(again && companions_of(*again).tags == companions.tags && companions_of(*again).late.net() == companions.late.net());
  }
  check_decoder(
      input, [](ByteView b) { return decode_body(b, segment::kBlockSizeMin); }, encode_body);
}

const Target target("commit_body", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
