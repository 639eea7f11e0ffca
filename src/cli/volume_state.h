// SPDX-License-Identifier: GPL-3.0-or-later
// Who has a volume open, as its history says it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "volume/volume.h"

namespace s3crate::cli {

// The newest open, or the close that ended it; nullopt: it was never opened.
using Term = std::optional<volume::Commit>;
[[nodiscard]] Result<Term> term_of(volume::Volume& volume, const volume::Commit& head);

[[nodiscard]] std::string state_text(const Term& term);
// Adds open, host, since and pending_bytes.
void add_state(const Term& term, nlohmann::json& json);

}  // namespace s3crate::cli
