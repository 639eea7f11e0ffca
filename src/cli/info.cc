// SPDX-License-Identifier: GPL-3.0-or-later
// info: what a volume is, and who has it open.
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/command.h"
#include "cli/stack.h"
#include "cli/volume_state.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 16 << 20;
constexpr std::size_t kListPage = 1000;

struct Usage {
  std::uint64_t bytes = 0, objects = 0;
};
Result<Usage> stored(store::ObjectStore& store) {
  Usage usage;
  for (std::string after;;) {
    const auto page = TRY(store.list("", after, kListPage));
    for (const auto& object : page.objects) {
      usage.bytes += object.size;
      ++usage.objects;
    }
    if (!page.more || page.objects.empty()) return usage;
    after = page.objects.back().name;
  }
}

}  // namespace

CommandResult run_info(Context& context) {
  const Url url = TRY(url_argument(context.arguments));
  auto stack = TRY(Stack::make(context.env, url, context.arguments, Outage::kFail));
  const auto volume = TRY(open_volume(context.env, *stack, url, context.arguments, kPageCache, Origins::leave));
  const auto head = TRY(volume->load_head());
  const auto term = TRY(term_of(*volume, head));
  const auto usage = TRY(stored(stack->store()));
  const auto& object = volume->object();
  const auto vid = to_hex(volume->vid());

  const auto line = [&](std::string_view name, const std::string& value) { context.out.print(fmt::format("{:<14} {}", name, value)); };
  line("url", url.text());
  line("fingerprint", volume::fingerprint(volume->vid()));
  line("vid", vid);
  line("uuid", to_hex(object.uuid));
  line("size", format_bytes(head.body.disk_bytes));
  line("block size", format_bytes(object.block_size()));
  line("segment size", format_bytes(object.segment_bytes));
  line("extent size", format_bytes(object.extent_bytes));
  line("format", fmt::format("{}{}", object.format, object.single_writer ? ", single writer" : ""));
  line("created", format_time(object.created));
  line("generations", fmt::format("{}, the newest of {}", head.header.generation, format_time(head.body.time)));
  line("stored", fmt::format("{} in {} objects", format_bytes(usage.bytes), usage.objects));
  line("state", state_text(term));
  auto origins = nlohmann::json::array();
  for (const auto& origin : object.origins) {
    line("origin", fmt::format("{} at {}", volume::fingerprint(origin.vid), origin.url));
    origins.push_back({{"vid", to_hex(origin.vid)}, {"url", origin.url}});
  }

  nlohmann::json json = {{"url", url.text()}, {"vid", vid}, {"fingerprint", volume::fingerprint(volume->vid())}, {"uuid", to_hex(object.uuid)},
                         {"disk_bytes", head.body.disk_bytes}, {"block_size", object.block_size()}, {"segment_bytes", object.segment_bytes},
                         {"extent_bytes", object.extent_bytes}, {"format", object.format}, {"single_writer", object.single_writer}, {"created", format_time(object.created)},
                         {"generation", head.header.generation.value}, {"generation_time", format_time(head.body.time)},
                         {"epoch", head.body.epoch}, {"stored_bytes", usage.bytes}, {"objects", usage.objects}, {"origins", origins}};
  add_state(term, json);
  context.out.print_json(json);
  return kDone;
}

}  // namespace s3crate::cli
