// SPDX-License-Identifier: GPL-3.0-or-later
// repair --into: a fork with the disk of a volume that has lost commits, out of what its segments tell; or with that of an older generation
// that has lost its map, out of the commits. Nothing is changed at the volume itself, but that it notes a fork of the latter.
#include "volume/salvage.h"

#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/brief_writer.h"
#include "cli/command.h"
#include "cli/fork.h"
#include "cli/keys.h"
#include "cli/process.h"
#include "cli/progress_line.h"
#include "cli/salvage.h"
#include "cli/signals.h"
#include "cli/stack.h"
#include "volume/fork.h"
#include "volume/new_volume.h"

namespace s3crate::cli {
namespace {

using volume::ByteRange;
using volume::SalvageReport;

constexpr std::uint64_t kPageCache = 64 << 20;
constexpr std::size_t kRangesPrinted = 1000;

std::string text_of(const volume::SegmentCount& count) {
  return fmt::format("{} segments with {}", count.segments, format_bytes(count.bytes));
}

nlohmann::json json_of(const volume::SegmentCount& count) { return {{"segments", count.segments}, {"bytes", count.bytes}}; }

bool is_all(const SalvageReport& report) { return report.gap.empty() && report.left.segments == 0 && report.unreadable_bytes == 0; }

// Why there is nothing to make a volume of.
std::optional<Error> nothing_to_do(const SalvageReport& report, const std::string& url) {
  if (report.generations > 0 || report.from_checkpoint) return std::nullopt;
  if (report.from && report.from->generation == report.newest && is_all(report))
    return Error(Code::kExists, fmt::format("the commits of {} tell all that its segments do: fork makes a volume of generation {}, "
                                            "and repair without --into mends the map", url, report.from->generation));
  if (report.from) return std::nullopt;
  if (report.gap.empty())
    return Error(Code::kCorrupt, fmt::format("{} has neither commits nor segments that tell of a disk: there is nothing to restore", url));
  return Error(Code::kCorrupt, fmt::format("nothing of {} can be vouched for: {}. --through-gaps goes on, and says which parts of the disk "
                                           "may be others", url, report.gap));
}

void print_ranges(const Output& out, std::span<const ByteRange> ranges) {
  for (const ByteRange& range : ranges.first(std::min(ranges.size(), kRangesPrinted)))
    out.print(fmt::format("  {} {}", range.offset, range.length));
  if (ranges.size() > kRangesPrinted) out.print("  and more; --json lists up to 10,000");
}

void print(const Output& out, const std::string& url, const SalvageReport& report, bool through_gaps) {
  for (const auto& damage : report.damages) out.print(fmt::format("damaged: {}", damage));
  if (report.from)
    out.print(fmt::format("generation {} of {} is the newest one whose commits are there; {} came after it and are restored ({})",
                          report.from->generation, url, report.generations, text_of(report.laid)));
  else if (report.from_checkpoint)
    out.print(fmt::format("generation {} of {} is the newest one whose map is there; {} came after it and are restored ({})",
                          *report.from_checkpoint, url, report.generations, text_of(report.laid)));
  else
    out.print(fmt::format("no commit of {} is left that tells a disk; {} generations are restored from the indexes of {}", url,
                          report.generations, text_of(report.laid)));
  if (!report.gap.empty() && !through_gaps) {
    out.print(fmt::format("not restored: what comes after a gap ({}): {}; --through-gaps goes on, and says which parts of the disk may be "
                          "others", report.gap, text_of(report.left)));
  } else if (report.left.segments > 0) {
    out.print(fmt::format("not restored: {}, which are damaged", text_of(report.left)));
  }
  if (report.unfinished.segments > 0)
    out.print(fmt::format("not restored: an import that did not come to its end, or has lost its end ({})", text_of(report.unfinished)));
  out.print("not restored: older generations, tags, and what was written last, if its segments are gone as well, as nothing tells of them");
  if (report.unreadable_bytes > 0) {
    out.print(fmt::format("not restored: {} of the disk, which cannot be read, as the commits that held it are lost (offset and length):",
                          format_bytes(report.unreadable_bytes)));
    print_ranges(out, report.unreadable);
  }
  if (report.unvouched_bytes == 0) return;
  out.print(fmt::format("{} gaps were passed ({} is the first): {} of the disk were not written after the last one, and may be older or "
                        "other data (offset and length):", report.gaps, report.gap, format_bytes(report.unvouched_bytes)));
  print_ranges(out, report.unvouched);
}

nlohmann::json json_of(std::span<const ByteRange> ranges) {
  auto out = nlohmann::json::array();
  for (const ByteRange& range : ranges) out.push_back({range.offset, range.length});
  return out;
}

nlohmann::json json_of(const SalvageReport& report) {
  nlohmann::json from = nullptr;
  if (report.from) from = report.from->generation.value;
  if (report.from_checkpoint) from = report.from_checkpoint->value;
  return {{"from_generation", from},
          {"generations", report.generations},
          {"restored", json_of(report.laid)},
          {"gap", report.gap},
          {"gaps_passed", report.gaps},
          {"not_restored", json_of(report.left)},
          {"unfinished_import", json_of(report.unfinished)},
          {"never_committed", json_of(report.dropped)},
          {"damages", report.damages},
          {"disk_bytes", report.disk_bytes},
          {"unreadable", json_of(report.unreadable)},
          {"unreadable_bytes", report.unreadable_bytes},
          {"unvouched", json_of(report.unvouched)},
          {"unvouched_bytes", report.unvouched_bytes}};
}

// Of a point, whose commits are there.
CommandResult rebuild_past(Context& context, const Url& url, const Url& fork_url) {
  const Arguments& arguments = context.arguments;
  if (arguments.has("through-gaps")) return fail(Code::kBadArgument, "{}: --through-gaps is for the newest generation, without a point", url.text());
  ProgressLine line(context.env.clock, progress_style(arguments.text("progress")));
  volume::RebuildOptions how;
  how.progress = [&](const volume::CheckProgress& p) {
    line.show({.phase = p.phase == "map" ? "pages of the map" : std::string(p.phase), .done = p.done, .total = p.total, .bytes = p.bytes, .in_bytes = false});
  };
  bool all = true;
  const auto made = fork_into(context, url, fork_url, [&](volume::Volume& origin, const volume::Commit& point, const std::atomic<bool>* stopped) -> Result<volume::View> {
    how.stop = stopped;
    auto rebuilt = volume::rebuild(origin, point, how);
    if (stopped->load() && !rebuilt) return fail(Code::kCancelled, "{}: the repair was stopped: nothing was made", url.text());
    TRY(rebuilt);
    const auto& report = rebuilt->report;
    if (report.sound)
      return fail(Code::kExists, "generation {} has a whole map: s3crate-blk fork {}@{} {}", point.header.generation, url.text(), url.point, fork_url.text());
    for (const auto& damage : report.damages) context.out.print(fmt::format("damaged: {}", damage));
    context.out.print(fmt::format("generation {} of {} has a map again: {} commits read, {} pieces laid over that of generation {}",
                                  point.header.generation, url.text(), report.commits, report.runs, report.from.as_of));
    all = report.unreadable.empty();
    if (!all) context.out.print("not repaired: these bytes of the disk, as nothing names the objects that hold them (offset and length):");
    print_ranges(context.out, report.unreadable);
    return std::move(rebuilt->view);
  });
  return made && *made == kDone && !all ? CommandResult(kDamaged) : made;
}

}  // namespace

CommandResult run_salvage(Context& context) {
  const Arguments& arguments = context.arguments;
  const Url url = TRY(url_argument(arguments, TakesPoint::yes));
  auto into = parse_url(arguments.text("into"));
  if (!into) return fail(into.error().within("--into"));
  if (!into->point.empty()) return fail(Code::kBadArgument, "--into {}: leave \"@{}\" out", arguments.text("into"), into->point);
  const Url fork_url = TRY(place_of_fork(std::move(*into), url));
  if (!url.point.empty()) return rebuild_past(context, url, fork_url);
  const auto target = TRY(Stack::make(context.env, fork_url, arguments, Outage::kFail));
  auto stack = TRY(Stack::make(context.env, url, arguments, Outage::kFail));
  const auto volume = TRY(open_volume(context.env, *stack, url, arguments, kPageCache));
  const StopSignals stop(context.env.executor, [&] {
    stack->cancel();
    target->cancel();
  });
  TRY(volume::refuse_if_taken(target->store()));
  volume::SalvageOptions how;
  how.through_gaps = arguments.flag("through-gaps");
  how.stop = stop.flag();
  ProgressLine line(context.env.clock, progress_style(arguments.text("progress")));
  how.progress = [&](const volume::CheckProgress& p) {
    line.show({.phase = std::string(p.phase), .done = p.done, .total = p.total, .bytes = p.bytes, .in_bytes = false});
  };
  auto salvaged = volume::salvage(context.env, *volume, how);
  if (stop.came() && !salvaged) return fail(Code::kCancelled, "{}: the repair was stopped: nothing was made", url.text());
  if (!salvaged) return fail(stack->given_up().value_or(salvaged.error().within(url.text())));
  const SalvageReport& report = salvaged->report;
  if (const auto why = nothing_to_do(report, url.text())) return fail(*why);

  target->store().attach_all_of(stack->store(), url.text());
  volume::ForkOptions options;
  options.origin_url = url.text();
  options.host = host_name();
  options.single_writer = arguments.flag("single-writer");
  auto slots = TRY(fork_slots(arguments, fork_url.text()));
  const auto done = volume::fork_state(context.env, *volume, salvaged->state, target->store(), options, slots);
  for (auto& slot : slots) {
    if (slot.passphrase) crypto::wipe(*slot.passphrase);
  }
  if (!done) return fail(target->given_up().value_or(done.error().within(fork_url.text())));
  print(context.out, url.text(), report, how.through_gaps);
  const auto fingerprint = volume::fingerprint(done->vid);
  context.out.print(fmt::format("{} is a fork with what is restored: {}, fingerprint {}\n"
                                "It needs what is at {}, where nothing was changed and nothing notes that: keep all of it.\n"
                                "next: s3crate-blk mount {} MOUNTPOINT", fork_url.text(), format_bytes(done->disk_bytes), fingerprint,
                                url.text(), fork_url.text()));
  auto json = json_of(report);
  json.update({{"url", fork_url.text()}, {"vid", to_hex(done->vid)}, {"fingerprint", fingerprint}, {"origin_url", url.text()},
               {"origin_vid", to_hex(volume->vid())}});
  context.out.print_json(json);
  return is_all(report) ? kDone : kDamaged;
}

}  // namespace s3crate::cli
