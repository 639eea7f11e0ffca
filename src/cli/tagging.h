// SPDX-License-Identifier: GPL-3.0-or-later
// Giving a generation a name, by a guest: what tag and the process behind a mount (for snapshot) have in common.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "volume/guest.h"

namespace s3crate::cli {

struct Tagged {
  Generation generation;
  std::optional<Generation> previous;     // what the name stood for
  std::optional<Generation> recorded_in;  // the commit; none was needed if it stood for this one
};

// Adds generation, previous_generation and recorded_in.
void add_tagged(const Tagged& tagged, nlohmann::json& json);

struct TagRequest {
  std::string url, name;
  bool force = false;
};
// kExists: the name stands for something, and is not to be moved.
[[nodiscard]] Error tag_exists(const TagRequest& request, Generation generation);

// Above `head`, which the guest was made before.
[[nodiscard]] Result<Tagged> give_tag(volume::Guest& guest, volume::Volume& volume, const volume::Commit& head, Generation generation,
                                      const TagRequest& request);

}  // namespace s3crate::cli
