// SPDX-License-Identifier: GPL-3.0-or-later
// The program: parse, run the command, say what went wrong.
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/config_file.h"
#include "cli/process.h"

namespace s3crate::cli {
namespace {

CommandResult run(Context& context) {
  switch (context.arguments.command()) {
    case Command::kFormat: return run_format(context);
    case Command::kMount: return run_mount(context);
    case Command::kUmount: return run_umount(context);
    case Command::kAttach: return run_attach(context);
    case Command::kDetach: return run_detach(context);
    case Command::kRestore: return run_restore(context);
    case Command::kSync: return run_sync(context);
    case Command::kStatus: return run_status(context);
    case Command::kInfo: return run_info(context);
    case Command::kHistory: return run_history(context);
    case Command::kTag: return run_tag(context);
    case Command::kUntag: return run_untag(context);
    case Command::kSnapshot: return run_snapshot(context);
    case Command::kRollback: return run_rollback(context);
    case Command::kFork: return run_fork(context);
    case Command::kResize: return run_resize(context);
    case Command::kCheck: return run_check(context);
    case Command::kDiff: return run_diff(context);
    case Command::kExport: return run_export(context);
    case Command::kCompare: return run_compare(context);
    case Command::kImport: return run_import(context);
    case Command::kRepair: return run_repair(context);
    case Command::kJournalList: return run_journal_list(context);
    case Command::kJournalSave: return run_journal_save(context);
    case Command::kJournalDiscard: return run_journal_discard(context);
    case Command::kList: return run_list(context);
    case Command::kBucketCheck: return run_bucket_check(context);
    case Command::kBucketPolicy: return run_bucket_policy(context);
    case Command::kKeyNew: return run_key_new(context);
  }
  return fail(Code::kBadArgument, "this command does nothing");
}

nlohmann::json json_of(const Error& error) { return {{"code", code_name(error.code())}, {"message", error.message()}}; }

}  // namespace

ExitStatus report(const Error& error, bool json) {
  if (json) {
    Output(true).print_json({{"error", json_of(error)}});
  } else {
    std::fprintf(stderr, "s3crate-blk: %s\n", error.message().c_str());
  }
  return exit_status(error.code());
}

namespace {

int run_words(const std::vector<std::string>& words) {
  const bool json = wants_json(words);
  auto parsed = parse_command_line(words, config_file_paths());
  if (!parsed) return report(parsed.error(), json);
  if (!parsed->arguments) {
    std::fputs(parsed->text.c_str(), stdout);
    return kDone;
  }
  Context context{*parsed->arguments, system_env(), Output(json)};
  auto status = run(context);
  return status ? *status : report(status.error(), json);
}

}  // namespace

void Output::print(std::string_view text) const {
  if (json_) return;
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

namespace {

// Names and messages may hold bytes that are no UTF-8: those are replaced, never thrown about.
std::string dump(const nlohmann::json& value) { return value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace); }

}  // namespace

void Output::print_json(const nlohmann::json& value) const {
  if (!json_) return;
  const auto text = dump(value);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

namespace {

void print_indented(const nlohmann::json& value, const char* indent) {
  for (const char c : dump(value)) {
    std::fputc(c, stdout);
    if (c == '\n') std::fputs(indent, stdout);
  }
}

}  // namespace

void Output::List::add(const nlohmann::json& item) {
  if (!out_.json_) return;
  fmt::print("{}", begun_ ? ",\n    " : fmt::format("{{\n  \"{}\": [\n    ", name_));
  begun_ = true;
  print_indented(item, "    ");
}

bool Output::List::end(const Error& error) {
  if (!begun_) return false;
  fmt::print("\n  ],\n  \"error\": ");
  print_indented(json_of(error), "  ");
  fmt::print("\n}}\n");
  std::fflush(stdout);
  return true;
}

void Output::List::end() {
  if (!out_.json_) return;
  if (begun_) fmt::print("\n  ]\n}}\n");
  else fmt::print("{{\n  \"{}\": []\n}}\n", name_);
  std::fflush(stdout);
}

int run_program(int argc, char** argv) {
  keep_no_dumps();
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  try {
    const std::string_view name = argc > 0 ? argv[0] : "";
    if (name.substr(name.rfind('/') + 1) == kMountHelper) {
      auto translated = mount_helper_words(words);
      if (!translated) return report(translated.error(), false);
      if (!*translated) return kDone;
      words = std::move(**translated);
    }
    return run_words(words);
  } catch (const std::exception& e) {
    return report(Error(Code::kIo, fmt::format("cannot go on: {}", e.what())), wants_json(words));
  }
}

}  // namespace s3crate::cli
