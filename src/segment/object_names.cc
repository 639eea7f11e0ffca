// SPDX-License-Identifier: GPL-3.0-or-later
#include "segment/object_names.h"

#include "base/check.h"
#include "segment/codec.h"

namespace s3crate::segment {
namespace {

constexpr char kKeysCopyMark = 'c';
constexpr std::size_t kHex64 = 16;

std::optional<std::uint64_t> parse_hex64(std::string_view hex) {
  std::array<std::uint8_t, 8> bytes;
  if (!from_hex(hex, bytes)) return std::nullopt;
  std::uint64_t v = 0;
  for (std::uint8_t byte : bytes) v = v << 8 | byte;
  return v;
}

std::string complement(Generation generation) {
  CHECK(generation.value >= 1 && generation.value <= kNumberMax);
  return fmt::format("{:016x}", ~generation.value);
}

std::optional<Generation> parse_complement(std::string_view hex) {
  const auto v = parse_hex64(hex);
  if (!v || ~*v == 0 || ~*v > kNumberMax) return std::nullopt;
  return Generation(~*v);
}

bool take_prefix(std::string_view& name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::string commit_name(Generation generation) {
  return fmt::format("{}{}", kCommitsPrefix, complement(generation));
}

std::string keys_copy_name(Generation generation) {
  return fmt::format("{}{}{}", kKeysPrefix, kKeysCopyMark, complement(generation));
}

std::string slot_name(const Uuid& slot) { return fmt::format("{}{}", kKeysPrefix, to_hex(slot)); }

std::string object_name(ObjectKind kind, ObjectId id, const ObjectNonce& nonce) {
  CHECK(is_valid(id) && kind != ObjectKind::inline_extents);
  return fmt::format("{}{:016x}.{}", kind == ObjectKind::map ? kMapPrefix : kSegmentsPrefix,
                     id.value, to_hex(nonce));
}

std::optional<Generation> parse_commit_name(std::string_view name) {
  if (!take_prefix(name, kCommitsPrefix)) return std::nullopt;
  return parse_complement(name);
}

std::optional<Generation> parse_keys_copy_name(std::string_view name) {
  if (!take_prefix(name, kKeysPrefix) || !name.starts_with(kKeysCopyMark)) return std::nullopt;
  return parse_complement(name.substr(1));
}

std::optional<Uuid> parse_slot_name(std::string_view name) {
  Uuid slot;
  if (!take_prefix(name, kKeysPrefix) || !from_hex(name, slot)) return std::nullopt;
  return slot;
}

std::optional<ParsedObjectName> parse_object_name(std::string_view name) {
  ParsedObjectName out{};
  if (take_prefix(name, kSegmentsPrefix)) out.kind = ObjectKind::segment;
  else if (take_prefix(name, kMapPrefix)) out.kind = ObjectKind::map;
  else return std::nullopt;
  if (name.size() <= kHex64 || name[kHex64] != '.') return std::nullopt;
  const auto id = parse_hex64(name.substr(0, kHex64));
  if (!id || !is_valid(ObjectId{*id})) return std::nullopt;
  if (!from_hex(name.substr(kHex64 + 1), out.nonce)) return std::nullopt;
  out.id = ObjectId{*id};
  return out;
}

}  // namespace s3crate::segment
