// SPDX-License-Identifier: GPL-3.0-or-later
// One record: how it is sealed, how it is opened and checked, and the handle that readers hold.
//
// On disk: header | sealed body | extents as they are, then zeros up to a whole sector. The
// additional data of the seal is vid | header, so an authentic body vouches for every field of the
// header; the extents are vouched for by the digests in the body. The tag of the seal is the name
// that the next record calls it by.
#pragma once

#include <memory>

#include "base/mutex.h"
#include "crypto/crypto.h"
#include "io/file_io.h"
#include "journal/journal.h"
#include "journal/slots.h"

namespace s3crate::journal {

using Tag = std::array<std::uint8_t, crypto::kTagSize>;

[[nodiscard]] constexpr std::uint64_t round_up_to_sector(std::uint64_t bytes) {
  return (bytes + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
}
// The sectors that a record takes.
[[nodiscard]] std::uint64_t record_bytes(std::uint64_t sealed_length, std::uint64_t extents_length);

struct SealedRecord {
  Bytes bytes;  // header | sealed body
  Tag tag{};
};
// Fills in header.sealed_length.
[[nodiscard]] SealedRecord seal_record(const crypto::SealingKey& key, Random& random,
                                       const Vid& vid, RecordHeader header, ByteView plain_body);

// What a record does, kept until it is durable.
struct Content {
  Bytes body;  // plain
  SharedBytes extents;  // null: none
  [[nodiscard]] ByteView extents_view() const { return extents ? ByteView(*extents) : ByteView(); }
};

// Where a durable record's extents are, and the pin that keeps them there.
struct Place {
  SlotPin slot;
  std::uint64_t extents_offset = 0;  // in the file
};

// Has its content in memory until it is durable, and a place from then on: never neither. mu_ is a
// leaf.
class RecordFile final : public Record {
 public:
  RecordFile(std::shared_ptr<io::File> file, Seq seq, std::shared_ptr<const Content> content)
      : file_(std::move(file)),
        seq_(seq),
        extents_length_(static_cast<std::uint32_t>(content->extents_view().size())),
        content_(std::move(content)) {}
  RecordFile(std::shared_ptr<io::File> file, Seq seq, std::uint32_t extents_length, Place place)
      : file_(std::move(file)),
        seq_(seq),
        extents_length_(extents_length),
        place_(std::move(place)) {}

  [[nodiscard]] Seq seq() const override { return seq_; }
  [[nodiscard]] Result<> read_extent(std::uint32_t offset, MutableByteView out) const override;

  [[nodiscard]] std::uint32_t extents_length() const { return extents_length_; }
  // From now on its bytes are read from there.
  void durable_at(Place place);

 private:
  const std::shared_ptr<io::File> file_;
  const Seq seq_;
  const std::uint32_t extents_length_;
  mutable Mutex mu_;
  std::shared_ptr<const Content> content_ GUARDED_BY(mu_);
  Place place_ GUARDED_BY(mu_);
};

}  // namespace s3crate::journal
