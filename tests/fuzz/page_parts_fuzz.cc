// SPDX-License-Identifier: GPL-3.0-or-later
// What stands in pages and around them: runs, object infos, references, headers of map objects, rows of the companions.
#include "tests/fuzz/fuzz.h"
#include "volume/companions.h"
#include "volume/page.h"

namespace s3crate::fuzz {
namespace {

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
          choice(3, encode_map_object_header({{}, key.id, 0})),
          choice(4, flat(encode_liveness(key, {5, Generation(9)}))),
          choice(5, flat(encode_catalogue({.generation = Generation(9), .bytes = 1, .disk_bytes = 4096}))),
          choice(6, joined(Bytes{3}, flat(encode_tag({"tag", Generation(9)}))))};
}

void run(ByteView input) {
  if (input.empty()) return;
  const ByteView bytes = input.subspan(1);
  const auto run_in = [](ByteView b) { return decode_run(entry_of(b, 8)); };
  const auto info_in = [](ByteView b) { return decode_object_info(entry_of(b, 10)); };
  const auto liveness_in = [](ByteView b) { return decode_liveness(entry_of(b, 10)); };
  const auto catalogue_in = [](ByteView b) { return decode_catalogue(entry_of(b, 8)); };
  switch (input[0] % 7) {
    case 0: return check_decoder(bytes, run_in, [](const auto& r) { return flat(encode_run(r)); });
    case 1: return check_decoder(bytes, info_in, [](const auto& i) { return flat(encode_object_info(i)); });
    case 2: return check_decoder(bytes, decode_page_ref, encode_page_ref);
    case 3: return check_decoder(bytes, decode_map_object_header, encode_map_object_header);
    case 4:
      return check_decoder(bytes, liveness_in, [](const auto& row) { return flat(encode_liveness(row.first, row.second)); });
    case 5: return check_decoder(bytes, catalogue_in, [](const auto& row) { return flat(encode_catalogue(row)); });
    default: {  // a name's length, the name, and the rest
      if (bytes.empty()) return;
      const auto tag_in = [](ByteView b) { return decode_tag(entry_of(b.subspan(1), b[0])); };
      return check_decoder(bytes, tag_in, [](const auto& row) {
        return joined(Bytes{static_cast<std::uint8_t>(row.name.size())}, flat(encode_tag(row)));
      });
    }
  }
}

const Target target("page_parts", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
