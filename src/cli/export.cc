// SPDX-License-Identifier: GPL-3.0-or-later
// export: a generation of the disk as an image.
#include <cstdio>

#include "base/time_text.h"
#include "cli/image_file.h"
#include "cli/transfer.h"

namespace s3crate::cli {
namespace {

struct Exported {
  const Transfer& transfer;
  const std::string& file;
  Generation generation;
  const device::ExportReport& report;
  bool written = false;
};

// Standard output may be the image.
void say(const Output& out, bool aside, const std::string& text) {
  if (aside) std::fprintf(stderr, "%s\n", text.c_str());
  else out.print(text);
}

void print(const Output& out, const Exported& done, bool to_stdout) {
  const auto& report = done.report;
  const auto& damaged = report.damaged;
  if (damaged.bytes > 0) {
    say(out, to_stdout, fmt::format("damaged: {}", report.why));
    say(out, to_stdout, "these bytes of the disk cannot be read (offset and length):");
    for (const auto& range : damaged.ranges) say(out, to_stdout, fmt::format("  {} {}", range.offset, range.length));
    if (!damaged.complete) say(out, to_stdout, "  and more: the list is not complete");
  }
  const auto what = fmt::format("generation {} of {}", done.generation, done.transfer.url().text());
  if (!done.written)
    say(out, to_stdout, fmt::format("{} was not exported, for {} cannot be read: --zero-damaged writes the rest, with zeros there", what,
                                    format_bytes(damaged.bytes)));
  else if (!to_stdout)
    say(out, to_stdout, fmt::format("{} holds {}: {}, of which {} are data{}", done.file, what, format_bytes(report.disk_bytes), format_bytes(report.data_bytes),
                                    damaged.bytes > 0 ? fmt::format(" and {} are zeros instead of what cannot be read", format_bytes(damaged.bytes)) : ""));
  out.print_json({{"generation", done.generation.value},
                  {"written", done.written},
                  {"disk_bytes", report.disk_bytes},
                  {"data_bytes", report.data_bytes},
                  {"damaged_bytes", damaged.bytes},
                  {"damaged_ranges", json_of(damaged.ranges)},
                  {"complete", damaged.complete}});
}

}  // namespace

CommandResult run_export(Context& context) {
  const auto& positionals = context.arguments.positionals();
  const std::string& file = positionals.at(1);
  const bool to_stdout = file == "-";
  if (to_stdout && context.out.json())
    return fail(Code::kBadArgument, "--json prints to standard output, where the image goes: leave one of them out");
  const bool zero_damaged = context.arguments.flag("zero-damaged");
  const auto transfer = TRY(Transfer::open(context, positionals.at(0), "export"));
  auto opened = transfer->reader();
  if (!opened) return fail(transfer->explain(opened.error()));
  device::ViewReader& reader = **opened;
  const auto target = TRY(ImageTarget::open(file, reader.size(), transfer->stop()));
  // What has been sent down a pipe cannot be taken back.
  const auto on_damage = target->is_stream() && !zero_damaged ? device::OnDamage::stop : device::OnDamage::go_on;
  auto report = device::export_view(context.env, reader, *target, on_damage, transfer->options());
  if (!report) return fail(transfer->explain(report.error()));
  const bool sound = report->damaged.bytes == 0;
  const bool keep = sound || zero_damaged;
  if (keep) TRY(target->finish());
  print(context.out, {*transfer, file, reader.view().generation, *report, keep}, to_stdout);
  return sound ? kDone : kDamaged;
}

}  // namespace s3crate::cli
