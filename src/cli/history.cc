// SPDX-License-Identifier: GPL-3.0-or-later
// history: the generations of a volume, newest first, or its tags.
#include "volume/history.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/command.h"
#include "cli/parse.h"
#include "cli/stack.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 16 << 20;
constexpr std::uint64_t kFirstPage = 64, kLaterPages = 65'536;  // each 16 times as long as the last; 200 bytes a row
// They are sorted in memory, some 200 bytes each.
constexpr std::size_t kTagsMax = 1 << 20;

nlohmann::json json_of(const volume::HistoryEntry& entry) {
  if (!entry.problem.empty())
    return {
        {"generation", entry.generation.value}, {"problem", entry.problem}, {"tags", entry.tags}};
  return {{"generation", entry.generation.value}, {"time", format_time(entry.time)},
          {"kind", volume::kind_name(entry.kind)}, {"bytes_added", entry.bytes_added},
          {"disk_bytes", entry.disk_bytes},        {"tags", entry.tags}};
}

std::string text_of(const volume::HistoryEntry& entry) {
  if (!entry.problem.empty())
    return fmt::format("{:>10}  damaged: {}", entry.generation, entry.problem);
  return fmt::format("{:>10}  {:<20}  {:<10}  {:>10}  {}", entry.generation, format_time(entry.time),
                     volume::kind_name(entry.kind), format_bytes(entry.bytes_added),
                     fmt::join(entry.tags, ", "));
}

// What is asked for, from the point in the URL down.
struct Wanted {
  std::optional<volume::Point> start;
  std::optional<WallTime> since;
  std::uint64_t limit = ~std::uint64_t{0};
};

CommandResult list_generations(Context& context, volume::Volume& volume, const Wanted& wanted) {
  auto history = TRY(volume::History::open(volume, wanted.start));
  Output::List list(context.out, "generations");
  context.out.print(fmt::format("{:>10}  {:<20}  {:<10}  {:>10}  {}", "generation", "time", "kind", "added", "tags"));
  bool sound = true;
  for (std::uint64_t left = wanted.limit, page_size = kFirstPage; left > 0; page_size = std::min(16 * page_size, kLaterPages)) {
    const std::uint64_t n = std::min(left, page_size);
    const auto page = history.next(n, wanted.since);
    if (!page && list.end(page.error())) return exit_status(page.error().code());
    TRY(page);
    std::vector<std::string> lines;
    for (const auto& entry : *page) {
      sound = sound && entry.problem.empty();
      if (context.out.json()) list.add(json_of(entry));
      else lines.push_back(text_of(entry));
    }
    if (!lines.empty()) context.out.print(fmt::format("{}", fmt::join(lines, "\n")));
    if (page->size() < n) break;
    left -= n;
  }
  list.end();
  return sound ? kDone : kDamaged;
}

// Of the newest generation first, as the generations are listed.
CommandResult list_tags(Context& context, volume::Volume& volume, const Wanted& wanted) {
  volume::Timeline timeline(volume, TRY(volume.load_head()));
  const Generation newest = wanted.start ? TRY(timeline.find(*wanted.start)).generation : timeline.head().generation;
  auto tags = TRY(timeline.tags(kTagsMax));
  std::ranges::stable_sort(tags, std::greater(), &volume::TagEntry::generation);
  auto list = nlohmann::json::array();
  context.out.print(fmt::format("{:>10}  {:<20}  {:>10}  {}", "generation", "time", "size", "tag"));
  std::uint64_t left = wanted.limit;
  for (const auto& tag : tags) {
    if (tag.generation > newest) continue;
    const auto row = TRY(timeline.row(tag.generation));
    if (left-- == 0 || (wanted.since && row.time < *wanted.since)) break;
    context.out.print(fmt::format("{:>10}  {:<20}  {:>10}  {}", tag.generation, format_time(row.time), format_bytes(row.disk_bytes),
                                  tag.name));
    if (context.out.json())
      list.push_back({{"tag", tag.name}, {"generation", tag.generation.value}, {"time", format_time(row.time)},
                      {"disk_bytes", row.disk_bytes}, {"given", format_time(tag.time)}});
  }
  context.out.print_json({{"tags", list}});
  return kDone;
}

}  // namespace

CommandResult run_history(Context& context) {
  const Arguments& arguments = context.arguments;
  const WallTime now = context.env.clock.wall_now();
  const Url url = TRY(url_argument(arguments, TakesPoint::yes));
  Wanted wanted{.start = TRY(point_of(url, now)), .since = {}};
  if (arguments.has("since")) {
    auto moment = parse_moment(arguments.text("since"), now);
    if (!moment) return fail(moment.error().within("--since"));
    wanted.since = *moment;
  }
  if (arguments.has("limit")) wanted.limit = arguments.count("limit");
  auto stack = TRY(Stack::make(context.env, url, context.arguments, Outage::kFail));
  const auto volume = TRY(open_volume(context.env, *stack, url, arguments, kPageCache, Origins::leave));
  return arguments.flag("tags") ? list_tags(context, *volume, wanted) : list_generations(context, *volume, wanted);
}

}  // namespace s3crate::cli
