// SPDX-License-Identifier: GPL-3.0-or-later
// check: what is sound, what is damaged, and which bytes of the disk that costs.
#include "volume/check.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/command.h"
#include "cli/mount_plan.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/stack.h"
#include "device/seen.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 64 << 20;
constexpr auto kInterval = std::chrono::seconds(1);

class ProgressLine {
 public:
  ProgressLine(Clock& clock, ProgressStyle style)
      : clock_(clock), style_(style), next_(clock.monotonic_now() + kInterval) {}
  ~ProgressLine() {
    if (drawn_) std::fputs("\r\033[K", stderr);
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(const volume::CheckProgress& progress) {
    const auto now = clock_.monotonic_now();
    if (progress.phase != phase_) {
      phase_ = progress.phase;
      began_ = now;
    }
    if (style_ == ProgressStyle::kOff || now < next_) return;
    next_ = now + kInterval;
    const double rate = static_cast<double>(progress.bytes - bytes_) /
                        std::chrono::duration<double>(now - at_).count();
    const bool known = at_ != MonotonicTime{};
    bytes_ = progress.bytes;
    at_ = now;
    if (style_ == ProgressStyle::kJson) {
      const nlohmann::json line = {
          {"phase", progress.phase},
          {"done", progress.done},
          {"total", progress.total},
          {"bytes", progress.bytes},
          {"bytes_per_second", known ? static_cast<std::uint64_t>(rate) : 0}};
      std::fprintf(stderr, "%s\n", line.dump().c_str());
      return;
    }
    const auto text = fmt::format(
        "{}: {} of {}, {} read{}{}", progress.phase, progress.done, progress.total,
        format_bytes(progress.bytes),
        known ? fmt::format(", {}/s", format_bytes(static_cast<std::uint64_t>(rate))) : "",
        left(progress, now));
    drawn_ = style_ == ProgressStyle::kLine;
    std::fprintf(stderr, drawn_ ? "\r\033[K%s" : "%s\n", text.c_str());
    std::fflush(stderr);
  }

 private:
  std::string left(const volume::CheckProgress& progress, MonotonicTime now) const {
    if (progress.done == 0 || progress.done > progress.total) return "";
    const double share =
        static_cast<double>(progress.total - progress.done) / static_cast<double>(progress.done);
    const auto time = std::chrono::duration<double>(now - began_) * share;
    return fmt::format(", {} left", format_duration(std::chrono::duration_cast<Duration>(time)));
  }

  Clock& clock_;
  const ProgressStyle style_;
  bool drawn_ = false;
  std::string phase_;
  MonotonicTime began_{}, next_{}, at_{};
  std::uint64_t bytes_ = 0;
};

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

  std::atomic<bool> stop = false;
  const SignalWatch signals(
      context.env.executor,
      [&](int) {
        stop = true;
        stack->cancel();
      },
      [] {});
  ProgressLine line(context.env.clock, progress_style(arguments.text("progress")));
  volume::CheckOptions options;
  options.read_data = arguments.has("read-data");
  if (options.read_data) options.percent = static_cast<double>(arguments.percent("read-data"));
  options.sample_seed = context.env.random.u64();
  options.seen = seen_here(arguments, volume->vid());
  options.progress = [&](const volume::CheckProgress& progress) { line.show(progress); };
  options.stop = &stop;
  auto report = volume::check(context.env, *volume, options);
  if (!report) return fail(report.error().within(url.text()));
  print(context.out, *report, options.read_data);
  context.out.print_json(json_of(*report));
  return report->clean() ? kDone : kDamaged;
}

}  // namespace s3crate::cli
