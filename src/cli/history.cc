// SPDX-License-Identifier: GPL-3.0-or-later
// history: the generations of a volume, newest first.
#include "volume/history.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/command.h"
#include "cli/parse.h"
#include "cli/stack.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 16 << 20;
constexpr std::uint64_t kAtATime = 64;

nlohmann::json json_of(const volume::HistoryEntry& entry) {
  if (!entry.problem.empty())
    return {
        {"generation", entry.generation.value}, {"problem", entry.problem}, {"tags", entry.tags}};
  return {{"generation", entry.generation.value},
          {"time", format_time(entry.time)},
          {"kind", volume::kind_name(entry.kind)},
          {"bytes_added", entry.bytes_added},
          {"objects_added", entry.objects_added},
          {"host", entry.host},
          {"epoch", entry.epoch},
          {"disk_bytes", entry.disk_bytes},
          {"tags", entry.tags}};
}

std::string text_of(const volume::HistoryEntry& entry) {
  if (!entry.problem.empty())
    return fmt::format("{:>10}  damaged: {}", entry.generation, entry.problem);
  return fmt::format("{:>10}  {:<20}  {:<10}  {:>10}  {:<16}  {}", entry.generation,
                     format_time(entry.time), volume::kind_name(entry.kind),
                     format_bytes(entry.bytes_added), entry.host, fmt::join(entry.tags, ", "));
}

}  // namespace

CommandResult run_history(Context& context) {
  const Arguments& arguments = context.arguments;
  const Url url = TRY(url_argument(arguments));
  std::optional<WallTime> since;
  if (arguments.has("since")) {
    auto moment = parse_moment(arguments.text("since"), context.env.clock.wall_now());
    if (!moment) return fail(moment.error().within("--since"));
    since = *moment;
  }
  auto stack = TRY(Stack::make(context.env, url, context.arguments, Outage::kFail));
  const auto volume = TRY(open_volume(context.env, *stack, url, arguments, kPageCache));
  std::uint64_t left = arguments.has("limit") ? arguments.count("limit") : ~std::uint64_t{0};

  auto history = TRY(volume::History::open(*volume));
  auto list = nlohmann::json::array();
  context.out.print(fmt::format("{:>10}  {:<20}  {:<10}  {:>10}  {:<16}  {}", "generation", "time",
                                "kind", "added", "host", "tags"));
  bool sound = true;
  while (left > 0) {
    const std::uint64_t n = std::min(left, kAtATime);
    const auto page = TRY(history.next(n, since));
    for (const auto& entry : page) {
      sound = sound && entry.problem.empty();
      context.out.print(text_of(entry));
      if (context.out.json()) list.push_back(json_of(entry));
    }
    if (page.size() < n) break;
    left -= n;
  }
  context.out.print_json({{"generations", list}});
  return sound ? kDone : kDamaged;
}

}  // namespace s3crate::cli
