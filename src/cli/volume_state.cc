// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/volume_state.h"

#include <nlohmann/json.hpp>

#include "base/time_text.h"

namespace s3crate::cli {

Result<Term> term_of(volume::Volume& volume, const volume::Commit& head) {
  const auto binds = [](const volume::Commit& c) {
    return c.body.kind == volume::CommitKind::open || c.body.kind == volume::CommitKind::close;
  };
  if (binds(head)) return head;
  if (head.body.term.value == 0) return std::nullopt;
  return TRY(volume.load_commit(head.body.term));
}

std::string state_text(const Term& term) {
  if (!term) return "never mounted";
  const auto& body = term->body;
  if (body.kind == volume::CommitKind::open)
    return fmt::format("open since {} on {}", format_time(body.time), body.host);
  auto text = fmt::format("closed on {} at {}", body.host, format_time(body.time));
  if (body.pending)
    text += fmt::format(", with {} still in its journal there", format_bytes(body.pending->bytes));
  return text;
}

void add_state(const Term& term, nlohmann::json& json) {
  json["open"] = term && term->body.kind == volume::CommitKind::open;
  if (!term) return;
  json["host"] = term->body.host;
  json["since"] = format_time(term->body.time);
  json["pending_bytes"] = term->body.pending ? term->body.pending->bytes : 0;
}

}  // namespace s3crate::cli
