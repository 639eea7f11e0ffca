// SPDX-License-Identifier: GPL-3.0-or-later
#include "segment/sector.h"

#include "base/check.h"

namespace s3crate::segment {

void finish_sector(Bytes& content) {
  CHECK(content.size() <= kSectorContent);
  content.resize(kSectorContent);
  const Hash hash = crypto::blake2b(content);
  append(content, hash);
}

Result<ByteView> sector_content(ByteView sector, std::string_view what) {
  if (sector.size() != kSectorBytes)
    return fail(Code::kCorrupt, "{} of {} bytes", what, sector.size());
  const ByteView content = sector.first(kSectorContent);
  if (!equal(crypto::blake2b(content), sector.subspan(kSectorContent)))
    return fail(Code::kCorrupt, "{} is torn, damaged or not there", what);
  return content;
}

}  // namespace s3crate::segment
