// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/file_bytes.h"

#include <algorithm>

#include "base/check.h"

namespace s3crate::sim {

void FileBytes::resize(std::uint64_t size) {
  if (const std::uint64_t kept = size % kPage; size < size_ && kept != 0 && pages_[size / kPage] != nullptr) {
    Page& last = own(size / kPage);
    std::fill(last.begin() + static_cast<std::ptrdiff_t>(kept), last.end(), std::uint8_t{0});
  }
  pages_.resize((size + kPage - 1) / kPage);
  size_ = size;
}

void FileBytes::read(std::uint64_t offset, MutableByteView out) const {
  CHECK(offset <= size_ && out.size() <= size_ - offset);
  while (!out.empty()) {
    const std::uint64_t from = offset % kPage, n = std::min<std::uint64_t>(out.size(), kPage - from);
    if (const auto& page = pages_[offset / kPage]) std::memcpy(out.data(), page->data() + from, n);
    else std::memset(out.data(), 0, n);
    offset += n;
    out = out.subspan(n);
  }
}

void FileBytes::write(std::uint64_t offset, ByteView data) {
  CHECK(offset <= size_ && data.size() <= size_ - offset);
  while (!data.empty()) {
    const std::uint64_t from = offset % kPage, n = std::min<std::uint64_t>(data.size(), kPage - from);
    std::memcpy(own(offset / kPage).data() + from, data.data(), n);
    offset += n;
    data = data.subspan(n);
  }
}

Bytes FileBytes::part(std::uint64_t offset, std::uint64_t length) const {
  Bytes out(length);
  read(offset, out);
  return out;
}

void FileBytes::flip(std::uint64_t offset, std::uint8_t bits) {
  CHECK(offset < size_);
  own(offset / kPage)[offset % kPage] ^= bits;
}

FileBytes::Page& FileBytes::own(std::uint64_t page) {
  std::shared_ptr<Page>& place = pages_[page];
  if (place == nullptr) place = std::make_shared<Page>();
  else if (place.use_count() > 1) place = std::make_shared<Page>(*place);
  return *place;
}

bool operator==(const FileBytes& a, const FileBytes& b) {
  static constexpr FileBytes::Page kZeros{};
  if (a.size_ != b.size_) return false;
  for (std::size_t i = 0; i < a.pages_.size(); ++i) {
    const FileBytes::Page* const one = a.pages_[i].get();
    const FileBytes::Page* const other = b.pages_[i].get();
    if (one != other && (one != nullptr ? *one : kZeros) != (other != nullptr ? *other : kZeros)) return false;
  }
  return true;
}

}  // namespace s3crate::sim
