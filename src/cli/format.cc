// SPDX-License-Identifier: GPL-3.0-or-later
// format: makes a volume.
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/command.h"
#include "cli/keys.h"
#include "cli/process.h"
#include "cli/stack.h"

namespace s3crate::cli {
namespace {

Result<volume::CreateOptions> create_options(const Arguments& arguments) {
  if (!arguments.has("size")) return fail(Code::kBadArgument, "how large is the disk to be? Add --size, as in --size 100G");
  volume::CreateOptions options;
  options.disk_bytes = arguments.size("size");
  options.block_size = static_cast<std::uint32_t>(arguments.size("block-size"));
  options.segment_bytes = static_cast<std::uint32_t>(arguments.size("segment-size"));
  options.extent_bytes = static_cast<std::uint32_t>(arguments.size("extent-size"));
  options.single_writer = arguments.flag("single-writer");
  options.host = host_name();
  TRY(volume::validate(options));
  return options;
}

}  // namespace

CommandResult run_format(Context& context) {
  const Url url = TRY(url_argument(context.arguments));
  if (!url.fingerprint.empty()) return fail(Code::kBadArgument, "{}: a new volume has no fingerprint yet", url.text());
  const auto options = TRY(create_options(context.arguments));
  auto stack = TRY(Stack::make(context.env, url, context.arguments, Outage::kFail));
  TRY(crypto::initialise());
  auto slots = TRY(new_slots(context.arguments, url.text()));
  auto vid = volume::create(context.env, stack->store(), options, slots);
  for (auto& slot : slots) {
    if (slot.passphrase) crypto::wipe(*slot.passphrase);
  }
  if (!vid) return fail(std::move(vid.error()));
  const auto fingerprint = volume::fingerprint(*vid);
  context.out.print(fmt::format("{} holds a new volume of {}, fingerprint {}\nWho loses all of its keys loses the volume.\n"
                                "next: s3crate-blk mount {} MOUNTPOINT", url.text(), format_bytes(options.disk_bytes), fingerprint, url.text()));
  context.out.print_json({{"url", url.text()}, {"vid", to_hex(*vid)}, {"fingerprint", fingerprint}, {"disk_bytes", options.disk_bytes},
                          {"block_size", options.block_size}, {"segment_bytes", options.segment_bytes},
                          {"extent_bytes", options.extent_bytes}});
  return kDone;
}

}  // namespace s3crate::cli
