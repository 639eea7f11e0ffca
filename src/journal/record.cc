// SPDX-License-Identifier: GPL-3.0-or-later
#include "journal/record.h"

#include <algorithm>
#include <cstring>

namespace s3crate::journal {

std::uint64_t record_bytes(std::uint64_t sealed_length, std::uint64_t extents_length) {
  return round_up_to_sector(record_header_size() + sealed_length + extents_length);
}

SealedRecord seal_record(const crypto::SealingKey& key, Random& random, const Vid& vid,
                         RecordHeader header, ByteView plain_body) {
  header.sealed_length = static_cast<std::uint32_t>(plain_body.size() + crypto::kSealOverhead);
  SealedRecord sealed{encode_record_header(header), {}};
  Bytes additional(vid.begin(), vid.end());
  append(additional, sealed.bytes);
  key.seal(random, plain_body, additional, sealed.bytes);
  std::copy_n(sealed.bytes.end() - crypto::kTagSize, crypto::kTagSize, sealed.tag.begin());
  return sealed;
}

Result<> RecordFile::read_extent(std::uint32_t offset, MutableByteView out) const {
  if (offset > extents_length_ || out.size() > extents_length_ - offset) {
    return fail(Code::kCorrupt, "journal: batch {} has {} bytes of extents, not {} at {}", seq_,
                extents_length_, out.size(), offset);
  }
  std::shared_ptr<const Content> content;
  Place place;
  {
    MutexLock lock(mu_);
    content = content_;
    place = place_;
  }
  if (content) {
    const ByteView extent = content->extents_view().subspan(offset, out.size());
    std::memcpy(out.data(), extent.data(), out.size());
    return {};
  }
  return file_->read_at(place.extents_offset + offset, out);
}

void RecordFile::durable_at(Place place) {
  std::shared_ptr<const Content> dropped;
  MutexLock lock(mu_);
  place_ = std::move(place);
  dropped.swap(content_);
}

}  // namespace s3crate::journal
