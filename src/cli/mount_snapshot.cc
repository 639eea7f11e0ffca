// SPDX-License-Identifier: GPL-3.0-or-later
// snapshot, on the side of the process behind a mount. What is said over the control socket:
//
//   command                        this process
//   {command: snapshot, tag ...}
//                                  {ready}     the name can be given
//   {go}                                       by now what is to be frozen is frozen
//                                  {cut}       nothing that is written from now on comes into the generation
//   {held}                                     what was frozen was so until now
//                                  {done, generation ...}
//
// Who does not say the next word gets no tag: it hangs up if a filesystem was thawed too early.
#include <spdlog/spdlog.h>

#include "cli/mount_session.h"
#include "cli/process.h"
#include "cli/tagging.h"
#include "volume/guest.h"
#include "volume/tag_name.h"
#include "volume/timeline.h"

namespace s3crate::cli {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(250);
constexpr auto kWordTime = std::chrono::minutes(15);  // above the longest --freeze-timeout
// A store that lags behind shows its own newest commit a little later.
constexpr int kHeadTries = 50;
constexpr auto kHeadPause = std::chrono::milliseconds(200);

// The command's next word.
Result<> expect(Env env, ControlConnection& connection, std::string_view word, const std::function<bool()>& ending) {
  const auto give_up = env.clock.monotonic_now() + kWordTime;
  while (env.clock.monotonic_now() < give_up && !connection.abandoned()) {
    if (ending()) return fail(Code::kCancelled, "the volume is being unmounted");
    const auto said = TRY(connection.receive(kPoll));
    if (!said) continue;
    if (said->contains(word) && said->at(word) == true) return {};
    return fail(Code::kBadArgument, "a word that makes no sense came over the control socket");
  }
  return fail(Code::kCancelled, "the command that asked for it has gone");
}

Result<volume::Commit> load_head_at(Env env, volume::Volume& volume, Generation at_least) {
  for (int i = 0;; ++i) {
    auto head = TRY(volume.load_head());
    if (head.header.generation >= at_least) return head;
    if (i == kHeadTries) return fail(Code::kTransient, "the store does not show generation {}, which it has", at_least);
    nap(env.clock, env.executor, kHeadPause);
  }
}

}  // namespace

Result<nlohmann::json> MountSession::snapshot(const nlohmann::json& request, ControlConnection& connection) {
  const auto name = request.value("tag", nlohmann::json());
  const TagRequest tag{.url = plan_.url.text(), .name = name.is_string() ? name.get<std::string>() : "",
                       .force = request.value("force", nlohmann::json()) == true};
  TRY(volume::validate_tag_name(tag.name, env_.clock.wall_now()));
  if (disk_->read_only())
    return fail(Code::kUnsupported, "{} is mounted read-only here: `s3crate-blk tag` names what is stored", tag.url);
  volume::Volume& reader = *disk_->spare_reader();  // of the one snapshot at a time
  if (!reader.keys()->may_sign(volume::CommitKind::tag)) return fail(Code::kBadKey, "{}: this key may give no tags", tag.url);
  if (!tag.force) {
    const auto head = TRY(reader.load_head());
    if (const auto there = TRY(volume::Timeline(reader, head).find_tag(tag.name))) return fail(tag_exists(tag, there->generation));
  }
  const HookFacts facts = {{"TAG", tag.name}};
  TRY(hooks_->run("pre-snapshot", facts));
  auto done = cut_and_tag(tag, connection);
  HookFacts outcome = facts;
  if (done) outcome["GENERATION"] = fmt::format("{}", done->value("generation", std::uint64_t{0}));
  else outcome["ERROR"] = done.error().message();
  hooks_->run_logged("post-snapshot", outcome);
  return done;
}

Result<nlohmann::json> MountSession::cut_and_tag(const TagRequest& tag, ControlConnection& connection) {
  const auto ending = [this] {
    MutexLock lock(mu_);
    return phase_ != Phase::kServing;
  };
  volume::Volume& reader = *disk_->spare_reader();
  TRY(connection.send({{"ready", true}}));
  TRY(expect(env_, connection, "go", ending));
  const auto generation = TRY(disk_->snapshot([&] { static_cast<void>(connection.send({{"cut", true}})); }, &stop_snapshot_));
  TRY(expect(env_, connection, "held", ending));
  volume::Guest tagger(env_, reader, {reader.keys()->home(stack_->home()), host_name()}, [](const Error&) {});
  const auto head = TRY(load_head_at(env_, reader, generation));
  const auto done = TRY(give_tag(tagger, reader, head, generation, tag));
  spdlog::info("generation {} is {} now", generation, tag.name);
  nlohmann::json answer = {{"done", true}, {"tag", tag.name}};
  add_tagged(done, answer);
  return answer;
}

// Anything but `refused` lets the unmount go on.
void MountSession::handle_before_umount(ControlConnection& connection) {
  Result<> asked;
  while_serving([&] { asked = hooks_->run("pre-umount", {}); });
  nlohmann::json answer = {{"done", true}};
  if (!asked) answer["refused"] = asked.error().message();
  static_cast<void>(connection.send(answer));
}

void MountSession::handle_snapshot(const nlohmann::json& request, ControlConnection& connection) {
  Result<nlohmann::json> done = fail(Code::kCancelled, "{} is being unmounted", plan_.mountpoint);
  {
    MutexLock lock(mu_);
    if (snapshotting_ != nullptr && stop_snapshot_)
      done = fail(Code::kTransient, "a snapshot of {} that was given up still waits for the store, or for a hook: try again in a moment", plan_.mountpoint);
    else if (snapshotting_ != nullptr) done = fail(Code::kExists, "another snapshot of {} is just being made", plan_.mountpoint);
    else if (phase_ == Phase::kServing) done = nlohmann::json();
    if (done) {
      snapshotting_ = &connection;
      stop_snapshot_ = stop_waiting_.load();
    }
  }
  if (done) {
    done = fail(Code::kCancelled, "{} is being unmounted", plan_.mountpoint);
    while_serving([&] { done = snapshot(request, connection); });
    MutexLock lock(mu_);
    snapshotting_ = nullptr;
  }
  const nlohmann::json answer =
      done ? *done : nlohmann::json{{"error", {{"code", code_name(done.error().code())}, {"message", done.error().message()}}}};
  static_cast<void>(connection.send(answer));
}

}  // namespace s3crate::cli
