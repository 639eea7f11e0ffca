// SPDX-License-Identifier: GPL-3.0-or-later
// import: an image becomes the next generation of the disk.
#include "device/import.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/brief_writer.h"
#include "cli/command.h"
#include "cli/image_file.h"
#include "cli/progress_line.h"
#include "cli/signals.h"
#include "cli/stack.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 64 << 20;

Error in_words(const Error& error, const std::string& url, const std::string& file) {
  if (mounted_at(error, url)) return unmount_first(error, url);
  return error.code() == Code::kIo || error.code() == Code::kBadArgument ? error.within(fmt::format("{} into {}", file, url)) : error.within(url);
}

void print(const Output& out, const std::string& file, const std::string& url, const device::ImportReport& report) {
  const bool same = report.changed_bytes == 0 && report.disk_bytes == report.disk_bytes_before;
  out.print(same ? fmt::format("{} holds what {} does already", url, file)
                 : fmt::format("generation {} of {} holds {}: {} are others than before, {} were sent", report.generation, url, file,
                               format_bytes(report.changed_bytes), format_bytes(report.sent_bytes)));
  if (report.found_bytes > 0) out.print(fmt::format("{} were there from an import that had been stopped", format_bytes(report.found_bytes)));
  if (report.equal_bytes > 0) out.print(fmt::format("{} stand elsewhere on the disk, or in the image before, and are stored once", format_bytes(report.equal_bytes)));
  if (report.disk_bytes != report.disk_bytes_before)
    out.print(fmt::format("the disk has {} now, {} before", format_bytes(report.disk_bytes), format_bytes(report.disk_bytes_before)));
  if (report.not_noted)
    out.print(fmt::format("the image is stored, but not its fingerprints, so the next import may send again what the disk has elsewhere: {}", report.not_noted->message()));
  out.print_json({{"generation", report.generation.value},
                  {"image_bytes", report.image_bytes},
                  {"disk_bytes", report.disk_bytes},
                  {"disk_bytes_before", report.disk_bytes_before},
                  {"changed_bytes", report.changed_bytes},
                  {"found_bytes", report.found_bytes},
                  {"equal_bytes", report.equal_bytes},
                  {"sent_bytes", report.sent_bytes},
                  {"fingerprints_stored", !report.not_noted}});
}

}  // namespace

CommandResult run_import(Context& context) {
  const auto& arguments = context.arguments;
  const std::string& file = arguments.positionals().at(0);
  MountPlan plan;
  plan.url = TRY(parse_url(arguments.positionals().at(1)));
  if (!plan.url.point.empty())
    return fail(Code::kBadArgument, "{}@{}: an image becomes the newest generation, so leave the point out", plan.url.text(), plan.url.point);
  const auto image = TRY(ImageFile::open(file));
  if (image->size() == 0) return fail(Code::kBadArgument, "{} is empty, and would make all of the disk zeros: is it the right file?", file);
  TRY(plan_writer(arguments, plan));
  plan_uploads(arguments, plan);
  auto stack = TRY(Stack::make(context.env, plan.url, arguments, Outage::kEnd));
  const auto volume = TRY(open_volume(context.env, *stack, plan.url, arguments, kPageCache));
  const StopSignals stop(context.env.executor, [&] { stack->cancel(); });
  complete_for_command(plan, *stack);
  ProgressLine line(context.env.clock, progress_style(arguments.text("progress")));
  device::ImportOptions how;
  how.fit = arguments.flag("resize") ? device::Fit::resize : device::Fit::as_it_is;
  how.transfer.stop = stop.flag();
  how.transfer.progress = [&](const device::TransferProgress& p) {
    line.show({.phase = "import", .done = p.done, .total = p.total, .bytes = p.bytes, .in_bytes = true});
  };
  const auto report = device::import_image(context.env, io::uring_file_io(), *volume, plan.disk, *image, how);
  if (stop.came() && !report)
    return fail(Code::kCancelled, "the import was stopped: the disk is as it was; the same command goes on, and sends nothing again that is there");
  if (!report) return fail(stack->given_up().value_or(in_words(report.error(), plan.url.text(), file)));
  print(context.out, file, plan.url.text(), *report);
  return kDone;
}

}  // namespace s3crate::cli
