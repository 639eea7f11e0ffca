// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/repair.h"

#include <limits>

#include "device/disk_impl.h"

namespace s3crate::device {

namespace {

// One checkpoint, when it is asked for, and as many changes in memory as the rebuilding allowed.
DiskOptions as_writer(const DiskOptions& options) {
  DiskOptions out = options;
  out.durability = Durability::store;
  out.read_ahead_bytes = 0;
  out.checkpoint_runs = out.checkpoint_bytes = out.delta_runs_max = std::numeric_limits<std::uint64_t>::max() / 2;
  out.checkpoint_commits = std::numeric_limits<std::uint32_t>::max();
  return out;
}

}  // namespace

Result<RepairReport> repair(Env env, io::FileIo& files, volume::Volume& volume, const DiskOptions& options, const RepairOptions& how) {
  RepairReport report;
  DiskOptions writer = as_writer(options);
  // Comes when it is known that this machine may write, and before anything is written.
  writer.load_view = [&](const volume::Commit& head, volume::View& view, volume::DeltaLevels& levels) -> Result<> {
    volume::Rebuilt rebuilt = TRY(volume::rebuild(volume, head, how.rebuild));
    report.head = head.header.generation;
    report.rebuilt = std::move(rebuilt.report);
    view = std::move(rebuilt.view);
    levels = std::move(rebuilt.levels);
    if (report.rebuilt.sound) return fail(Code::kCancelled, "there is nothing to repair");
    return {};
  };
  auto opened = Disk::open(env, files, volume, writer);
  if (!opened && report.rebuilt.sound) return report;
  if (!opened) return fail(opened.error());
  auto& disk = static_cast<DiskImpl&>(**opened);
  auto done = disk.writer().checkpointer->make_one(how.rebuild.stop);
  report.generation = disk.writer().chain->head();
  // What was committed meanwhile stands on the same checkpoint.
  if (auto& past = report.rebuilt.past) past->last = Generation(report.generation.value - 1);
  auto closed = disk.close(done ? how.close_time : Duration::zero());
  if (!done) return fail(done.error());
  if (!closed) return fail(closed.error().within("the map is repaired, but the volume could not be closed"));
  return report;
}

}  // namespace s3crate::device
