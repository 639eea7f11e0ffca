// SPDX-License-Identifier: GPL-3.0-or-later
// Key slots: an input is the header, extensions, and what is to be sealed.
#include "tests/fuzz/fuzz.h"
#include "volume/volume_object.h"
#include "volume/wire_format.h"

namespace s3crate::fuzz {
namespace {

using namespace volume;

std::vector<Bytes> seeds() {
  const Identity identity = make_identity(random());
  SlotHeader header;
  header.identity = identity.id();
  header.extensions = {{9, false, {1}}};
  Bytes object = seal_slot(header, crypto::Secret(random()), identity, {}, random());
  object.resize(object.size() - sizeof(wire::SlotSecrets) - crypto::kSealOverhead);
  wire::SlotSecrets secrets;
  std::ranges::copy(identity.box.secret.view(), secrets.box_secret.begin());
  std::ranges::copy(identity.signer.seed().view(), secrets.sign_seed.begin());
  append(object, wire_bytes(secrets));
  return {object};
}

void run(ByteView input) {
  (void)parse_slot(input);
  if (input.size() < sizeof(wire::Slot) + sizeof(wire::SlotSecrets)) return;
  static const crypto::Secret key(random());
  Bytes object = to_bytes(input.first(input.size() - sizeof(wire::SlotSecrets)));
  auto head = ByteReader(object).wire<wire::Slot>();
  const auto check = crypto::derive(key, "slot check", {head.vid, head.slot});
  std::ranges::copy(check.view().first(head.check.size()), head.check.begin());
  std::ranges::copy(wire_bytes(head), object.begin());
  const crypto::SealingKey seal(crypto::derive(key, "slot seal", {head.vid, head.slot}));
  seal.seal(random(), input.last(sizeof(wire::SlotSecrets)), to_bytes(object), object);
  const auto slot = open_slot(object, key);
  CHECK(slot ? slot->identity.id() == head.identity : is_refusal(slot.error()));
}

const Target target("slot", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
