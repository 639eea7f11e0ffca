// SPDX-License-Identifier: GPL-3.0-or-later
// Curve25519 by tables of multiples, some five times as fast as libsodium, which has to hide what it computes and keeps no tables.
// For known_answers.cc alone, which holds it against libsodium: here nothing is secret.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace s3crate::sim {

using CurveBytes = std::array<std::uint8_t, 32>;

// Any number times the base point, as Ed25519 writes points.
[[nodiscard]] CurveBytes ed25519_base(const CurveBytes& number);
// X25519 (RFC 7748). None: for what is on no table here, or gives nothing.
[[nodiscard]] CurveBytes x25519_base(const CurveBytes& secret);
[[nodiscard]] std::optional<CurveBytes> x25519(const CurveBytes& secret, const CurveBytes& to);

}  // namespace s3crate::sim
