// SPDX-License-Identifier: GPL-3.0-or-later
// Random parts of commits, as they may stand in generation kOwn.
#pragma once

#include "tests/support/format_gen.h"
#include "volume/codec.h"
#include "volume/commit.h"

namespace s3crate::test {

using namespace volume;  // NOLINT: all of it is about commits
using segment::ObjectKind;

inline constexpr Generation kOwn(1000);

inline ObjectInfo random_info(Gen& gen, const ObjectKey& key, ObjectKind kind,
                              Generation born_max) {
  ObjectInfo info;
  info.key = key;
  info.kind = kind;
  info.born = Generation(1 + gen.below(born_max.value));
  info.length =
      gen.up_to(kind == ObjectKind::inline_extents ? kInlineBytesMax : segment::kObjectBytesMax);
  if (kind != ObjectKind::inline_extents) {
    info.nonce = gen.array<16>();
    info.hash = gen.array<32>();
  }
  if (kind == ObjectKind::segment) {
    info.index_offset = gen.below(info.length + 1);
    info.index_length = static_cast<std::uint32_t>(std::min<std::uint64_t>(
        gen.below(info.length - info.index_offset + 1), segment::kIndexBytesMax));
  }
  if (kind != ObjectKind::map) {
    info.ring = gen.u32();
    info.sealed_secret = gen.array<80>();
    info.blocks = gen.up_to(65536);
  }
  return info;
}

inline PageRef random_page_ref(Gen& gen) {
  PageRef ref;
  ref.object = gen.object_key();
  ref.nonce = gen.array<16>();
  ref.length = static_cast<std::uint32_t>(60 + gen.below(65000));
  ref.offset =
      static_cast<std::uint32_t>(56 + gen.up_to(segment::kObjectBytesMax - 56 - ref.length));
  ref.hash = gen.array<32>();
  return ref;
}

inline std::vector<Generation> random_generations(Gen& gen) {
  std::vector<Generation> out;
  for (std::uint64_t g :
       gen.ascending<std::uint64_t>(gen.below(3), [&] { return gen.below(kOwn.value); }))
    out.emplace_back(g);
  return out;
}

inline CommitBody random_body(Gen& gen, CommitKind kind, std::size_t size) {
  CommitBody body;
  body.kind = kind;
  body.epoch = static_cast<std::uint32_t>(gen.up_to(ObjectId::kEpochMax));
  body.instance = gen.array<16>();
  body.home = gen.array<16>();
  body.host = gen.text(255);
  body.time = to_time(gen.number());
  body.store_time = to_time(gen.coin() ? 0 : ~gen.number());  // before 1970 as well
  body.disk_bytes = (gen.up_to(segment::kDiskBlocksMax - 4096) + 4096) * segment::kBlockSizeMin;
  body.journal = gen.array<16>();
  body.committed = Seq(gen.number());
  body.unsent_bytes = gen.up_to(~std::uint64_t{0});
  body.unsent_age_ns = gen.up_to(~std::uint64_t{0});
  body.term = Generation(gen.below(kOwn.value + 1));
  if (kind == CommitKind::close && gen.coin())
    body.pending = PendingClose{gen.number(), Seq(gen.number())};
  if (gen.coin()) body.delta_base = {Generation(1 + gen.below(kOwn.value - 1)), gen.array<32>()};
  if (gen.coin()) {
    body.checkpoint.commit = Generation(1 + gen.below(kOwn.value - 1));
    body.checkpoint.as_of = Generation(gen.below(body.checkpoint.commit.value));
    body.checkpoint.roots_hash = gen.array<32>();
  }
  if (kind == CommitKind::checkpoint) {
    for (TreeId tree : {TreeId::map, TreeId::objects, TreeId::tags})
      body.roots.push_back(
          {tree, static_cast<std::uint8_t>(gen.below(kTreeLevelMax + 1)), random_page_ref(gen), 0});
    body.roots.insert(body.roots.begin() + 2, {TreeId::objects, 2, random_page_ref(gen), 1});
    body.checkpoint = {kOwn, Generation(gen.below(kOwn.value)),
                       crypto::blake2b(encode_roots(body.roots))};
  }
  if (!is_guest(kind)) {
    for (const ObjectKey& key : gen.ascending<ObjectKey>(size, [&] { return gen.object_key(); }))
      body.objects.push_back(random_info(gen, key, static_cast<ObjectKind>(1 + gen.below(3)),
                                         Generation(kOwn.value - 1)));
    body.runs = gen.runs(size, body.disk_bytes / segment::kBlockSizeMin, true);
  }
  body.voids = random_generations(gen);
  body.condemned_generations = random_generations(gen);
  body.freed_generations = random_generations(gen);
  if (gen.coin()) body.abandoned = {{Seq(3), Seq(3)}, {Seq(5), Seq(900)}};
  for (const std::string& name :
       gen.ascending<std::string>(gen.below(3), [&] { return "t" + gen.text(200); }))
    body.tags.push_back({name, Generation(gen.below(kOwn.value + 1))});
  for (std::uint64_t n = gen.below(3); n > 0; --n)
    body.pins.push_back({gen.array<32>(), Generation(gen.number()), gen.text(100)});
  body.condemned_objects = gen.ascending<ObjectKey>(gen.below(3), [&] { return gen.object_key(); });
  body.freed_objects = gen.ascending<ObjectKey>(gen.below(3), [&] { return gen.object_key(); });
  body.extensions = gen.extensions();
  return body;
}

inline KeysPart random_keys(Gen& gen, std::size_t size) {
  KeysPart keys;
  keys.next_admin = gen.array<32>();
  keys.data_key = gen.array<32>();
  keys.previous_keys = Generation(gen.number());
  for (std::size_t i = 0; i < size; ++i) {
    keys.writers.push_back({gen.array<32>(), gen.array<16>(),
                            static_cast<std::uint32_t>(gen.below(8)),
                            Generation(1 + gen.below(1000))});
    keys.revoked.push_back(gen.array<16>());
    keys.grants.push_back({gen.array<16>(), gen.array<32>(), static_cast<Role>(1 + gen.below(6)),
                           gen.bytes(136 + gen.below(300))});
    keys.older.push_back(
        {static_cast<std::uint32_t>(size - i), gen.array<32>(), gen.bytes(72), gen.bytes(72)});
    keys.origins.push_back({static_cast<std::uint16_t>(i + 1), gen.u32(), gen.array<32>(),
                            gen.bytes(72), gen.bytes(72)});
  }
  keys.extensions = gen.extensions();
  return keys;
}

}  // namespace s3crate::test
