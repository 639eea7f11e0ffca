// SPDX-License-Identifier: GPL-3.0-or-later
// Pages of the trees, plain.
#include "tests/fuzz/fuzz.h"
#include "volume/page.h"

namespace s3crate::fuzz {
namespace {

using namespace volume;

std::vector<Bytes> seeds() {
  const PageRef ref{
      .object = {0, ObjectId::of(1, 1)}, .nonce = {}, .offset = 56, .length = 100, .hash = {}};
  Page leaf;
  leaf.entries = {encode_run({.block = BlockIndex(1), .count = 2, .hole = true, .first = 0, .extent = {}}),
                  encode_run({.block = BlockIndex(9), .count = 2, .hole = true, .first = 0, .extent = {}})};
  Page inner;
  inner.kind = PageKind::inner;
  inner.level = 1;
  inner.first_key = {1};
  inner.entries = {{{1, 2}, encode_page_ref(ref)}, {{1, 3}, encode_page_ref(ref)}};
  Page delta;
  delta.kind = PageKind::delta;
  delta.tree = TreeId::tags;
  delta.base = ref;
  delta.entries = {{{5}, {}}, {{5, 1}, {7}}};
  delta.extensions = {{3, false, {1}}};
  return {encode_page(leaf), encode_page(inner), encode_page(delta)};
}

void run(ByteView input) { check_decoder(input, decode_page, encode_page); }

const Target target("page", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
