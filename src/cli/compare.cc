// SPDX-License-Identifier: GPL-3.0-or-later
// compare: an image against a generation of the disk.
#include "base/time_text.h"
#include "cli/image_file.h"
#include "cli/transfer.h"

namespace s3crate::cli {
namespace {

void print_ranges(const Output& out, const device::RangeList& list) {
  for (const auto& range : list.ranges) out.print(fmt::format("  {} {}", range.offset, range.length));
  if (!list.complete) out.print("  and more: the list is not complete");
}

}  // namespace

CommandResult run_compare(Context& context) {
  const auto& positionals = context.arguments.positionals();
  const auto image = TRY(ImageFile::open(positionals.at(0)));
  const auto transfer = TRY(Transfer::open(context, positionals.at(1), "compare"));
  auto opened = transfer->reader();
  if (!opened) return fail(transfer->explain(opened.error()));
  device::ViewReader& reader = **opened;
  const auto report = device::compare_view(context.env, reader, *image, transfer->options());
  if (!report) return fail(transfer->explain(report.error()));

  const Output& out = context.out;
  const auto what = fmt::format("{} and generation {} of {}", positionals[0], reader.view().generation, transfer->url().text());
  if (report->damaged.bytes > 0) {
    out.print(fmt::format("damaged: {}", report->why));
    out.print("these bytes of the disk cannot be read (offset and length):");
    print_ranges(out, report->damaged);
  }
  if (report->different.bytes > 0) {
    out.print("these bytes differ (offset and length):");
    print_ranges(out, report->different);
  }
  if (report->image_bytes != report->disk_bytes)
    out.print(fmt::format("the image has {} bytes, the disk has {}: what is behind the end of one of them was held against zeros",
                          report->image_bytes, report->disk_bytes));
  out.print(report->same() ? fmt::format("{} are the same", what)
                           : fmt::format("{} differ: {} are different, {} cannot be read", what, format_bytes(report->different.bytes), format_bytes(report->damaged.bytes)));
  out.print_json({{"generation", reader.view().generation.value},
                  {"same", report->same()},
                  {"disk_bytes", report->disk_bytes},
                  {"image_bytes", report->image_bytes},
                  {"different_bytes", report->different.bytes},
                  {"different_ranges", json_of(report->different.ranges)},
                  {"damaged_bytes", report->damaged.bytes},
                  {"damaged_ranges", json_of(report->damaged.ranges)},
                  {"complete", report->different.complete && report->damaged.complete}});
  return report->same() ? kDone : kDamaged;
}

}  // namespace s3crate::cli
