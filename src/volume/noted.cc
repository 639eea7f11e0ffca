// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/noted.h"

#include <algorithm>

namespace s3crate::volume {
namespace {
constexpr std::uint16_t kNoted = 10;  // type of the extension
}

void put_noted(CommitBody& body) {
  segment::replace_extension(body.extensions, {kNoted, false, {}});
}

bool is_noted(const CommitBody& body) { return std::ranges::find(body.extensions, kNoted, &Extension::type) != body.extensions.end(); }

}  // namespace s3crate::volume
