// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/mount_session.h"

#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "base/time_text.h"
#include "cli/log.h"
#include "cli/process.h"
#include "device/scratch_disk.h"
#include "io/file_io.h"

namespace s3crate::cli {
namespace {

// Past the drain timeout, how long requests still under way get before they are cancelled.
constexpr auto kCancelAfter = std::chrono::seconds(2);
// Past it as well: for the `close` that says what is left in the journal.
constexpr auto kLastWordTime = std::chrono::seconds(10);
// For the last batch and the `close` commit once the store has all the rest.
constexpr auto kCloseTime = std::chrono::seconds(30);
constexpr auto kPoll = std::chrono::milliseconds(250);

}  // namespace

MountSession::MountSession(Env env, const Arguments& arguments, MountPlan plan)
    : env_(env), arguments_(arguments), plan_(std::move(plan)), changed_(env.executor.cond_var()) {}

MountSession::~MountSession() {
  control_.reset();
  server_.reset();
  signals_.reset();
}

Result<> MountSession::start() {
  share_freed_memory();
  const bool flusher = become_io_flusher();
  signals_ = std::make_unique<SignalWatch>(
      env_.executor, [this](int signal) { on_signal(signal); }, [this] { on_tick(); });
  TRY(crypto::initialise());
  TRY(start_log(plan_.log_to, plan_.log_level));
  if (!flusher) spdlog::debug("not allowed to be an I/O flusher (PR_SET_IO_FLUSHER)");
  if (const auto notice = crypto::memory_notice(); !notice.empty()) spdlog::warn("{}", notice);
  hooks_ = std::make_unique<Hooks>(env_, plan_.hooks, plan_.hook_timeout,
                                   HookFacts{{"URL", plan_.url.text()}, {"MOUNTPOINT", plan_.mountpoint},
                                             {"DISK", fmt::format("{}/{}", plan_.mountpoint, plan_.disk_name)}});
  TRY(hooks_->check());
  TRY(hooks_->run("pre-mount", {}));
  if (auto opened = open_disk(); !opened) {
    const auto given_up = stack_ ? stack_->given_up() : std::nullopt;
    return given_up ? fail(*given_up) : opened;
  }
  if (auto shown = show_disk(); !shown) {
    // Nobody has written: closing is quick, and leaves no volume that looks open.
    static_cast<void>(disk_->close(kCloseTime));
    return shown;
  }
  stack_->leave_terminal();
  MutexLock lock(mu_);
  phase_ = Phase::kServing;
  return {};
}

Result<> MountSession::open_disk() {
  stack_ = TRY(Stack::make(env_, plan_.url, arguments_, Outage::kWait, plan_.outage_timeout));
  volume_ = TRY(open_volume(env_, *stack_, plan_.url, arguments_, plan_.disk.map_cache_bytes));
  for (const auto& note : stack_->origin_notes()) {
    spdlog::warn("{}", note);
    MutexLock lock(mu_);
    opening_notes_ += "warning: " + note + "\n";
  }
  auto options = plan_.disk;
  options.home = stack_->home();
  options.log = [this](const std::string& line) {
    spdlog::info("{}", line);
    MutexLock lock(mu_);
    if (phase_ == Phase::kStarting) opening_notes_ += line + "\n";
  };
  options.cancel_store = [this] { stack_->cancel(); };
  if (!plan_.hooks.empty()) {
    options.before_commit = [this] { return hooks_->before_commit(); };
    options.after_commit = [this](Generation generation) { hooks_->after_commit(generation); };
  }
  disk_ = TRY(device::Disk::open(env_, io::uring_file_io(), *volume_, options));
  MountFacts facts;
  facts.url = plan_.url.text();
  facts.mountpoint = plan_.mountpoint;
  facts.disk_path = fmt::format("{}/{}", plan_.mountpoint, plan_.disk_name);
  facts.state_dir = plan_.disk.state_dir;
  facts.upload_delay = plan_.disk.upload_delay;
  facts.store_durability = plan_.disk.durability == device::Durability::store;
  reporter_ = std::make_unique<Reporter>(env_, *disk_, *stack_, std::move(facts));
  return {};
}

fuse::ServerOptions MountSession::server_options() {
  fuse::ServerOptions options;
  options.mountpoint = plan_.mountpoint;
  options.fsname = plan_.url.text();
  options.disk_name = plan_.disk_name;
  options.allow_other = plan_.allow_other;
  const Reporter& reporter = *reporter_;
  options.text_files = {
      {plan_.stats_name, [&reporter] { return reporter.text(); }},
      {plan_.stats_name + ".json",
       [&reporter] { return reporter.json().dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"; }},
      {"metrics", [&reporter] { return reporter.metrics(); }}};
  return options;
}

Result<> MountSession::show_disk() {
  const auto socket = control_socket_path(plan_.mountpoint, ::geteuid());
  control_ = TRY(ControlServer::listen(env_, socket, [this](const auto& request, auto& connection) { handle(request, connection); }));
  if (plan_.scratch_bytes > 0) scratch_ = std::make_unique<device::ScratchDisk>(*disk_, plan_.scratch_bytes);
  server_ = TRY(fuse::Server::mount(env_, scratch_ ? *scratch_ : *disk_, server_options()));
  return {};
}

std::string MountSession::greeting() const {
  const auto stats = disk_->stats();
  std::string out = fmt::format("{} is mounted on {}: {}, generation {}, volume {}\n{}\n", plan_.url.text(), plan_.mountpoint,
                                format_bytes(stats.disk_bytes), stats.generation, stats.vid.substr(0, 16),
                                guarantee(stats, reporter_->facts()));
  {
    MutexLock lock(mu_);
    out += opening_notes_;  // what was played back, taken over, found missing
  }
  return out + losetup_line(stats, reporter_->facts());
}

ExitStatus MountSession::run() {
  spdlog::info("{} is mounted on {}", plan_.url.text(), plan_.mountpoint);
  // It may want to use the disk.
  auto mounted = env_.executor.spawn("post-mount", [this] { hooks_->run_logged("post-mount", {}); });
  auto served = server_->run();
  if (!served) spdlog::error("{}", served.error().message());
  std::unique_ptr<Task> drainer;
  {
    MutexLock lock(mu_);
    phase_ = Phase::kClosing;
    drainer = std::move(drainer_);
    while (calls_ > 0) changed_->wait(mu_);
  }
  drainer.reset();
  spdlog::info("{} is no longer served; waiting for the store", plan_.mountpoint);
  server_->unmount();
  hooks_->end("post-mount");
  mounted.reset();
  Ending ending = close_disk();
  if (!served && ending.status == kDone) ending.status = kFailed;
  if (ending.message.empty()) spdlog::info("closed at generation {}", ending.generation);
  else spdlog::error("{}", ending.message);
  hooks_->stop();
  HookFacts facts = {{"GENERATION", fmt::format("{}", ending.generation)}};
  if (!ending.message.empty()) facts["ERROR"] = ending.message;
  hooks_->run_logged("post-umount", facts);
  {
    MutexLock lock(mu_);
    phase_ = Phase::kClosed;
    ending_ = ending;
    changed_->notify_all();
  }
  control_.reset();
  spdlog::default_logger()->flush();
  return ending.status;
}

MountSession::Ending MountSession::close_disk() {
  auto sent = disk_->sync(&stop_waiting_);
  Duration left = kCloseTime;
  {
    MutexLock lock(mu_);
    if (drain_until_) left = std::clamp<Duration>(*drain_until_ - env_.clock.monotonic_now(), Duration::zero(), left);
  }
  // What could not be sent is not waited for again.
  if (!sent) left = Duration::zero();
  auto closed = disk_->close(left);
  const auto stats = disk_->stats();
  Ending ending;
  ending.generation = stats.generation;
  ending.unsent_bytes = stats.read_only ? 0 : stats.unsent_bytes;
  if (stats.read_only || (sent && closed)) return ending;
  const Error error = sent ? closed.error() : sent.error();
  if (error.code() == Code::kCancelled || error.code() == Code::kTransient) {
    ending.status = kStoreAway;
    const bool store_mode = plan_.disk.durability == device::Durability::store;
    const auto rest = store_mode ? std::string("all that was fsynced is in the store, the rest is lost")
                                 : fmt::format("all of it that was fsynced is in the journal in {}: mount the volume again on this "
                                               "machine to send it", plan_.disk.state_dir);
    ending.message = fmt::format("{}: the store lacks {}; {}", plan_.url.text(), format_bytes(ending.unsent_bytes), rest);
  } else {
    ending.status = exit_status(error.code());
    ending.message = fmt::format("{}: {}", plan_.url.text(), error.message());
  }
  return ending;
}

void MountSession::on_signal(int signal) {
  if (signal == SIGUSR1) {
    while_serving([this] { disk_->upload_now(); });
    return;
  }
  Phase phase;
  {
    MutexLock lock(mu_);
    phase = phase_;
  }
  if (phase == Phase::kStarting) {
    // Whatever stands in the store or the journal by now is what a crash would leave, and is recovered like that.
    ::_exit(kFailed);
  }
  terminate();
}

void MountSession::terminate() {
  const auto now = env_.clock.monotonic_now();
  MutexLock lock(mu_);
  const bool first = !drain_until_;
  drain_until_ = first ? now + plan_.drain_timeout : now;  // asked twice: at once
  if (!first || phase_ != Phase::kServing) return;
  spdlog::info("asked to end: waiting up to {} for the store", format_duration(plan_.drain_timeout));
  drainer_ = env_.executor.spawn("drain", [this] {
    static_cast<void>(disk_->sync(&stop_waiting_));
    server_->stop();
  });
}

void MountSession::on_tick() {
  std::optional<MonotonicTime> until;
  Phase phase;
  {
    MutexLock lock(mu_);
    until = drain_until_;
    phase = phase_;
    if (snapshotting_ != nullptr && snapshotting_->abandoned()) stop_snapshot_ = true;
  }
  if (phase == Phase::kStarting || phase == Phase::kClosed) return;
  reporter_->sample();
  watch_health();
  const auto now = env_.clock.monotonic_now();
  if (!until || now < *until) return;
  // What closing has to ask of the store by itself, `close` above all, gets its time.
  if (phase == Phase::kClosing && stop_waiting_ && now < *until + kLastWordTime) return;
  stop_waiting_ = true;
  stop_snapshot_ = true;
  hooks_->stop();
  stack_->cancel();
  if (now >= *until + kCancelAfter) disk_->cancel();
}

void MountSession::watch_health() {
  const auto now = reporter_->json();
  const auto word = now.value("health", ""), reason = now.value("health_reason", "");
  if (word == health_) return;
  if (word == "ok") {
    if (!health_.empty()) spdlog::info("{} is well again", plan_.url.text());
  } else {
    spdlog::warn("{}: {}: {}", plan_.url.text(), word, reason);
  }
  health_ = word;
}

void MountSession::handle(const nlohmann::json& request, ControlConnection& connection) {
  const auto command = request.value("command", nlohmann::json());
  bool ready;
  {
    MutexLock lock(mu_);
    ready = phase_ != Phase::kStarting;
  }
  if (!ready) {
    static_cast<void>(connection.send({{"error", {{"code", "transient"}, {"message", "the mount is just being made"}}}}));
  } else if (command == "status") {
    auto status = reporter_->json();
    status["done"] = true;
    status["pid"] = ::getpid();
    static_cast<void>(connection.send(status));
  } else if (command == "sync") {
    handle_sync(connection);
  } else if (command == "resize") {
    handle_resize(request, connection);
  } else if (command == "before-umount") {
    handle_before_umount(connection);
  } else if (command == "snapshot") {
    handle_snapshot(request, connection);
  } else if (command == "wait") {
    handle_wait(connection);
  } else {
    static_cast<void>(connection.send({{"error", {{"code", "bad_argument"}, {"message", "unknown command"}}}}));
  }
}

void MountSession::handle_sync(ControlConnection& connection) {
  Result<Generation> synced;
  // While it closes everything is sent anyway, and no other call may reach the disk.
  if (!while_serving([&] { synced = disk_->sync(&stop_waiting_); })) return handle_wait(connection);
  const nlohmann::json answer =
      synced ? nlohmann::json{{"done", true}, {"generation", synced->value}}
             : nlohmann::json{{"error", {{"code", code_name(synced.error().code())}, {"message", synced.error().message()}}}};
  static_cast<void>(connection.send(answer));
}

void MountSession::handle_resize(const nlohmann::json& request, ControlConnection& connection) {
  const auto asked = request.value("bytes", nlohmann::json());
  const auto bytes = asked.is_number_unsigned() ? asked.get<std::uint64_t>() : 0;
  const auto tail = request.value("discard_tail", nlohmann::json()) == true ? device::DiscardTail::yes : device::DiscardTail::no;
  std::uint64_t before = 0;
  Result<Generation> resized = fail(Code::kCancelled, "{} is being unmounted", plan_.mountpoint);
  while_serving([&] {
    before = disk_->size();
    resized = disk_->resize(bytes, tail, &stop_waiting_);
    if (resized) server_->size_changed(std::min(before, bytes));
  });
  if (resized) spdlog::info("the disk has {} now, {} before (generation {})", format_bytes(bytes), format_bytes(before), *resized);
  const nlohmann::json answer =
      resized ? nlohmann::json{{"done", true}, {"generation", resized->value}, {"bytes_before", before},
                               {"file", reporter_->facts().disk_path}}
              : nlohmann::json{{"error", {{"code", code_name(resized.error().code())}, {"message", resized.error().message()}}}};
  static_cast<void>(connection.send(answer));
}

void MountSession::handle_wait(ControlConnection& connection) {
  std::optional<Ending> ending;
  {
    MutexLock lock(mu_);
    while (!ending_ && !connection.abandoned()) changed_->wait_until(mu_, env_.clock.monotonic_now() + kPoll);
    ending = ending_;
  }
  if (!ending) return;
  static_cast<void>(connection.send({{"done", true}, {"status", static_cast<int>(ending->status)}, {"message", ending->message},
                                     {"generation", ending->generation.value}, {"unsent_bytes", ending->unsent_bytes},
                                     {"read_only", disk_->read_only()}}));
}

}  // namespace s3crate::cli
