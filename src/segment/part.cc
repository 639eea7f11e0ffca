// SPDX-License-Identifier: GPL-3.0-or-later
#include "segment/part.h"

#include <algorithm>

namespace s3crate::segment {
namespace {
constexpr std::uint16_t kPart = 1;  // type of the extension
}

void put_part(SegmentIndex& index, const Part& part) {
  std::erase_if(index.extensions, [](const Extension& e) { return e.type == kPart; });
  Extension extension{kPart, false, {}};
  ByteWriter writer(extension.value);
  writer.varint(part.number);
  writer.varint(part.parts);
  writer.varint(part.ordinal);
  index.extensions.insert(std::ranges::upper_bound(index.extensions, kPart, {}, &Extension::type), std::move(extension));
}

std::optional<Part> part_of(const SegmentIndex& index) {
  const auto extension = std::ranges::find(index.extensions, kPart, &Extension::type);
  if (extension == index.extensions.end()) return std::nullopt;
  ByteReader reader(extension->value);
  const std::uint64_t number = reader.varint(), parts = reader.varint(), ordinal = reader.varint();
  constexpr std::uint64_t kMax = 0xffffffff;
  if (!reader.done() || number == 0 || ordinal == 0 || number > kMax || parts > kMax || (parts != 0 && number > parts)) return std::nullopt;
  return Part{static_cast<std::uint32_t>(number), static_cast<std::uint32_t>(parts), ordinal};
}

}  // namespace s3crate::segment
