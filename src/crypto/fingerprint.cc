// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/fingerprint.h"

#include <sodium.h>

#include "base/check.h"

namespace s3crate::crypto {

Fingerprint fingerprint(const Secret& key, ByteView data) {
  const ByteView k = key.view();
  Fingerprint out;
  CHECK(!key.empty() && crypto_generichash(out.data(), out.size(), data.data(), data.size(), k.data(), k.size()) == 0);
  return out;
}

}  // namespace s3crate::crypto
