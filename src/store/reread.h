// SPDX-License-Identifier: GPL-3.0-or-later
// reread(): what was read from the store and fails its check may have been damaged on the way. Lengths
// are RetryStore's business; bytes are checked by whoever knows their digest, so the answer is asked for
// again there. A local store's bytes are the truth.
#pragma once

#include <utility>

#include "store/object_store.h"

namespace s3crate::store {

constexpr int kRereadsMax = 3;

// `read` reads and checks, and answers kCorrupt if the check fails; `result` is what it answered first.
template <typename Read>
auto reread(const ObjectStore& store, decltype(std::declval<Read>()()) result, Read read) {
  const int most = store.caps().local ? 0 : kRereadsMax;
  for (int i = 0; i < most && is(result, Code::kCorrupt); ++i) result = read();
  return result;
}

template <typename Read>
auto reread(const ObjectStore& store, Read read) {
  return reread(store, read(), read);
}

}  // namespace s3crate::store
