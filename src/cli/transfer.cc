// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/transfer.h"

namespace s3crate::cli {
namespace {
constexpr std::uint64_t kPageCache = 64 << 20, kBlockCache = 32 << 20;
}  // namespace

Transfer::Transfer(Context& context, Url url, std::string phase)
    : env_(context.env), url_(std::move(url)), phase_(std::move(phase)),
      line_(context.env.clock, progress_style(context.arguments.text("progress"))) {}

Result<std::unique_ptr<Transfer>> Transfer::open(Context& context, const std::string& url_text, std::string phase) {
  auto out = std::unique_ptr<Transfer>(new Transfer(context, TRY(parse_url(url_text)), std::move(phase)));
  out->stack_ = TRY(Stack::make(context.env, out->url_, context.arguments, Outage::kFail));
  out->volume_ = TRY(open_volume(context.env, *out->stack_, out->url_, context.arguments, kPageCache));
  out->stop_.emplace(context.env.executor, [stack = out->stack_.get()] { stack->cancel(); });
  return out;
}

Result<volume::Commit> Transfer::commit_at(const std::string& point) {
  auto head = TRY(volume_->load_head());
  if (point.empty()) return head;
  return resolve_point(*volume_, head, TRY(volume::parse_point(point, env_.clock.wall_now())), url_);
}

Result<device::ViewReader*> Transfer::reader() {
  const auto commit = TRY(commit_at(url_.point));
  if (!volume_->keys()->reads_data())
    return fail(Code::kBadKey, "{}: this key may not read the disk: an owner's, a writer's or a reader's key can", url_.text());
  reader_ = std::make_unique<device::ViewReader>(env_, *volume_, TRY(volume_->load_view(commit)), kBlockCache);
  return reader_.get();
}

device::TransferOptions Transfer::options() {
  device::TransferOptions options;
  options.stop = stop();
  options.progress = [this](const device::TransferProgress& p) { line_.show({phase_, p.done, p.total, p.bytes, true}); };
  return options;
}

Error Transfer::explain(const Error& error) const {
  if (auto given_up = stack_->given_up()) return *given_up;
  if (stop_->came()) return {Code::kCancelled, fmt::format("{} was stopped", phase_)};
  return error;
}

nlohmann::json json_of(const std::vector<volume::ByteRange>& ranges) {
  auto out = nlohmann::json::array();
  for (const auto& range : ranges) out.push_back({range.offset, range.length});
  return out;
}

}  // namespace s3crate::cli
