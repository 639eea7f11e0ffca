// SPDX-License-Identifier: GPL-3.0-or-later
// history: the chain of commits, newest first, each verified by the hash that its child names.
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/command.h"
#include "cli/stack.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 16 << 20;

std::uint64_t bytes_added(const volume::Commit& commit) {
  std::uint64_t bytes = 0;
  for (const auto& object : commit.body.objects) {
    if (object.born == commit.header.generation) bytes += object.length;
  }
  return bytes;
}

}  // namespace

CommandResult run_history(Context& context) {
  const Url url = TRY(url_argument(context.arguments));
  auto stack = Stack::make(context.env, url, Outage::kFail);
  const auto volume = TRY(open_volume(context.env, *stack, url, context.arguments, kPageCache));
  const std::uint64_t limit = context.arguments.has("limit") ? context.arguments.count("limit") : ~std::uint64_t{0};
  auto commit = TRY(volume->load_head());
  auto list = nlohmann::json::array();
  context.out.print(fmt::format("{:>10}  {:<20}  {:<10}  {:>10}  {}", "generation", "time", "kind", "added", "host"));
  for (std::uint64_t shown = 1;; ++shown) {
    const auto generation = commit.header.generation;
    const auto added = bytes_added(commit);
    const auto kind = std::string(volume::kind_name(commit.body.kind));
    context.out.print(fmt::format("{:>10}  {:<20}  {:<10}  {:>10}  {}", generation, format_time(commit.body.time), kind, format_bytes(added), commit.body.host));
    if (context.out.json()) {
      list.push_back({{"generation", generation.value}, {"time", format_time(commit.body.time)}, {"kind", kind}, {"bytes_added", added},
                      {"host", commit.body.host}, {"epoch", commit.body.epoch}, {"disk_bytes", commit.body.disk_bytes}});
    }
    if (generation.value <= 1 || shown >= limit) break;
    const auto parent = commit.header.parent;
    auto below = volume->load_commit(volume::CommitRef{Generation(generation.value - 1), parent});
    // Data commits of the past may have been pruned: what is below them still stands.
    if (is(below, Code::kNotFound)) {
      context.out.print(fmt::format("{:>10}  is no longer there", generation.value - 1));
      break;
    }
    if (!below) return fail(std::move(below.error()));
    commit = std::move(*below);
  }
  context.out.print_json({{"generations", list}});
  return kDone;
}

}  // namespace s3crate::cli
