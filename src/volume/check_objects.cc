// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/check_objects.h"

#include <algorithm>

#include "segment/object_names.h"
#include "store/reread.h"
#include "volume/origins.h"

namespace s3crate::volume {

using segment::ExtentRef;
using segment::IndexedExtent;
using segment::ObjectKind;

namespace {

// Extents read at a time: bounds what is held of them, sealed and plain.
constexpr std::size_t kReadExtentsMax = 256;
constexpr std::uint64_t kReadBytesMax = 4 << 20;

// The one object whose extents are read.
class OneObject final : public cache::ObjectResolver {
 public:
  explicit OneObject(std::shared_ptr<const cache::OpenedObject> object)
      : object_(std::move(object)) {}
  Result<std::shared_ptr<const cache::OpenedObject>> resolve(const ObjectKey&) override {
    return object_;
  }

 private:
  const std::shared_ptr<const cache::OpenedObject> object_;
};

std::uint64_t mix(std::uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

void ObjectCheck::damage(const ObjectInfo& info, std::string_view what) {
  const std::string name = stored_name(info);
  findings_.add(name, info.born,
                what.starts_with(name) ? std::string(what) : fmt::format("{}: {}", name, what));
}

// What LIST does not show may still be there.
Result<std::optional<std::uint64_t>> ObjectCheck::size_of(const std::string& name) {
  auto info = volume_.store().head(name);
  if (info) return info->size;
  if (is_passing(info.error().code())) return fail(info.error());
  return std::nullopt;
}

Result<> ObjectCheck::one(const ObjectInfo& info) {
  if (info.key.origin != 0 || info.kind == ObjectKind::inline_extents)
    return {};  // in another store, or in its commit
  const auto size = TRY(size_of(stored_name(info)));
  if (!size) {
    damage(info, "it is missing");
    return {};
  }
  if (*size != info.length)
    damage(info, fmt::format("it has {} bytes instead of {}", *size, info.length));
  return content(info);
}

Result<> ObjectCheck::content(const ObjectInfo& info) {
  auto sound = info.kind == ObjectKind::map
                   ? store::reread(volume_.store(), [&] { return map_object(info); })
                   : segment(info);
  if (sound) return {};
  if (is_passing(sound.error().code())) return sound;
  damage(info, sound.error().message());
  return {};
}

Result<> ObjectCheck::map_object(const ObjectInfo& info) {
  const Bytes object = TRY(volume_.store().get(stored_name(info), info.length));
  findings_.report().bytes += object.size();
  if (crypto::blake2b(object) != info.hash)
    return fail(Code::kCorrupt, "its bytes are not those that were stored");
  const std::size_t head = std::min(object.size(), map_object_header_size());
  const auto header = TRY(decode_map_object_header(ByteView(object).first(head)));
  if (header.vid != volume_.vid() || header.id != info.key.id)
    return fail(Code::kCorrupt, "it is another object");
  findings_.report().map_objects++;
  return {};
}

Result<> ObjectCheck::origin_segment(const ObjectInfo& info) {
  const std::string name = stored_name(info);
  if (info.length > segment::kObjectBytesMax || info.index_length == 0 || info.index_offset > info.length ||
      info.index_length > info.length - info.index_offset)
    return fail(Code::kCorrupt, "{}: what the chain says of its index cannot be", name);
  const auto size = TRY(volume_.store().head(name)).size;
  if (size != info.length) return fail(Code::kCorrupt, "{}: it has {} bytes instead of {}", name, size, info.length);
  TRY(store::reread(volume_.store(), [&]() -> Result<> {
    Bytes sealed(info.index_length);
    TRY(volume_.store().get_range(name, info.index_offset, sealed));
    findings_.report().bytes += sealed.size();
    if (crypto::blake2b(sealed) != info.hash) return fail(Code::kCorrupt, "{}: its index is not the one that its commit names", name);
    return {};
  }));
  findings_.report().segments++;
  return {};
}

Result<segment::SegmentIndex> ObjectCheck::open_index(const ObjectInfo& info) {
  return store::reread(volume_.store(), [&] { return read_segment_index(volume_, info, findings_.report().bytes); });
}

Result<segment::SegmentIndex> read_segment_index(Volume& volume, const ObjectInfo& info, std::uint64_t& bytes) {
  const std::string name = stored_name(info);
  const std::size_t head = segment::segment_header_size();
  if (info.length > segment::kObjectBytesMax || info.index_length == 0 ||
      info.index_offset < head ||
      info.index_offset + info.index_length + segment::segment_footer_size() != info.length)
    return fail(Code::kCorrupt, "what the chain says of its index cannot be");
  Bytes header_bytes(head);
  TRY(volume.store().get_range(name, 0, header_bytes));
  const auto header = TRY(segment::decode_segment_header(header_bytes));
  if (header.vid != volume.vid() || header.id != info.key.id)
    return fail(Code::kCorrupt, "it is another segment");
  if (header.keys_generation >= info.born)
    return fail(Code::kCorrupt, "its keys are of the future");

  Bytes tail(info.length - info.index_offset);
  TRY(volume.store().get_range(name, info.index_offset, tail));
  bytes += head + tail.size();
  const ByteView sealed = ByteView(tail).first(info.index_length);
  if (crypto::blake2b(sealed) != info.hash)
    return fail(Code::kCorrupt, "its index is not the one that its commit names");
  const auto keys = TRY(volume.ring_at(header.keys_generation));
  auto index = TRY(segment::open_segment_index(
      header, sealed, ByteView(tail).subspan(info.index_length), info.length,
      TRY(keys->segment_signer(header.writer)), *TRY(keys->index_opening_key(header.ring)),
      volume.object().block_size()));
  if (index.sealed_secret != info.sealed_secret)
    return fail(Code::kCorrupt, "its index and its commit name two secrets");
  if (index.epoch != info.key.id.epoch())
    return fail(Code::kCorrupt, "its index is of another epoch");
  return index;
}

Result<> ObjectCheck::segment(const ObjectInfo& info) {
  const auto index = TRY(open_index(info));
  findings_.report().segments++;
  if (options_.read_data) TRY(extents(info, index));
  return {};
}

bool ObjectCheck::in_sample(ObjectId id, std::uint32_t number) const {
  if (options_.percent >= 100) return true;
  const std::uint64_t drawn = mix(mix(options_.sample_seed ^ mix(id.value)) + number);
  return static_cast<double>(drawn >> 11) < options_.percent / 100 * 0x1p53;
}

Result<> ObjectCheck::extents(const ObjectInfo& info, const segment::SegmentIndex& index) {
  std::vector<ExtentRef> refs;
  for (const IndexedExtent& extent : index.extents)
    if (in_sample(info.key.id, extent.number))
      refs.push_back({info.key, extent.number, extent.offset, extent.length, extent.digest});
  std::uint64_t bad = 0;
  std::string first;
  TRY(read_extents(info, refs, [&](const ExtentRef& ref, const Error* error) {
    if (error == nullptr) return;
    const bool lost = error->code() == Code::kLost;
    findings_.add_bad_extent(ref.object, ref.number, lost ? Findings::Bad::lost : Findings::Bad::damaged);
    if (!lost && bad++ == 0) first = error->message();
  }));
  if (bad == 0) return {};
  return fail(Code::kCorrupt, "of {} extents, {} cannot be read: {}", refs.size(), bad, first);
}

Result<> ObjectCheck::read_extents(
    const ObjectInfo& info, std::span<const ExtentRef> refs,
    const std::function<void(const ExtentRef&, const Error*)>& each) {
  auto key = volume_.keys()->extent_key(info);
  if (!key) {
    for (const ExtentRef& ref : refs) each(ref, &key.error());
    return {};
  }
  OneObject object(std::make_shared<const cache::OpenedObject>(
      cache::OpenedObject{stored_name(info), extents_base(info), std::move(*key)}));
  cache::StoreExtentSource source(volume_.store(), object, volume_.object().block_size());
  while (!refs.empty()) {
    std::size_t n = 1;
    std::uint64_t bytes = refs[0].length;
    for (; n < refs.size() && n < kReadExtentsMax && bytes + refs[n].length <= kReadBytesMax; ++n)
      bytes += refs[n].length;
    const auto plain = source.load(refs.first(n));
    findings_.report().bytes += bytes;
    for (std::size_t i = 0; i < n; ++i) {
      if (!plain[i] && is_passing(plain[i].error().code())) return fail(plain[i].error());
      if (plain[i]) findings_.report().extents++;
      each(refs[i], plain[i] ? nullptr : &plain[i].error());
    }
    TRY(findings_.tick());
    refs = refs.subspan(n);
  }
  return {};
}

}  // namespace s3crate::volume
