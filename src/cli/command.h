// SPDX-License-Identifier: GPL-3.0-or-later
// What every command gets, and the commands: one file each, named like the command.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/executor.h"
#include "base/result.h"
#include "cli/arguments.h"
#include "cli/exit_status.h"

namespace s3crate::cli {

// Standard output: one JSON value with --json, else text.
class Output {
 public:
  explicit Output(bool json) : json_(json) {}
  [[nodiscard]] bool json() const { return json_; }
  void print(std::string_view text) const;             // a line is added; nothing with --json
  void print_json(const nlohmann::json& value) const;  // nothing without --json
  // What print_json would print of an object that has this one list, item by item: nothing is kept.
  class List {
   public:
    List(const Output& out, std::string_view name) : out_(out), name_(name) {}
    void add(const nlohmann::json& item);
    void end();
    // Instead, after an error: the object has that as well. False if nothing was printed yet, so that the error can stand alone.
    [[nodiscard]] bool end(const Error& error);

   private:
    const Output& out_;
    const std::string_view name_;
    bool begun_ = false;
  };

 private:
  bool json_;
};

struct Context {
  const Arguments& arguments;
  Env env;
  Output out;
};

// Prints it, on standard error or as JSON, and says which status it has.
ExitStatus report(const Error& error, bool json);

// An error is printed by main, with the status of its code; any other status was explained by the command itself.
using CommandResult = Result<ExitStatus>;
[[nodiscard]] CommandResult run_format(Context& context);
[[nodiscard]] CommandResult run_mount(Context& context);
[[nodiscard]] CommandResult run_umount(Context& context);
[[nodiscard]] CommandResult run_attach(Context& context);
[[nodiscard]] CommandResult run_detach(Context& context);
[[nodiscard]] CommandResult run_restore(Context& context);
[[nodiscard]] CommandResult run_sync(Context& context);
[[nodiscard]] CommandResult run_status(Context& context);
[[nodiscard]] CommandResult run_info(Context& context);
[[nodiscard]] CommandResult run_history(Context& context);
[[nodiscard]] CommandResult run_tag(Context& context);
[[nodiscard]] CommandResult run_untag(Context& context);
[[nodiscard]] CommandResult run_snapshot(Context& context);
[[nodiscard]] CommandResult run_rollback(Context& context);
[[nodiscard]] CommandResult run_fork(Context& context);
[[nodiscard]] CommandResult run_resize(Context& context);
[[nodiscard]] CommandResult run_check(Context& context);
[[nodiscard]] CommandResult run_diff(Context& context);
[[nodiscard]] CommandResult run_export(Context& context);
[[nodiscard]] CommandResult run_compare(Context& context);
[[nodiscard]] CommandResult run_import(Context& context);
[[nodiscard]] CommandResult run_repair(Context& context);
[[nodiscard]] CommandResult run_journal_list(Context& context);
[[nodiscard]] CommandResult run_journal_save(Context& context);
[[nodiscard]] CommandResult run_journal_discard(Context& context);
[[nodiscard]] CommandResult run_list(Context& context);
[[nodiscard]] CommandResult run_bucket_check(Context& context);
[[nodiscard]] CommandResult run_bucket_policy(Context& context);
[[nodiscard]] CommandResult run_key_new(Context& context);

// main(), less argv.
[[nodiscard]] int run_program(int argc, char** argv);

}  // namespace s3crate::cli
