// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/guest_session.h"

#include "base/time_text.h"
#include "cli/mount_plan.h"
#include "cli/process.h"
#include "device/seen.h"
#include "io/file_io.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 16 << 20;

}  // namespace

GuestSession::~GuestSession() { signals_.reset(); }

Result<std::unique_ptr<GuestSession>> GuestSession::open(Context& context, const Url& url, volume::CommitKind kind) {
  std::unique_ptr<GuestSession> session(new GuestSession());
  session->stack_ = TRY(Stack::make(context.env, url, context.arguments, Outage::kFail));
  Stack& stack = *session->stack_;
  session->volume_ = TRY(open_volume(context.env, stack, url, context.arguments, kPageCache,
                                      kind == volume::CommitKind::pin ? Origins::attach : Origins::leave));
  volume::Volume& volume = *session->volume_;
  session->head_ = TRY(volume.load_head());
  const auto keys = volume.keys();
  if (keys->signer() == nullptr || !keys->may_sign(kind))
    return fail(Code::kBadKey, "{}: this key may not put a commit of kind {} into the volume: an owner's or a writer's may{}", url.text(),
                volume::kind_name(kind),
                kind == volume::CommitKind::pin ? ". With this one, export the generation and import it into a new volume" : "");
  TRY(session->look_at(context, url));
  volume::GuestIdentity who{keys->home(stack.home()), session->options_.host};
  session->guest_ = std::make_unique<volume::Guest>(context.env, volume, std::move(who), [](const Error&) {});
  // As of after the guest was made, so that a halt of the machine in between is noticed.
  session->head_ = TRY(volume.load_head());
  session->signals_ = std::make_unique<SignalWatch>(
      context.env.executor,
      [session = session.get(), &stack](int) {
        session->stopped_ = true;
        session->guest_->stop();
        stack.cancel();
        if (Stack* other = session->other_) other->cancel();
      },
      [] {});
  return session;
}

Result<> GuestSession::look_at(const Context& context, const Url& url) {
  if (const auto unknown = volume_->object().features.read_only_compatible & ~volume::kKnownFeatures.read_only_compatible; unknown != 0)
    return fail(Code::kUnsupported, "{} uses features ({:#x}) that this program does not know: a newer version of it is needed", url.text(),
                unknown);
  options_.accept_rollback = context.arguments.flag("accept-rollback");
  options_.moved = context.arguments.flag("moved");
  options_.home = stack_->home();
  options_.host = host_name();
  options_.url = url.text();
  options_.state_dir = TRY(state_directory(context.arguments));
  const auto seen = fmt::format("{}/{}/seen", options_.state_dir, to_hex(volume_->vid()));
  const auto known = TRY(device::Seen::look(io::posix_file_io(), seen, volume_->vid()));
  // A writer beside us may have noted more since the head was loaded.
  if (known && known->generation > head_.header.generation) head_ = TRY(volume_->load_head());
  TRY(device::check_seen(*volume_, head_, known, options_));
  const auto term = TRY(device::find_term(*volume_, head_));
  TRY(device::check_home(*volume_, term.commit, options_));
  if (term.open && volume_->object().single_writer)
    return fail(Code::kFenced, "{} is open since {} on {}, and was made for a store that cannot tell two writers apart: unmount it first",
                url.text(), format_time(term.commit.body.time), term.commit.body.host);
  return {};
}

}  // namespace s3crate::cli
