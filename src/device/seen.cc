// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/seen.h"

#include "base/wire.h"

namespace s3crate::device {
namespace {

constexpr std::size_t kSector = 4096;
struct WireSeen {
  std::array<std::uint8_t, 8> magic;
  Le64 version;
  segment::Vid vid;
  Le64 generation;
  segment::Hash hash;
  segment::Hash check;  // BLAKE2b-256 of all before it
};
static_assert(sizeof(WireSeen) == 120 && alignof(WireSeen) == 1);
constexpr std::array<std::uint8_t, 8> kMagic = {'s', '3', 'c', 'b', 's', 'e', 'e', 'n'};

segment::Hash check_of(const WireSeen& wire) { return crypto::blake2b(wire_bytes(wire).first(offsetof(WireSeen, check))); }

}  // namespace

Result<std::unique_ptr<Seen>> Seen::open(io::FileIo& files, const std::string& path, const segment::Vid& vid) {
  auto file = TRY(files.open(path, io::OpenMode::create_or_open));
  std::unique_ptr<Seen> seen(new Seen(std::move(file), vid));
  TRY(seen->read());
  return seen;
}

Result<std::optional<volume::CommitRef>> Seen::look(io::FileIo& files, const std::string& path, const segment::Vid& vid) {
  auto file = files.open(path, io::OpenMode::read_only);
  if (is(file, Code::kNotFound)) return std::nullopt;
  Seen seen(TRY(std::move(file)), vid);
  TRY(seen.read());
  return seen.newest_;
}

Result<> Seen::read() {
  std::uint64_t size = TRY(file_->size());
  for (std::uint64_t at = 0; at + kSector <= size && at < 2 * kSector; at += kSector) {
    Bytes sector(kSector);
    TRY(file_->read_at(at, sector));
    auto wire = ByteReader(sector).wire<WireSeen>();
    if (wire.magic != kMagic || wire.vid != vid_ || wire.check != check_of(wire) || wire.version < version_) continue;
    version_ = wire.version;
    newest_ = volume::CommitRef{Generation(wire.generation), wire.hash};
  }
  return {};
}

Result<> Seen::note(const volume::CommitRef& ref, io::Sync sync) {
  WireSeen wire{};
  wire.magic = kMagic;
  wire.version = ++version_;
  wire.vid = vid_;
  wire.generation = ref.generation.value;
  wire.hash = ref.hash;
  wire.check = check_of(wire);
  Bytes sector(kSector);
  std::memcpy(sector.data(), &wire, sizeof wire);
  TRY(file_->write_at((version_ % 2) * kSector, sector, sync));
  newest_ = ref;
  return {};
}

}  // namespace s3crate::device
