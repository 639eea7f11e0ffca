// SPDX-License-Identifier: GPL-3.0-or-later
// The `volume` object: an input is one without its signature.
#include "tests/fuzz/fuzz.h"
#include "volume/volume_object.h"
#include "volume/wire_format.h"

namespace s3crate::fuzz {
namespace {

using namespace volume;

std::vector<Bytes> seeds() {
  VolumeObject volume;
  volume.admin = signer().verify_key();
  volume.origins = {{Vid{1}, "file:///origin"}};
  volume.extensions = {{7, false, {1, 2, 3}}};
  Bytes object = encode_volume(volume, signer());
  object.resize(object.size() - sizeof(crypto::Signature));
  return {object};
}

void run(ByteView input) {
  Bytes object = to_bytes(input);
  if (object.size() >= sizeof(wire::Volume))
    std::ranges::copy(signer().verify_key(), object.begin() + offsetof(wire::Volume, admin));
  const ByteView content = object;
  object = joined(object, signer().sign("volume", {&content, 1}));
  check_decoder(object, decode_volume, [](const auto& v) { return encode_volume(v, signer()); });
}

const Target target("volume_object", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
