// SPDX-License-Identifier: GPL-3.0-or-later
// The `volume` object.
#include <algorithm>
#include <limits>

#include "base/check.h"
#include "volume/codec.h"
#include "volume/volume_object.h"
#include "volume/wire_format.h"

namespace s3crate::volume {
namespace {

constexpr std::string_view kSignatureType = "volume";
constexpr std::size_t kSignatureSize = sizeof(crypto::Signature);
constexpr int kLog2BlockMin = 12;
constexpr int kLog2BlockMax = 16;
static_assert(1u << kLog2BlockMin == segment::kBlockSizeMin);
static_assert(1u << kLog2BlockMax == segment::kBlockSizeMax);

bool is_sound(const wire::Volume& w) {
  return w.format >= w.minimum_reader && w.minimum_reader >= 1 && w.log2_block >= kLog2BlockMin &&
         w.log2_block <= kLog2BlockMax && (w.flags & ~wire::kSingleWriter) == 0 &&
         w.reserved == 0 && w.extent_bytes != 0 && w.extent_bytes <= segment::kExtentBytesMax &&
         w.extent_bytes % (1u << w.log2_block) == 0 &&
         w.segment_bytes >= segment::kSegmentSizeMin && w.segment_bytes <= segment::kSegmentSizeMax;
}

wire::Volume to_wire(const VolumeObject& v) {
  wire::Volume w;
  w.format = v.format;
  w.minimum_reader = v.minimum_reader;
  w.log2_block = v.log2_block;
  w.flags = v.single_writer ? wire::kSingleWriter : 0;
  w.compatible = v.features.compatible;
  w.read_only_compatible = v.features.read_only_compatible;
  w.incompatible = v.features.incompatible;
  w.uuid = v.uuid;
  w.created = from_time(v.created);
  w.extent_bytes = v.extent_bytes;
  w.segment_bytes = v.segment_bytes;
  w.salt = v.salt;
  w.admin = v.admin;
  return w;
}

VolumeObject from_wire(const wire::Volume& w) {
  VolumeObject v;
  v.format = w.format;
  v.minimum_reader = w.minimum_reader;
  v.features = {w.compatible, w.read_only_compatible, w.incompatible};
  v.uuid = w.uuid;
  v.created = to_time(w.created);
  v.log2_block = w.log2_block;
  v.extent_bytes = w.extent_bytes;
  v.segment_bytes = w.segment_bytes;
  v.salt = w.salt;
  v.admin = w.admin;
  v.single_writer = (w.flags & wire::kSingleWriter) != 0;
  return v;
}

std::vector<Origin> get_origins(ByteReader& reader) {
  std::vector<Origin> list(get_count(reader, sizeof(Vid) + 1, kOriginsMax));
  for (Origin& origin : list) {
    origin.vid = reader.array<sizeof(Vid)>();
    origin.url = get_text(reader, kUrlMax);
  }
  return list;
}

}  // namespace

Bytes encode_volume(const VolumeObject& volume, const crypto::Signer& admin) {
  CHECK(volume.admin == admin.verify_key());
  Bytes out;
  ByteWriter writer(out);
  writer.wire(to_wire(volume));
  writer.varint(volume.origins.size());
  for (const Origin& origin : volume.origins) {
    writer.raw(origin.vid);
    put_bytes(writer, as_bytes(origin.url));
  }
  segment::put_extensions(writer, volume.extensions);
  const ByteView signed_part = out;
  writer.raw(admin.sign(kSignatureType, {&signed_part, 1}));
  CHECK(out.size() <= kVolumeObjectMax);
#ifndef NDEBUG
  const auto decoded = decode_volume(out);
  CHECK(decoded ? *decoded == volume : is(decoded, Code::kUnsupported));
#endif
  return out;
}

Result<VolumeObject> decode_volume(ByteView object) {
  ByteReader reader(object);
  const auto w = reader.wire<wire::Volume>();
  if (!reader.ok() || object.size() > kVolumeObjectMax || w.magic != wire::kVolumeMagic ||
      reader.rest().size() < kSignatureSize)
    return fail(Code::kCorrupt, "this is no s3crate-blk volume, or it is damaged");
  if (w.minimum_reader > kFormatVersion)
    return fail(Code::kUnsupported,
                "the volume is of format {}, which this program does not know: a newer version of "
                "it is needed",
                static_cast<std::uint16_t>(w.format));
  const ByteView signed_part = object.first(object.size() - kSignatureSize);
  crypto::Signature signature;
  std::ranges::copy(object.last(kSignatureSize), signature.begin());
  TRY(crypto::verify(w.admin, kSignatureType, {&signed_part, 1}, signature));
  if (!is_sound(w)) return fail(Code::kCorrupt, "the volume object is malformed");
  VolumeObject volume = from_wire(w);
  ByteReader tail(signed_part.subspan(sizeof w));
  volume.origins = get_origins(tail);
  if (!tail.ok()) return fail(Code::kCorrupt, "the volume object is malformed");
  volume.extensions = TRY(segment::get_extensions(tail, "the volume object"));
  if (const auto unknown = volume.features.incompatible & ~kKnownFeatures.incompatible;
      unknown != 0)
    return fail(Code::kUnsupported,
                "the volume uses features ({:#x}) that this program does not know: a newer version "
                "of it is needed",
                unknown);
  return volume;
}

}  // namespace s3crate::volume
