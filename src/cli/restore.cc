// SPDX-License-Identifier: GPL-3.0-or-later
// restore: files of a past generation, by way of an attach that nobody else sees. They are copied into a directory beside their new
// place and moved there when all of them are: a restore does all or nothing, but for files whose content is lost.
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/attach.h"
#include "cli/control.h"
#include "cli/restore_copy.h"
#include "cli/restore_place.h"

namespace s3crate::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWorkPrefix = "restore.";
constexpr int kWorkTried = 20;
constexpr std::size_t kPrintedMax = 100;  // of what is missing; with --json more

// As the filesystem itself would find it: a symbolic link on the way leads to what it means in there, and never out of it.
Result<std::string> find_inside(int root, const std::string& path) {
  open_how how = {};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const Fd found(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
  if (!found && errno == ENOSYS) return fail(Code::kUnsupported, "restore needs Linux 5.6 or newer");
  if (!found && (errno == ENOENT || errno == ENOTDIR)) return fail(Code::kNotFound, "there is no {} at that point", path);
  if (!found) return fail(system_error(errno, "find", path));
  std::error_code error;
  auto where = fs::read_symlink(fmt::format("/proc/self/fd/{}", found.get()), error);
  if (error) return fail(system_error(error.value(), "find", path));
  return where.string();
}

Result<std::vector<Wanted>> find_wanted(const std::string& root, const std::vector<std::string>& paths) {
  const Fd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail(system_error(errno, "open", root));
  std::vector<Wanted> wanted;
  for (const auto& path : paths) {
    const auto from = TRY(find_inside(fd.get(), path));
    if (from != root) {
      wanted.push_back({from, fs::path(from).filename()});
      continue;
    }
    std::error_code error;
    for (fs::directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
      wanted.push_back({it->path(), it->path().filename()});
    }
    if (error) return fail(system_error(error.value(), "read", path));
  }
  std::set<std::string> names;
  for (const auto& one : wanted) {
    if (!names.insert(one.name).second) return fail(Code::kBadArgument, "two of the paths are called {}: restore them one after the other", one.name);
  }
  return wanted;
}

struct Restored {
  std::size_t paths = 0;
  Unread missing;  // from the root of the filesystem
};

// Of cp, whose words name the directory that is copied to as this process does.
Error in_words(const Error& error, const std::string& staging, const std::string& target) {
  auto message = error.message();
  for (std::size_t at = 0; (at = message.find(staging, at)) != std::string::npos; at += target.size()) message.replace(at, staging.size(), target);
  return {error.code(), message};
}

// Of what cannot be read, whether it is lost: a store that is away says nothing of that.
Result<> check_damage(const Unread& missing, const std::string& place) {
  if (!missing.any()) return {};
  const auto met = reads_met(place);
  if (!met) return fail(Code::kIo, "nothing was restored: the process behind the mount of the volume has gone");
  if (met->others > 0) return fail(Code::kTransient, "nothing was restored: reads of the volume failed, and not for damage: {}", met->trouble);
  return {};
}

// `place`: where the volume is mounted.
Result<Restored> restore(Random& random, const std::string& place, const std::string& root, const std::vector<std::string>& paths, const std::string& target, bool overwrite,
                         const Interrupts& interrupts, ProgressLine& progress) {
  const auto wanted = TRY(find_wanted(root, paths));
  if (wanted.empty()) return Restored{};
  const auto staging = TRY(Staging::make(random, target));
  for (const auto& one : wanted) {
    if (!overwrite && staging.is_in_target(one.name))
      return fail(Code::kExists, "{}/{} is there already: choose another directory, or --overwrite", target, one.name);
  }
  auto missing = copy_wanted(wanted, staging.path(), interrupts, progress);
  if (!missing) return fail(in_words(missing.error(), staging.path(), target));
  TRY(check_damage(*missing, place));
  Restored restored{.paths = 0, .missing = std::move(*missing)};
  for (std::string& path : restored.missing.paths) path.erase(0, root.size());
  for (const auto& one : wanted) restored.paths += staging.has(one.name) ? 1 : 0;
  if (restored.paths == 0) return fail(Code::kCorrupt, "nothing was restored: {} cannot be read at that point, for damage", on_one_line(restored.missing.paths.at(0)));
  std::vector<std::string> names;
  for (const auto& one : wanted) names.push_back(one.name);
  TRY(staging.put_in_place(names, overwrite ? Staging::Overwrite::yes : Staging::Overwrite::no));
  return restored;
}

CommandResult tell(const Output& out, const Restored& restored, const std::string& target) {
  const auto& missing = restored.missing;
  out.print(fmt::format("{} {} restored to {}", restored.paths, restored.paths == 1 ? "path is" : "paths are", target));
  if (missing.count > 0) {
    out.print(fmt::format("damaged: not all of it can be read at that point; {} missing, in whole or in part:", missing.count == 1 ? "this is" : "these are"));
    const std::size_t printed = std::min(missing.paths.size(), kPrintedMax);
    for (std::size_t i = 0; i < printed; ++i) out.print("  " + on_one_line(missing.paths[i]));
    if (printed < missing.count) out.print(fmt::format("  and {} more", missing.count - printed));
  }
  if (!missing.attributes.empty()) out.print("damaged: not all attributes can be read at that point: " + missing.attributes);
  out.print_json({{"directory", target}, {"paths", restored.paths}, {"missing", missing.paths}, {"missing_count", missing.count},
                  {"attributes_missing", !missing.attributes.empty()}});
  return missing.any() ? kDamaged : kDone;
}

UnmountRequest at_once(const std::string& directory) { return {directory, "detached"}; }

void take_away(Context& context, const std::string& directory) {
  static_cast<void>(detach(context, directory, at_once(directory)));
  ::rmdir(directory.c_str());
}

// Of restores that were killed.
void clear_remains(Context& context) {
  std::error_code error;
  for (fs::directory_iterator it(runtime_directory(0), error), end; !error && it != end; it.increment(error)) {
    const auto directory = it->path().string();
    if (!it->path().filename().string().starts_with(kWorkPrefix) || !it->is_directory(error)) continue;
    if (auto lock = AttachLock::take(directory)) take_away(context, directory);
  }
}

struct Work {
  std::string directory;
  AttachLock lock;
};

Result<Work> make_work_directory() {
  TRY(make_private_directory(runtime_directory(0)));
  for (int i = 0; i < kWorkTried; ++i) {
    auto path = fmt::format("{}/{}XXXXXX", runtime_directory(0), kWorkPrefix);
    if (::mkdtemp(path.data()) == nullptr) return fail(system_error(errno, "make", path));
    // Another restore may take it for one that was left, as long as nobody has its lock.
    auto lock = AttachLock::take(path);
    std::error_code error;
    if (lock && fs::is_directory(path, error)) return Work{std::move(path), std::move(*lock)};
  }
  return fail(Code::kFenced, "other restores are just beginning: try again");
}

Result<std::string> target_of(const Arguments& arguments) {
  if (!arguments.has("to")) return fail(Code::kBadArgument, "where to? Add --to DIR");
  const auto path = canonical_path(arguments.text("to"));
  std::error_code error;
  if (!fs::exists(path, error)) return fail(Code::kNotFound, "there is no directory {}: make it first", path);
  if (!fs::is_directory(path, error)) return fail(Code::kBadArgument, "{} is not a directory", path);
  return path;
}

}  // namespace

