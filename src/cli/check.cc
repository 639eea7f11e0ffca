// SPDX-License-Identifier: GPL-3.0-or-later
// check: what is sound, what is damaged, and which bytes of the disk that costs.
#include "volume/check.h"

#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/command.h"
#include "cli/mount_plan.h"
#include "cli/progress_line.h"
#include "cli/signals.h"
#include "cli/stack.h"
#include "device/seen.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 64 << 20;

// The newest generation that a mount on this machine has seen; nullopt: none, or it cannot be told.
std::optional<volume::CommitRef> seen_here(const Arguments& arguments, const segment::Vid& vid) {
  const auto state = state_directory(arguments);
  if (!state) return std::nullopt;
  const auto path = fmt::format("{}/{}/seen", *state, to_hex(vid));
  if (!io::posix_file_io().open(path, io::OpenMode::read_only)) return std::nullopt;
  const auto seen = device::Seen::open(io::posix_file_io(), path, vid);
  return seen ? (*seen)->newest() : std::nullopt;
}

nlohmann::json ranges_json(const std::vector<volume::ByteRange>& ranges) {
  auto out = nlohmann::json::array();
  for (const auto& range : ranges) out.push_back({range.offset, range.length});
  return out;
}

nlohmann::json json_of(const volume::CheckReport& report) {
  auto damages = nlohmann::json::array();
  for (const auto& damage : report.damages) {
    damages.push_back({{"what", damage.what},
                       {"object", damage.object},
                       {"generation", damage.generation.value},
                       {"ranges", ranges_json(damage.ranges)}});
  }
  return {{"clean", report.clean()},
          {"generation", report.head.value},
          {"disk_bytes", report.disk_bytes},
          {"disk_lost", report.disk_lost},
          {"commits", report.commits},
          {"segments", report.segments},
          {"map_objects", report.map_objects},
          {"pages", report.pages},
          {"runs", report.runs},
          {"extents", report.extents},
          {"bytes_read", report.bytes},
          {"orphans", report.orphans},
          {"orphan_bytes", report.orphan_bytes},
          {"orphans_known", report.orphans_known},
          {"strangers", report.strangers},
          {"damages", damages},
          {"damages_total", report.damages_total},
          {"damaged_bytes", report.damaged_bytes},
          {"damaged_ranges", ranges_json(report.damaged_ranges())},
          {"complete", report.complete}};
}

void print(const Output& out, const volume::CheckReport& report, bool read_data) {
  for (const auto& damage : report.damages) out.print(fmt::format("damaged: {}", damage.what));
  if (report.damages_total > report.damages.size())
    out.print("damaged: and more, too many to tell one by one");
  const auto ranges = report.damaged_ranges();
  if (!ranges.empty()) out.print("these bytes of the disk cannot be read (offset and length):");
  for (const auto& range : ranges) out.print(fmt::format("  {} {}", range.offset, range.length));
  if (!ranges.empty() && !report.complete) out.print("  and more: the list is not complete");
  const auto data = read_data ? fmt::format(", {} extents", report.extents) : std::string();
  out.print(
      fmt::format("generation {}: {} commits, {} segments{}, {} map objects with {} pages in use, "
                  "{} runs are sound ({} read)",
                  report.head, report.commits, report.segments, data, report.map_objects,
                  report.pages, report.runs, format_bytes(report.bytes)));
  if (report.orphans_known && report.orphans > 0) {
    out.print(
        fmt::format("{} objects ({}) belong to no generation: left by a writer that was stopped, "
                    "or under way now",
                    report.orphans, format_bytes(report.orphan_bytes)));
  }
  if (report.strangers > 0)
    out.print(fmt::format("{} objects have names that are none of the volume's", report.strangers));
  if (report.clean()) {
    out.print(read_data ? "no damage"
                        : "no damage in the structure; --read-data reads the data as well");
  } else if (report.disk_lost) {
    out.print(fmt::format("objects damaged: {}; the newest generation does not open",
                          report.damages_total));
  } else {
    out.print(fmt::format("objects damaged: {}; {} of {} of the disk cannot be read",
                          report.damages_total, format_bytes(report.damaged_bytes),
                          format_bytes(report.disk_bytes)));
  }
}

}  // namespace

CommandResult run_check(Context& context) {
  const Arguments& arguments = context.arguments;
  const Url url = TRY(url_argument(arguments));
  auto stack = TRY(Stack::make(context.env, url, context.arguments, Outage::kFail));
  const auto volume = TRY(open_volume(context.env, *stack, url, arguments, kPageCache));

  const StopSignals stop(context.env.executor, [&] { stack->cancel(); });
  ProgressLine line(context.env.clock, progress_style(arguments.text("progress")));
  volume::CheckOptions options;
  options.read_data = arguments.has("read-data");
  if (options.read_data) options.percent = static_cast<double>(arguments.percent("read-data"));
  options.sample_seed = context.env.random.u64();
  options.seen = seen_here(arguments, volume->vid());
  options.progress = [&](const volume::CheckProgress& p) { line.show({.phase = std::string(p.phase), .done = p.done, .total = p.total, .bytes = p.bytes, .in_bytes = false}); };
  options.stop = stop.flag();
  auto report = volume::check(context.env, *volume, options);
  if (!report) return fail(report.error().within(url.text()));
  print(context.out, *report, options.read_data);
  context.out.print_json(json_of(*report));
  return report->clean() ? kDone : kDamaged;
}

}  // namespace s3crate::cli
