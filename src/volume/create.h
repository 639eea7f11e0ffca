// SPDX-License-Identifier: GPL-3.0-or-later
// Makes a volume: slots, then commit 1 (keys, with the owner's grant), its copy, and the `volume` object last. Until that one is
// there, no volume is.
#pragma once

#include "volume/volume.h"

namespace s3crate::volume {

struct CreateOptions {
  std::uint64_t disk_bytes = 0;
  std::uint32_t block_size = 4096;
  std::uint32_t extent_bytes = 65536;
  std::uint32_t segment_bytes = 8 << 20;
  bool single_writer = false;
  crypto::Argon2Cost argon2;
  std::string host;
};
// kBadArgument with a sentence for the user if the numbers are out of bounds.
[[nodiscard]] Result<> validate(const CreateOptions& options);

// The same, of the size alone.
[[nodiscard]] Result<> validate_size(std::uint64_t disk_bytes, std::uint32_t block_size);

struct SlotRequest {
  std::optional<Bytes> passphrase;          // one of these two
  std::optional<crypto::Secret> key_file;
};
// kExists: a volume is there; kBadArgument: something else is (a format that was interrupted, for instance).
[[nodiscard]] Result<Vid> create(Env env, store::ObjectStore& store, const CreateOptions& options,
                                 std::span<const SlotRequest> slots);

}  // namespace s3crate::volume
