// SPDX-License-Identifier: GPL-3.0-or-later
// What diff, export and compare share: a generation of a volume, opened to be read from end to end.
#pragma once

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/progress_line.h"
#include "cli/signals.h"
#include "cli/stack.h"
#include "device/transfer.h"

namespace s3crate::cli {

// What goes on while such a command works: Ctrl-C ends it, and a line says how far it is.
class Transfer {
 public:
  // Unlocks the volume at `url_text`.
  [[nodiscard]] static Result<std::unique_ptr<Transfer>> open(Context& context, const std::string& url_text, std::string phase);

  [[nodiscard]] const Url& url() const { return url_; }
  [[nodiscard]] volume::Volume& volume() { return *volume_; }
  // The commit that a point names; the newest one without.
  [[nodiscard]] Result<volume::Commit> commit_at(const std::string& point);
  // Of the URL's point.
  [[nodiscard]] Result<device::ViewReader*> reader();
  [[nodiscard]] device::TransferOptions options();
  [[nodiscard]] device::StopFlag stop() const { return stop_->flag(); }
  // Why it ended, in words: an error within the volume's URL, unless the user or a store that is away ended it.
  [[nodiscard]] Error explain(const Error& error) const;

 private:
  Transfer(Context& context, Url url, std::string phase);
  Env env_;
  const Url url_;
  const std::string phase_;
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<volume::Volume> volume_;
  std::optional<StopSignals> stop_;
  std::unique_ptr<device::ViewReader> reader_;
  ProgressLine line_;
};

// As [offset, length].
[[nodiscard]] nlohmann::json json_of(const std::vector<volume::ByteRange>& ranges);

}  // namespace s3crate::cli
