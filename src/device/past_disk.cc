// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/past_disk.h"

#include <cstring>

#include "device/occupancy.h"

namespace s3crate::device {
namespace {
// Opened objects that one of them remembers: a reader of a filesystem of the past seldom touches more in turn.
constexpr std::size_t kOpenedObjectsMax = 1024;

std::unique_ptr<volume::ObjectTable> objects_of(Env env, const volume::Volume& volume, const volume::View& view) {
  auto objects = std::make_unique<volume::ObjectTable>(env.executor, volume.keys(), volume.pages(), kOpenedObjectsMax);
  objects->begin_at(view);
  return objects;
}

}  // namespace

PastDisk::PastDisk(Env env, const volume::Volume& volume, const SharedParts& parts, volume::View view)
    : env_(env),
      pages_(volume.pages()),
      extents_(parts.extents),
      failed_reads_(parts.failed_reads),
      name_(fmt::format("generation {}", view.generation)),
      weight_(view.changes.size() + view.new_objects.size()),
      objects_(objects_of(env, volume, view)),
      source_(volume.store(), *objects_, volume.object().block_size(), parts.file, &parts.buffers, &env.executor),
      head_(env, volume.object().block_size(), HeadLimits{}, std::move(view), Seq(0)),
      read_ahead_(parts.read_ahead) {}

std::shared_ptr<PastDisk> PastDisk::make(Env env, const volume::Volume& volume, const SharedParts& parts, volume::View view) {
  std::shared_ptr<PastDisk> past(new PastDisk(env, volume, parts, std::move(view)));
  if (past->read_ahead_ != nullptr) past->target_ = past->read_ahead_->add(past->head_, past->source_, past);
  return past;
}

Result<> PastDisk::read_blocks(BlockIndex from, BlockIndex to, MutableByteView out) {
  Gather gather(from, to, block_size(), out);
  const ReadAhead::Reader reader = target_ ? read_ahead_->begins(target_, from, to) : ReadAhead::Reader{};
  FetchCounts met;
  const volume::MaybeRoot root = head_.gather(gather);
  TRY(gather.add_tree(pages_, root));
  auto done = gather.finish(extents_, source_, &met);
  if (target_) read_ahead_->ended(target_, reader, from, to, met);
  return done;
}

Result<> PastDisk::read_bytes(std::uint64_t offset, MutableByteView out) {
  const std::uint64_t bs = block_size();
  const BlockIndex from(offset / bs), to((offset + out.size() + bs - 1) / bs);
  if (offset % bs == 0 && out.size() % bs == 0) return read_blocks(from, to, out);
  Bytes blocks((to - from) * bs);
  TRY(read_blocks(from, to, blocks));
  std::memcpy(out.data(), blocks.data() + offset % bs, out.size());
  return {};
}

Result<> PastDisk::read(std::uint64_t offset, MutableByteView out) {
  if (out.empty()) return {};
  if (offset > size() || out.size() > size() - offset) return fail(Code::kBadArgument, "a read beyond the end of the disk");
  auto done = read_bytes(offset, out);
  if (!done) failed_reads_.note(name_, offset, done.error());
  return done;
}

Result<std::uint64_t> PastDisk::seek(std::uint64_t offset, bool hole) {
  auto found = seek_in(head_, pages_, offset, size(), hole);
  if (!found) failed_reads_.note(name_, offset, found.error());
  return found;
}

// Nothing changes, so once is enough.
Result<std::uint64_t> PastDisk::allocated_bytes() {
  {
    MutexLock lock(mu_);
    if (allocated_) return *allocated_;
  }
  const std::uint64_t counted = TRY(count_allocated(env_.executor, head_, pages_));
  MutexLock lock(mu_);
  allocated_ = counted;
  return counted;
}

}  // namespace s3crate::device