CommandResult run_restore(Context& context) {
  const auto& positionals = context.arguments.positionals();
  const auto target = TRY(target_of(context.arguments));
  if (::geteuid() != 0) return fail(Code::kIo, "only root can mount a filesystem, which restore does for a while");
  Context quiet{context.arguments, context.env, Output(true)};
  // From here on there is something to undo.
  const Interrupts interrupts;
  clear_remains(quiet);
  const Work work = TRY(make_work_directory());
  const std::string& directory = work.directory;
  auto arguments = context.arguments.as(Command::kAttach, {positionals[0], directory});
  TRY(arguments.set(*find_option("read-only"), "yes", Source::kCommandLine, "restore"));
  Context attaching{arguments, context.env, Output(true)};
  AttachRequest request;
  request.directory = directory;
  if (context.arguments.has("fs-options")) request.options = context.arguments.text("fs-options");
  Attached attached;
  if (const auto status = attach(attaching, request, attached); !status || *status != kDone) {
    ::rmdir(directory.c_str());
    return interrupts.came() ? fail(Code::kCancelled, "interrupted: nothing was restored") : status;
  }
  const auto restored = [&] {
    ProgressLine progress(context.env.clock, progress_style(context.arguments.text("progress")));
    return restore(context.env.random, attached.place, directory, {positionals.begin() + 1, positionals.end()}, target, context.arguments.flag("overwrite"), interrupts, progress);
  }();
  const auto error = restored ? std::nullopt : std::optional(explain_reads(restored.error(), attached.place));
  take_away(quiet, directory);
  if (error) return fail(*error);
  return tell(context.out, *restored, target);
}

}  // namespace s3crate::cli
