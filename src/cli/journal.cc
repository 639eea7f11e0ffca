// SPDX-License-Identifier: GPL-3.0-or-later
// journal list, journal discard: the journals that lie in this machine's state directory. Without keys and without the store: what a journal
// holds is known only by its size, and what the store has of it by what its writer noted with its last commit.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/command.h"
#include "cli/files.h"
#include "cli/mount_plan.h"
#include "cli/prompt.h"
#include "cli/save_directory.h"
#include "journal/journal.h"

namespace s3crate::cli {
namespace {

constexpr std::size_t kVidDigits = 64;

struct Found {
  std::string vid;
  std::string path;
  std::string id;
  enum class State { kIdle, kInUse, kDamaged } state = State::kIdle;
  std::string url;          // where the volume was; empty: not known
  std::uint64_t bytes = 0;  // of records that are not known to be stored
  std::vector<std::string> stopped_saves;  // their directories
  std::string trouble;
  std::unique_ptr<journal::Journal> journal;  // locked while this is held
  [[nodiscard]] std::string fingerprint() const { return vid.substr(0, 16); }
};

std::optional<Found> look(Env env, io::FileIo& files, const std::string& state_dir, const std::string& vid) {
  Found found;
  found.vid = vid;
  found.path = fmt::format("{}/{}/journal", state_dir, vid);
  journal::Options options;
  options.path = found.path;
  auto opened = journal::Journal::open(env, files, options);
  if (is(opened, Code::kNotFound)) return std::nullopt;
  if (is(opened, Code::kExists)) {
    found.state = Found::State::kInUse;
    return found;
  }
  auto bytes = opened ? (*opened)->pending_bytes(journal::stored_through((*opened)->superblock())) : Result<std::uint64_t>(fail(opened.error()));
  if (!bytes) {
    found.state = Found::State::kDamaged;
    found.trouble = bytes.error().message();
  } else {
    found.bytes = *bytes;
  }
  found.stopped_saves = save_directories(files, fmt::format("{}/{}", state_dir, vid)).value_or(std::vector<std::string>());
  if (opened) {
    found.id = to_hex((*opened)->superblock().journal);
    found.url = journal::noted_url((*opened)->superblock());
    found.journal = std::move(*opened);
  }
  return found;
}

Result<std::vector<Found>> find_all(Env env, io::FileIo& files, const std::string& state_dir) {
  std::vector<Found> all;
  auto entries = files.list(state_dir);
  if (is(entries, Code::kNotFound)) return all;
  if (!entries) return fail(Code::kIo, "{}", entries.error().message());
  for (const auto& entry : *entries) {
    const bool is_vid = entry.is_directory && entry.name.size() == kVidDigits &&
                        entry.name.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!is_vid) continue;
    if (auto found = look(env, files, state_dir, entry.name)) all.push_back(std::move(*found));
  }
  return all;
}

std::string describe_journal(const Found& found) {
  switch (found.state) {
    case Found::State::kInUse: return "in use by a mount";
    case Found::State::kDamaged: return "damaged: " + found.trouble;
    case Found::State::kIdle: break;
  }
  return found.bytes == 0 ? "the store has all of it"
                          : fmt::format("{} that the store may lack: mount the volume to send it (or, if another machine has gone on since, s3crate-blk journal save)", format_bytes(found.bytes));
}

std::string describe(const Found& found) {
  const std::size_t saves = found.stopped_saves.size();
  return describe_journal(found) + (saves == 0 ? "" : saves == 1 ? "; a journal save of it was stopped" : fmt::format("; {} journal saves of it were stopped", saves));
}

std::string_view state_name(Found::State state) {
  return state == Found::State::kInUse ? "in_use" : state == Found::State::kDamaged ? "damaged" : "idle";
}

Result<> confirm(const Found& found) {
  const auto what = fmt::format("The journal of volume {} ({}) is about to be deleted.\nWrites in it that the store lacks are lost for good. "
                                "Type the fingerprint of the volume: ", found.url.empty() ? found.fingerprint() : found.fingerprint() + ", " + found.url, describe(found));
  const auto first = TRY(ask_line(what));
  if (!first) return fail(Code::kBadArgument, "journal discard has to ask, and there is no terminal");
  if (*first != found.fingerprint()) return fail(Code::kCancelled, "that is not {}: nothing was deleted", found.fingerprint());
  const auto second = TRY(ask_line("Really? Type yes: "));
  if (!second || *second != "yes") return fail(Code::kCancelled, "nothing was deleted");
  return {};
}

}  // namespace

CommandResult run_journal_list(Context& context) {
  const auto state_dir = TRY(state_directory(context.arguments));
  const auto all = TRY(find_all(context.env, io::posix_file_io(), state_dir));
  if (all.empty()) context.out.print(fmt::format("there are no journals in {}", state_dir));
  auto list = nlohmann::json::array();
  for (const auto& found : all) {
    context.out.print(fmt::format("{}  {}{}", found.fingerprint(), found.url.empty() ? "" : found.url + "  ", describe(found)));
    list.push_back({{"fingerprint", found.fingerprint()}, {"vid", found.vid}, {"journal", found.id}, {"path", found.path},
                    {"url", found.url}, {"state", state_name(found.state)}, {"bytes", found.bytes}, {"stopped_saves", found.stopped_saves.size()}});
  }
  context.out.print_json({{"journals", list}});
  return kDone;
}

CommandResult run_journal_discard(Context& context) {
  const auto state_dir = TRY(state_directory(context.arguments));
  const auto& name = context.arguments.positionals().at(0);
  auto& files = io::posix_file_io();
  auto all = TRY(find_all(context.env, files, state_dir));
  std::erase_if(all, [&](const Found& f) { return name.size() < 8 || !(f.vid.starts_with(name) || f.id == name); });
  if (all.empty()) return fail(Code::kNotFound, "there is no journal {} in {} (s3crate-blk journal list shows them)", name, state_dir);
  if (all.size() > 1) return fail(Code::kBadArgument, "{} stands for several journals: write more of it", name);
  auto& found = all[0];
  if (found.state == Found::State::kInUse) return fail(Code::kFenced, "the journal of {} is in use by a mount", found.fingerprint());
  TRY(confirm(found));
  for (const auto& path : found.stopped_saves) TRY(remove_save_directory(path));
  TRY(files.remove(found.path));
  TRY(files.sync_directory(fmt::format("{}/{}", state_dir, found.vid)));
  context.out.print(fmt::format("the journal of {} is deleted", found.fingerprint()));
  return kDone;
}

}  // namespace s3crate::cli
