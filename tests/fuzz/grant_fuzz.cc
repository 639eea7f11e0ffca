// SPDX-License-Identifier: GPL-3.0-or-later
// Grants: an input is what lies in the box.
#include "tests/fuzz/fuzz.h"
#include "volume/volume_object.h"
#include "volume/wire_format.h"

namespace s3crate::fuzz {
namespace {

using namespace volume;

std::vector<Bytes> seeds() {
  wire::GrantHead head;
  head.role = static_cast<std::uint8_t>(Role::owner);
  head.given = wire::kGivesMetadata | wire::kGivesData | wire::kGivesFingerprint | wire::kGivesAdmin;
  Bytes plain = to_bytes(wire_bytes(head));
  plain.resize(plain.size() + 4 * crypto::kSecretSize);
  plain.push_back(0);  // extensions
  return {plain};
}

void run(ByteView input) {
  static const crypto::BoxKeyPair box = crypto::box_key_pair(random());
  const auto grant = open_grant(crypto::box_seal(random(), box.public_key, input), box.secret);
  if (!grant) return CHECK(is_refusal(grant.error()));
  CHECK(!grant->metadata_key.empty());
  Bytes again;
  CHECK(crypto::box_open(box.secret, seal_grant(*grant, box.public_key, random()), again));
  CHECK(equal(again, input));
}

const Target target("grant", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
