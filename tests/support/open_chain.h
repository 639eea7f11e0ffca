// SPDX-License-Identifier: GPL-3.0-or-later
// A writer's chain, in a term of its own, on top of what a volume shows.
#pragma once

#include <memory>

#include "volume/chain.h"

namespace s3crate::test {

inline Result<std::unique_ptr<volume::Chain>> open_chain(Env env, volume::Volume& volume, const volume::Commit& head) {
  volume::DeltaLevels levels;
  TRY(volume.load_view(head, &levels));
  auto chain = std::make_unique<volume::Chain>(env, volume, head, [](const Error&) {});
  TRY(chain->open_term({.epoch = 0, .instance = {}, .home = {}, .host = "host", .journal = {}},
                       [](const volume::Commit&) -> Result<> { return {}; }));
  chain->continue_from(std::move(levels));
  return chain;
}

}  // namespace s3crate::test
