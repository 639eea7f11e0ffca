// SPDX-License-Identifier: GPL-3.0-or-later
// Names of objects, as a LIST answers them.
#include "segment/object_names.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace segment;

std::vector<Bytes> seeds() {
  const ObjectId id = ObjectId::of(1, 2);
  std::vector<Bytes> out;
  for (const std::string& name :
       {commit_name(Generation(7)), keys_copy_name(Generation(1)), slot_name(Uuid{1}),
        object_name(ObjectKind::segment, id, ObjectNonce{3}), object_name(ObjectKind::map, id, {})})
    out.push_back(to_bytes(as_bytes(name)));
  return out;
}

void run(ByteView input) {
  const std::string_view name = as_chars(input);
  if (const auto g = parse_commit_name(name)) CHECK(commit_name(*g) == name);
  if (const auto g = parse_keys_copy_name(name)) CHECK(keys_copy_name(*g) == name);
  if (const auto slot = parse_slot_name(name)) CHECK(slot_name(*slot) == name);
  if (const auto o = parse_object_name(name)) CHECK(object_name(o->kind, o->id, o->nonce) == name);
}

const Target target("object_names", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
