// SPDX-License-Identifier: GPL-3.0-or-later
// Where keys come from: options, else environment, else config file, else systemd's credentials directory, else a question.
// The first of these that offers anything decides; within it a key file and a passphrase may both be given.
#pragma once

#include <vector>

#include "cli/arguments.h"
#include "volume/create.h"

namespace s3crate::cli {

inline constexpr std::string_view kKeyCredential = "s3crate-blk.key";
inline constexpr std::string_view kPassphraseCredential = "s3crate-blk.passphrase";

// To open a volume. A key file is read now, a passphrase when a slot wants one. Wants crypto::initialise().
[[nodiscard]] Result<volume::KeySource> key_source(const Arguments& arguments, const std::string& volume);
// To open several volumes, without a question: a passphrase is read once, when the first slot wants it. nullopt: no key is
// offered anywhere.
[[nodiscard]] Result<std::optional<volume::KeySource>> offered_keys(const Arguments& arguments);
// For a fork: what --new-... name, else what opens its origin; from the terminal as of a new volume.
[[nodiscard]] Result<std::vector<volume::SlotRequest>> fork_slots(const Arguments& arguments, const std::string& volume);
// For a new volume; a passphrase from the terminal is asked for twice.
[[nodiscard]] Result<std::vector<volume::SlotRequest>> new_slots(const Arguments& arguments, const std::string& volume);

// A mistake that needs no key to be found: both kinds of passphrase source, a file that is not there. Before fork.
[[nodiscard]] Result<> check_key_options(const Arguments& arguments);

}  // namespace s3crate::cli
