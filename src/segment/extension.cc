// SPDX-License-Identifier: GPL-3.0-or-later
#include "segment/extension.h"

#include <algorithm>

#include "base/check.h"
#include "segment/codec.h"

namespace s3crate::segment {
namespace {
constexpr std::uint8_t kCritical = 1;
constexpr std::size_t kSizeMin = 4;  // type, flags, length
}  // namespace

void put_extensions(ByteWriter& writer, const std::vector<Extension>& extensions) {
  CHECK(extensions.size() <= kExtensionsMax);
  writer.varint(extensions.size());
  std::int32_t previous = -1;
  for (const Extension& e : extensions) {
    CHECK(e.type > previous && e.value.size() <= kExtensionBytesMax);
    previous = e.type;
    writer.u16(e.type);
    writer.u8(e.critical ? kCritical : 0);
    put_bytes(writer, e.value);
  }
}

Result<std::vector<Extension>> get_extensions(ByteReader& reader, std::string_view what) {
  std::vector<Extension> out(get_count(reader, kSizeMin, kExtensionsMax));
  std::int32_t previous = -1;
  for (Extension& e : out) {
    e.type = reader.u16();
    const std::uint8_t flags = reader.u8();
    const ByteView value = get_bytes(reader, kExtensionBytesMax);
    if (!reader.ok() || e.type <= previous || (flags & ~kCritical) != 0)
      return fail(Code::kCorrupt, "{}: malformed extensions", what);
    previous = e.type;
    e.critical = flags != 0;
    e.value.assign(value.begin(), value.end());
  }
  if (!reader.done()) return fail(Code::kCorrupt, "{} is malformed or has the wrong length", what);
  for (const Extension& e : out) {
    if (e.critical)
      return fail(Code::kUnsupported,
                  "{} has an extension ({}) that needs a newer version of this program", what,
                  e.type);
  }
  return out;
}

void replace_extension(std::vector<Extension>& extensions, Extension extension) {
  std::erase_if(extensions, [&](const Extension& e) { return e.type == extension.type; });
  const auto at = std::ranges::upper_bound(extensions, extension.type, {}, &Extension::type);
  extensions.insert(at, std::move(extension));
}

}  // namespace s3crate::segment
