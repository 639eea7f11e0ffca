// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/scratch_disk.h"

#include <algorithm>
#include <cstring>

namespace s3crate::device {
namespace {

// A part of a request that lies in one block.
struct Piece {
  std::uint64_t index;
  std::size_t within, length;
};

Piece piece_at(std::uint64_t offset, std::size_t left, std::uint32_t block_bytes) {
  const auto within = static_cast<std::size_t>(offset % block_bytes);
  return {offset / block_bytes, within, std::min<std::size_t>(left, block_bytes - within)};
}

}  // namespace

ScratchDisk::ScratchDisk(Disk& below, std::uint64_t bytes_max) : below_(below), blocks_max_(bytes_max / below.block_size()) {}

bool ScratchDisk::read_kept(std::uint64_t index, std::size_t within, MutableByteView out) {
  MutexLock lock(mu_);
  const auto found = blocks_.find(index);
  if (found == blocks_.end()) return false;
  std::memcpy(out.data(), found->second.get() + within, out.size());
  return true;
}

Result<> ScratchDisk::read(std::uint64_t offset, MutableByteView out) {
  std::size_t pending = 0;  // bytes before `at` that are to come from below
  std::size_t at = 0;
  const auto read_pending = [&]() -> Result<> {
    const auto length = std::exchange(pending, 0);
    if (length == 0) return {};
    return below_.read(offset + at - length, out.subspan(at - length, length));
  };
  while (at < out.size()) {
    const auto piece = piece_at(offset + at, out.size() - at, block_size());
    const bool kept = read_kept(piece.index, piece.within, out.subspan(at, piece.length));
    if (kept) TRY(read_pending());
    else pending += piece.length;
    at += piece.length;
  }
  return read_pending();
}

Result<> ScratchDisk::write_block(std::uint64_t index, std::size_t within, ByteView data) {
  const auto keep = [&](Block block) REQUIRES(mu_) -> Result<> {
    auto found = blocks_.find(index);
    if (found == blocks_.end()) {
      if (!block) return fail(Code::kNotFound, "not kept yet");
      if (blocks_.size() >= blocks_max_) return fail(Code::kNoSpace, "what is written here is kept in memory, which has no more room");
      found = blocks_.emplace(index, std::move(block)).first;
    }
    std::memcpy(found->second.get() + within, data.data(), data.size());
    return {};
  };
  {
    MutexLock lock(mu_);
    auto done = keep(nullptr);
    if (!is(done, Code::kNotFound)) return done;
  }
  // What is below never changes, so it does not matter who else writes here meanwhile.
  auto block = std::make_unique<std::uint8_t[]>(block_size());
  const auto start = index * block_size();
  if (data.size() < block_size()) TRY(below_.read(start, {block.get(), static_cast<std::size_t>(std::min<std::uint64_t>(block_size(), size() - start))}));
  MutexLock lock(mu_);
  return keep(std::move(block));
}

Result<> ScratchDisk::write(std::uint64_t offset, ByteView data, StopFlag) {
  if (offset > size() || data.size() > size() - offset) return fail(Code::kBadArgument, "outside the disk");
  while (!data.empty()) {
    const auto piece = piece_at(offset, data.size(), block_size());
    TRY(write_block(piece.index, piece.within, data.first(piece.length)));
    offset += piece.length;
    data = data.subspan(piece.length);
  }
  return {};
}

Result<> ScratchDisk::discard(std::uint64_t, std::uint64_t, StopFlag) {
  return fail(Code::kUnsupported, "nothing can be discarded on a read-only disk");
}

Result<std::uint64_t> ScratchDisk::seek(std::uint64_t offset, bool hole) {
  for (;;) {
    const auto found = TRY(below_.seek(offset, hole));
    MutexLock lock(mu_);
    const auto kept = blocks_.lower_bound(offset / block_size());
    if (!hole) return kept == blocks_.end() ? found : std::min(found, std::max(offset, kept->first * block_size()));
    if (!blocks_.contains(found / block_size()) || found >= size()) return found;
    offset = std::min(size(), (found / block_size() + 1) * block_size());
    if (offset == size()) return offset;
  }
}

}  // namespace s3crate::device
