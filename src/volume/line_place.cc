// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/line_place.h"

#include <algorithm>

namespace s3crate::volume {
namespace {
constexpr std::uint16_t kLinePlace = 9;  // type of the extension
}

void put_line_place(CommitBody& body, const segment::LinePlace& place) {
  Extension extension{kLinePlace, false, {}};
  ByteWriter writer(extension.value);
  writer.varint(place.epoch);
  writer.varint(place.ordinal);
  segment::replace_extension(body.extensions, std::move(extension));
}

std::optional<segment::LinePlace> line_place(const CommitBody& body) {
  const auto extension = std::ranges::find(body.extensions, kLinePlace, &Extension::type);
  if (extension == body.extensions.end()) return std::nullopt;
  ByteReader reader(extension->value);
  const std::uint64_t epoch = reader.varint(), ordinal = reader.varint();
  if (!reader.done() || epoch > ObjectId::kEpochMax) return std::nullopt;
  return segment::LinePlace{static_cast<std::uint32_t>(epoch), ordinal};
}

}  // namespace s3crate::volume
