// SPDX-License-Identifier: GPL-3.0-or-later
// Tag-length-value extensions, with which the objects of a volume grow. s3crate-blk-format(5),
// "Extensions and features".
#pragma once

#include <vector>

#include "base/result.h"
#include "base/wire.h"

namespace s3crate::segment {

inline constexpr std::size_t kExtensionsMax = 64;
inline constexpr std::size_t kExtensionBytesMax = 65536;

// A reader that does not know a critical one refuses the object.
struct Extension {
  std::uint16_t type = 0;
  bool critical = false;
  Bytes value;
  friend bool operator==(const Extension&, const Extension&) = default;
};

// CHECKs that types ascend.
void put_extensions(ByteWriter& writer, const std::vector<Extension>& extensions);
// The last part of an object: kCorrupt if anything follows it, kUnsupported for a critical one
// (this version knows none). `what` is for the message.
[[nodiscard]] Result<std::vector<Extension>> get_extensions(ByteReader& reader,
                                                            std::string_view what);

// Into its place, instead of one of the same type.
void replace_extension(std::vector<Extension>& extensions, Extension extension);

}  // namespace s3crate::segment
