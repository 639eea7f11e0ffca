// SPDX-License-Identifier: GPL-3.0-or-later
// The plain part of keys commits.
#include "tests/fuzz/fuzz.h"
#include "volume/commit.h"

namespace s3crate::fuzz {
namespace {

using namespace volume;

std::vector<Bytes> seeds() {
  KeysPart keys;
  keys.writers = {{.verify_key = {}, .identity = {}, .capabilities = kAppend, .from = Generation(1)}};
  keys.revoked = {Uuid{1}};
  keys.grants = {{.identity = {}, .box_key = {}, .role = Role::owner, .sealed = Bytes(150)}};
  keys.older = {{.ring = 1,
                 .data_key = {},
                 .sealed_metadata_key = Bytes(72),
                 .sealed_data_secret = Bytes(72)}};
  keys.origins = {{.origin = 1,
                   .ring = 1,
                   .data_key = {},
                   .sealed_metadata_key = Bytes(72),
                   .sealed_data_secret = Bytes(72)}};
  keys.extensions = {{3, false, {1, 2}}};
  return {encode_keys_part(keys)};
}

void run(ByteView input) { check_decoder(input, decode_keys_part, encode_keys_part); }

const Target target("commit_keys", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
