// SPDX-License-Identifier: GPL-3.0-or-later
// Golden volumes: small ones that were made once and stay as they are. NAME.tar.gz holds a volume
// as a directory store (NAME.origin.tar.gz that of which it is a fork), NAME.txt what must be read from it:
//
//   block 4096            size of a block
//   key HEX               opens it; `passphrase TEXT` does too, if there is one
//   open                  its writer was not heard of again (else it was closed)
//   journal HASH          NAME.state.tar.gz is what it left on its machine, and this the disk once that is played back
//   damaged 8192          bytes of the newest disk that `check` must report
//   tag NAME 17           and what it names
//   generation 17 data 1048576 HASH      number, kind, bytes of the disk, hash of all its ranges
//    65536 HASH           a range of 64 KiB that differs from the generation before
//
// A block that cannot be read counts as full of 0xee.
#pragma once

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "cache/extent_cache.h"
#include "crypto/crypto.h"
#include "device/gather.h"
#include "volume/volume.h"

namespace s3crate::test {

constexpr std::uint64_t kGoldenRange = 64 << 10;
constexpr std::uint8_t kUnreadable = 0xee;
inline const Bytes kBlindKey = Bytes(32, 9);  // of those that have a key of role blind

struct GoldenGeneration {
  std::string kind;
  std::uint64_t disk_bytes = 0;
  std::vector<std::string> ranges;  // hashes
  friend bool operator==(const GoldenGeneration&, const GoldenGeneration&) = default;
};

struct GoldenManifest {
  std::uint32_t block = 0;
  std::string key, passphrase, journal;
  bool open = false;
  std::uint64_t damaged = 0;
  std::map<std::string, std::uint64_t> tags;
  std::vector<GoldenGeneration> generations;  // 1, 2, 3 ...
};

inline std::string golden_hash(ByteView bytes) {
  return to_hex(crypto::blake2b(bytes)).substr(0, 32);
}

inline GoldenGeneration golden_generation(std::string_view kind, ByteView content) {
  GoldenGeneration out{std::string(kind), content.size(), {}};
  for (std::size_t at = 0; at < content.size(); at += kGoldenRange)
    out.ranges.push_back(
        golden_hash(content.subspan(at, std::min<std::size_t>(kGoldenRange, content.size() - at))));
  return out;
}

inline std::string hash_of_ranges(const GoldenGeneration& generation) {
  std::string all;
  for (const std::string& range : generation.ranges) all += range;
  return golden_hash(as_bytes(all));
}

inline std::string format_golden(const GoldenManifest& m) {
  std::string out = fmt::format("block {}\nkey {}\n", m.block, m.key);
  if (!m.passphrase.empty()) out += fmt::format("passphrase {}\n", m.passphrase);
  if (m.open) out += "open\n";
  if (!m.journal.empty()) out += fmt::format("journal {}\n", m.journal);
  if (m.damaged != 0) out += fmt::format("damaged {}\n", m.damaged);
  for (const auto& [name, generation] : m.tags) out += fmt::format("tag {} {}\n", name, generation);
  const GoldenGeneration none;
  const GoldenGeneration* before = &none;
  for (std::size_t i = 0; i < m.generations.size(); ++i) {
    const GoldenGeneration& g = m.generations[i];
    out += fmt::format("generation {} {} {} {}\n", i + 1, g.kind, g.disk_bytes, hash_of_ranges(g));
    for (std::size_t r = 0; r < g.ranges.size(); ++r)
      if (r >= before->ranges.size() || before->ranges[r] != g.ranges[r])
        out += fmt::format(" {} {}\n", r * kGoldenRange, g.ranges[r]);
    before = &g;
  }
  return out;
}

// What is wrong in it, fails to come out again in format_golden().
inline GoldenManifest parse_golden(std::istream& in) {
  GoldenManifest m;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "block") words >> m.block;
    if (word == "key") words >> m.key;
    if (word == "passphrase") m.passphrase = line.substr(word.size() + 1);
    if (word == "open") m.open = true;
    if (word == "journal") words >> m.journal;
    if (word == "damaged") words >> m.damaged;
    if (word == "tag") {
      std::string name;
      words >> name;
      words >> m.tags[name];
    }
    if (word == "generation") {
      GoldenGeneration g;
      std::uint64_t number = 0;
      words >> number >> g.kind >> g.disk_bytes;
      if (!m.generations.empty()) g.ranges = m.generations.back().ranges;
      g.ranges.resize((g.disk_bytes + kGoldenRange - 1) / kGoldenRange);
      m.generations.push_back(std::move(g));
    }
    if (line.starts_with(" ")) {
      std::string hash;
      words >> hash;
      m.generations.back().ranges.at(std::stoull(word) / kGoldenRange) = hash;
    }
  }
  return m;
}

// A whole disk as of a generation.
inline Result<Bytes> golden_content(Env env, volume::Volume& volume, const volume::Commit& commit) {
  const volume::View view = TRY(volume.load_view(commit));
  volume::ObjectTable objects(env.executor, volume.keys(), volume.pages());
  objects.begin_at(view);
  cache::ExtentCache cache(env.executor, 1 << 20);
  const std::uint32_t block = volume.object().block_size();
  cache::StoreExtentSource source(volume.store(), objects, block);
  Bytes out(view.disk_bytes);
  const auto read = [&](std::uint64_t from, std::uint64_t to) -> Result<> {
    device::Gather gather(BlockIndex(from), BlockIndex(to), block,
                          MutableByteView(out).subspan(from * block, (to - from) * block));
    gather.add_runs(view.changes, {});
    TRY(gather.add_tree(volume.pages(), view.map));
    return gather.finish(cache, source);
  };
  const std::uint64_t blocks = out.size() / block;
  const auto is_damage = [](const Result<>& got) { return is(got, Code::kCorrupt) || is(got, Code::kLost); };
  if (const auto all = read(0, blocks); all || !is_damage(all))
    return all ? Result<Bytes>(std::move(out)) : fail(all.error());
  for (std::uint64_t b = 0; b < blocks; ++b) {
    const auto one = read(b, b + 1);
    if (is_damage(one))
      std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(b * block), block, kUnreadable);
    else
      TRY(one);
  }
  return out;
}

}  // namespace s3crate::test
