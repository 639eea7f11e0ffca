// SPDX-License-Identifier: GPL-3.0-or-later
// resize: another size of the disk. Of a mount, the process behind it does that; else the volume is opened as a mount would, and
// closed again.
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/brief_writer.h"
#include "cli/attachment.h"
#include "cli/command.h"
#include "cli/parse.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/stack.h"
#include "volume/create.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 64 << 20;
constexpr auto kCloseTime = std::chrono::seconds(30);

struct Resized {
  std::uint64_t before = 0, after = 0;
  Generation generation;
};

void print(const Output& out, const std::string& what, const Resized& resized, const std::vector<LoopDevice>& loops) {
  const auto size = format_bytes(resized.after);
  if (resized.before == resized.after) {
    out.print(fmt::format("{} has {} already", what, size));
  } else {
    out.print(fmt::format("{} has {} now, {} before (generation {})", what, size, format_bytes(resized.before), resized.generation));
    const bool grew = resized.after > resized.before;
    for (const auto& loop : loops) {
      out.print(fmt::format("next: losetup -c {}{}", loop.device, grew ? fmt::format(
          "; then make the filesystem larger: btrfs filesystem resize max DIR, resize2fs {}, or xfs_growfs DIR", loop.device) : ""));
    }
  }
  auto devices = nlohmann::json::array();
  for (const auto& loop : loops) devices.push_back(loop.device);
  out.print_json({{"disk_bytes", resized.after}, {"disk_bytes_before", resized.before},
                  {"generation", resized.generation.value}, {"loop_devices", devices}});
}

CommandResult resize_mounted(Context& context, std::uint64_t bytes, bool discard_tail) {
  const auto [url, mountpoint, owner] = TRY(find_volume(canonical_path(context.arguments.positionals().at(0))));
  const auto socket = control_socket_path(mountpoint, owner);
  auto connection = connect_control(socket);
  if (!connection) return fail(Code::kIo, "the process behind {} does not answer: {}", mountpoint, connection.error().message());
  TRY(connection->send({{"command", "resize"}, {"bytes", bytes}, {"discard_tail", discard_tail}}));
  const auto style = progress_style(context.arguments.text("progress"));
  const auto answer = wait_with_progress(context.env.clock, *connection, socket, style, std::nullopt);
  if (!answer) return fail(answer.error().within(mountpoint));
  const auto& said = **answer;
  // The kernel asks for the new size only when somebody looks at the file, and a loop device takes what the kernel knows.
  struct stat st = {};
  static_cast<void>(::stat(said.value("file", "").c_str(), &st));
  const Resized resized{said.value("bytes_before", bytes), bytes, Generation(said.value("generation", std::uint64_t{0}))};
  print(context.out, said.value("file", mountpoint), resized, loops_in(mountpoint));
  return kDone;
}

Error mounted_here(const Error& error, const std::string& url) {
  const auto mountpoint = mounted_at(error, url);
  if (!mountpoint) return error;
  return {Code::kFenced, fmt::format("{} is mounted on {}: s3crate-blk resize {} SIZE", url, *mountpoint, *mountpoint)};
}

CommandResult resize_stored(Context& context, std::uint64_t bytes, device::DiscardTail tail) {
  MountPlan plan;
  plan.url = TRY(url_argument(context.arguments));
  TRY(plan_writer(context.arguments, plan));
  auto stack = TRY(Stack::make(context.env, plan.url, context.arguments, Outage::kEnd));
  const auto volume = TRY(open_volume(context.env, *stack, plan.url, context.arguments, kPageCache));
  if (auto sound = volume::validate_size(bytes, volume->object().block_size()); !sound) return fail(sound.error().within(plan.url.text()));
  if (const auto head = TRY(volume->load_head()); head.body.disk_bytes == bytes) {
    print(context.out, plan.url.text(), {bytes, bytes, head.header.generation}, {});
    return kDone;
  }
  const StopSignals stop(context.env.executor, [&] { stack->cancel(); });
  complete_for_command(plan, *stack);
  auto disk = device::Disk::open(context.env, io::uring_file_io(), *volume, plan.disk);
  if (!disk) return fail(stack->given_up().value_or(mounted_here(disk.error(), plan.url.text())));
  const std::uint64_t before = (*disk)->size();
  auto generation = (*disk)->resize(bytes, tail, stop.flag());
  auto closed = (*disk)->close(stop.came() ? Duration::zero() : Duration(kCloseTime));
  if (auto given_up = stack->given_up()) return fail(std::move(*given_up));
  if (!generation) return fail(generation.error().within(plan.url.text()));
  if (!closed) return fail(closed.error().within(fmt::format("{} has its new size, but could not be closed", plan.url.text())));
  print(context.out, plan.url.text(), {before, bytes, *generation}, {});
  return kDone;
}

}  // namespace

CommandResult run_resize(Context& context) {
  const auto& positionals = context.arguments.positionals();
  auto bytes = parse_size(positionals.at(1));
  if (!bytes) return fail(bytes.error());
  const bool discard_tail = context.arguments.flag("discard-tail");
  if (positionals[0].find("://") == std::string::npos) return resize_mounted(context, *bytes, discard_tail);
  return resize_stored(context, *bytes, discard_tail ? device::DiscardTail::yes : device::DiscardTail::no);
}

}  // namespace s3crate::cli
