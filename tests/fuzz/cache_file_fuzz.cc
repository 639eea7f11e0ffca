// SPDX-License-Identifier: GPL-3.0-or-later
// A whole cache file, as a mount finds it. Whatever stands there, it opens, answers, takes what it is offered, throws out what must go,
// and does so again after a restart. An input: pieces.
#include <map>
#include <optional>

#include "cache/cache_file.h"
#include "cache/wire_format.h"
#include "tests/fuzz/pieces.h"
#include "tests/support/memory_files.h"

namespace s3crate::fuzz {
namespace {

using namespace cache;
using segment::kSectorBytes;

constexpr const char* kPath = "/cache";
constexpr std::uint32_t kChunk = 16 << 10;  // 8 KiB of them for items
constexpr std::uint32_t kChunks = 10;
constexpr std::uint64_t kFile = kSectorBytes + std::uint64_t{kChunks} * kChunk;
constexpr std::size_t kItems = 60;

// Kinds of pieces. A chunk's place is its number.
enum : std::uint8_t { kRaw, kSector, kChunkTable, kEnd, kKinds };

const crypto::SealingKey& table_key() {
  static const crypto::SealingKey key{crypto::Secret::copy_of(Bytes(32, 9))};
  return key;
}

struct Item {
  Bytes bytes;
  crypto::Digest digest{};
};
const std::vector<Item>& items() {
  static const std::vector<Item> all = [] {
    std::vector<Item> out(kItems);
    test::SeededRandom random(2);
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i].bytes.resize(40 + i * 60);
      random.fill(out[i].bytes);
      out[i].digest = crypto::digest(out[i].bytes);
    }
    return out;
  }();
  return all;
}

// A header of a chunk, and its table, which is sealed here.
void put_chunk(Bytes& file, std::size_t number, ByteView bytes) {
  const std::uint64_t at = kSectorBytes + number * kChunk;
  const ByteView content = bytes.first(std::min(bytes.size(), sizeof(wire::Chunk)));
  auto header = decode_chunk_header(finished_sector(content));
  if (!header) return put_bytes(file, at, finished_sector(content));
  Bytes table;
  test::SeededRandom random(1);
  table_key().seal(random, bytes.subspan(content.size()), chunk_table_additional(*header), table);
  header->sealed_length = static_cast<std::uint32_t>(table.size());
  put_bytes(file, at, encode_chunk_header(*header));
  put_bytes(file, at + kSectorBytes, table);
}

Bytes make(ByteView input) {
  Bytes file;
  std::optional<std::uint64_t> end;
  for (const Piece& piece : pieces_of(input)) {
    const std::uint64_t at = std::uint64_t{piece.place} * kSectorBytes;
    switch (piece.kind % kKinds) {
      case kRaw: put_bytes(file, at, piece.bytes); break;
      case kSector: put_bytes(file, at, finished_sector(piece.bytes)); break;
      case kEnd: end = at + piece.bytes.size(); break;
      default: put_chunk(file, piece.place, piece.bytes);
    }
  }
  file.resize(end.value_or(kSectorBytes + (file.size() + kChunk - 1) / kChunk * kChunk));
  return file;
}

class Machine {
 public:
  explicit Machine(io::FileIo& files) : files_(files) {
    options_.path = kPath;
    options_.bytes = kFile;
    options_.kept_bytes_max = 2 * kFile;
    options_.index_bytes_max = 64 << 10;
    options_.chunk_bytes = kChunk;
    options_.vid.fill(7);
    options_.keys = {1, &table_key(), [](std::uint32_t ring) -> Result<std::shared_ptr<const crypto::OpeningKey>> {
                       if (ring != 1) return fail(Code::kBadKey, "no ring {}", ring);
                       return std::make_shared<const crypto::OpeningKey>(table_key().opening_key());
                     }};
  }
  std::unique_ptr<CacheFile> start() {
    auto file = CacheFile::open(env_, files_, options_);
    CHECK(file);
    (*file)->wait_ready(std::chrono::minutes(1));
    return std::move(*file);
  }
  // As a mount reads: what is not there, or is wrong, comes from the store and is offered.
  void read(CacheFile& file, std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      const Item& item = items()[i];
      const SealedCache::Wanted wanted{item.digest, static_cast<std::uint32_t>(item.bytes.size())};
      const std::vector<Bytes> found = file.find({&wanted, 1});
      CHECK(found.size() == 1 && (found[0].empty() || found[0].size() == wanted.length));
      if (equal(found[0], item.bytes)) continue;
      if (!found[0].empty()) file.was_wrong(wanted);
      file.offer(item.digest, item.bytes);
    }
  }
  void check(const CacheFile& file) const {
    const CacheFileStats stats = file.stats();
    CHECK(stats.on && stats.errors == 0);
    CHECK(stats.capacity >= options_.bytes / 2 && stats.capacity <= options_.kept_bytes_max);
    CHECK(stats.bytes <= stats.capacity && stats.index_bytes <= options_.index_bytes_max);
  }

 private:
  io::FileIo& files_;
  test::SeededRandom random_{1};
  const Env env_{system_clock(), random_, thread_executor()};
  CacheFileOptions options_;
};

void run(ByteView input) {
  test::MemoryFiles files(4 << 20);
  if (!input.empty()) files.put(kPath, make(input));
  Machine machine(files);
  for (int life = 0; life < 2; ++life) {
    auto file = machine.start();
    machine.check(*file);
    machine.read(*file, 0, kItems);
    machine.read(*file, 0, kItems / 2);
    machine.check(*file);
    file->close();
  }
  // What came last is there.
  auto file = machine.start();
  const std::uint64_t hits = file->stats().hits;
  machine.read(*file, 0, kItems);
  CHECK(file->stats().hits > hits);
}

// --- seeds: what real cache files hold ---------------------------------------------------------------------------------------------

Bytes pieces_of_file(const Bytes& file) {
  Bytes out;
  add_piece(out, kSector, 0, without_padding(ByteView(file).first(kSectorBytes)));
  for (std::size_t chunk = 0; kSectorBytes + (chunk + 1) * kChunk <= file.size(); ++chunk) {
    const ByteView bytes = ByteView(file).subspan(kSectorBytes + chunk * kChunk, kChunk);
    const auto header = decode_chunk_header(bytes.first(kSectorBytes));
    if (!header) continue;
    Bytes piece = to_bytes(bytes.first(sizeof(wire::Chunk)));
    CHECK(table_key().opening_key().open(bytes.subspan(kSectorBytes, header->sealed_length), chunk_table_additional(*header), piece));
    add_piece(out, kChunkTable, chunk, piece);
  }
  return out;
}

std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  test::MemoryFiles files(4 << 20);
  Machine machine(files);
  const std::size_t many[] = {3, 30, kItems};
  for (const std::size_t n : many) {
    auto file = machine.start();
    machine.read(*file, 0, n);
    machine.read(*file, 0, n / 3);
    file->close();
    out.push_back(pieces_of_file(files.get(kPath)));
  }
  return out;
}

const Target target("cache_file", seeds, run, Pace::whole_files);

}  // namespace
}  // namespace s3crate::fuzz
