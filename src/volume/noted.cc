// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/noted.h"

#include <algorithm>

namespace s3crate::volume {
namespace {
constexpr std::uint16_t kNoted = 10;  // type of the extension
}

void put_noted(CommitBody& body) {
  if (is_noted(body)) return;
  body.extensions.insert(std::ranges::upper_bound(body.extensions, kNoted, {}, &Extension::type), Extension{kNoted, false, {}});
}

bool is_noted(const CommitBody& body) { return std::ranges::find(body.extensions, kNoted, &Extension::type) != body.extensions.end(); }

}  // namespace s3crate::volume
