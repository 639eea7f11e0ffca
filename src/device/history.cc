// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/history.h"

#include <algorithm>

namespace s3crate::device {
namespace {

// Commits that are got together; each may have 16 MiB, most have some kilobytes.
constexpr std::size_t kCommitsAtOnce = 16;
constexpr std::size_t kAllocatedMax = 4096;

Past past_of(const volume::CatalogueEntry& row, bool fixed) { return {row.generation, row.disk_bytes, row.time, fixed}; }

}  // namespace

class History::Turn {
 public:
  explicit Turn(History& history) : history_(history) {
    MutexLock lock(history_.mu_);
    while (history_.busy_) history_.free_->wait(history_.mu_);
    history_.busy_ = true;
  }
  ~Turn() {
    MutexLock lock(history_.mu_);
    history_.busy_ = false;
    history_.free_->notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  History& history_;
};

History::History(Env env, std::unique_ptr<volume::Volume> volume, const volume::Commit& head, const SharedParts& caches,
                 const HistoryOptions& options)
    : env_(env), caches_(caches), options_(options), free_(env.executor.cond_var()), volume_(std::move(volume)),
      timeline_(*volume_, head, kCommitsAtOnce), looked_(env.clock.monotonic_now()) {}

History::~History() = default;

Result<> History::look_for_newer(Look look) {
  const MonotonicTime now = env_.clock.monotonic_now();
  const bool old = now - looked_ >= options_.age_max || options_.committed() > timeline_.head().generation;
  if (!options_.goes_on || (!old && look == Look::if_old)) return {};
  TRY(timeline_.follow(TRY(volume_->load_head())));
  looked_ = now;
  return {};
}

Result<volume::CatalogueEntry> History::find_row(const volume::Point& point) {
  const auto* generation = std::get_if<Generation>(&point);
  const auto* time = std::get_if<WallTime>(&point);
  // What is known is enough for these, and needs no store.
  const bool known = generation != nullptr ? *generation <= timeline_.head().generation
                                           : time != nullptr && *time < TRY(timeline_.row(timeline_.head().generation)).time;
  if (known) return timeline_.find(point);
  TRY(look_for_newer(Look::if_old));
  auto found = timeline_.find(point);
  if (!is(found, Code::kNotFound)) return found;
  // Somebody may have made it just now.
  TRY(look_for_newer(Look::now));
  return timeline_.find(point);
}

Result<Past> History::find(std::string_view name) {
  const volume::Point point = TRY(volume::parse_point(name, env_.clock.wall_now()));
  const Turn turn(*this);
  return past_of(TRY(find_row(point)), std::holds_alternative<Generation>(point));
}

Result<Past> History::at(Generation generation) {
  const Turn turn(*this);
  return past_of(TRY(find_row(generation)), true);
}

Result<std::vector<PastName>> History::list() {
  const Turn turn(*this);
  TRY(look_for_newer(Look::if_old));
  std::vector<PastName> out;
  Generation at = timeline_.head().generation;
  for (std::size_t n = 0; n < kListedGenerations && at > Generation(0); ++n, at = Generation(at.value - 1))
    out.push_back({fmt::format("{}", at), at});
  for (volume::TagEntry& tag : TRY(timeline_.tags(kListedTags))) {
    // One that reads as something else cannot be looked up.
    const auto point = volume::parse_point(tag.name, env_.clock.wall_now());
    if (point && std::holds_alternative<volume::TagName>(*point)) out.push_back({std::move(tag.name), tag.generation});
  }
  return out;
}

History::Load History::load() {
  Load out;
  std::erase_if(open_, [](const auto& entry) { return entry.second.expired(); });
  for (const auto& [generation, open] : open_) {
    if (const auto past = open.lock()) {
      ++out.count;
      out.weight += past->weight();
    }
  }
  return out;
}

Result<std::shared_ptr<PastDisk>> History::open_in_turn(Generation generation) {
  if (const auto known = open_.find(generation); known != open_.end())
    if (auto past = known->second.lock()) return last_ = past;
  last_.reset();
  const auto refuse = [](const Load& load) {
    return fail(Code::kNoSpace, "{} past generations are open already: close one first", load.count);
  };
  if (const Load now = load(); now.count >= options_.open_max || now.weight > options_.weight_max) return refuse(now);
  const auto row = TRY(find_row(generation));
  const volume::Commit commit = TRY(volume_->load_commit(volume::CommitRef{row.generation, row.hash}));
  volume::View view = TRY(volume_->load_view(commit));
  const std::uint64_t weight = view.changes.size() + view.new_objects.size();
  if (const Load now = load(); now.count > 0 && now.weight + weight > options_.weight_max) return refuse(now);
  auto past = PastDisk::make(env_, *volume_, caches_, std::move(view));
  open_.insert_or_assign(generation, past);
  return last_ = past;
}

Result<std::shared_ptr<Readable>> History::open(Generation generation) {
  const Turn turn(*this);
  return TRY(open_in_turn(generation));
}

Result<std::uint64_t> History::allocated_bytes(Generation generation) {
  const Turn turn(*this);
  if (const auto known = allocated_.find(generation); known != allocated_.end()) return known->second;
  const std::uint64_t bytes = TRY(TRY(open_in_turn(generation))->allocated_bytes());
  if (allocated_.size() >= kAllocatedMax) allocated_.erase(allocated_.begin());
  allocated_.insert_or_assign(generation, bytes);
  return bytes;
}

}  // namespace s3crate::device
