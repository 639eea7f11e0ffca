// SPDX-License-Identifier: GPL-3.0-or-later
// What stands in pages and around them: runs, object infos, references, headers of map objects.
#include "tests/fuzz/fuzz.h"
#include "volume/page.h"

namespace s3crate::fuzz {

using namespace volume;

Bytes flat(const PageEntry& entry) { return joined(entry.key, entry.value); }
PageEntry entry_of(ByteView bytes, std::size_t key_size) {
  const std::size_t n = std::min(key_size, bytes.size());
  return {to_bytes(bytes.first(n)), to_bytes(bytes.subspan(n))};
}

std::vector<Bytes> seeds() {
  const ObjectKey key{0, ObjectId::of(1, 1)};
  ObjectInfo info;
  info.key = key;
  info.born = Generation(1);
  return {choice(0, flat(encode_run({BlockIndex(9), 1, false, 0, {key, 1, 72, 100, {}}}))),
          choice(1, flat(encode_object_info(info))), choice(2, encode_page_ref({key, {}, 56, 100, {}})),
          choice(3, encode_map_object_header({{}, key.id, 0}))};
}

void run(ByteView input) {
  if (input.empty()) return;
  const ByteView bytes = input.subspan(1);
  const auto run_in = [](ByteView b) { return decode_run(entry_of(b, 8)); };
  const auto info_in = [](ByteView b) { return decode_object_info(entry_of(b, 10)); };
  switch (input[0] % 4) {
    case 0: return check_decoder(bytes, run_in, [](const auto& r) { return flat(encode_run(r)); });
    case 1: return check_decoder(bytes, info_in, [](const auto& i) { return flat(encode_object_info(i)); });
    case 2: return check_decoder(bytes, decode_page_ref, encode_page_ref);
    default: return check_decoder(bytes, decode_map_object_header, encode_map_object_header);
  }
}

}  // namespace s3crate::fuzz
