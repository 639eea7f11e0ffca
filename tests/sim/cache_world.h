// SPDX-License-Identifier: GPL-3.0-or-later
// CacheWorld: a cache file on a simulated disk, through many lives of its process, and what a store would hold.
//
// The model: item n is a certain string of bytes, for ever. Whatever the cache answers for its digest is either that or has
// another digest, which whoever asked finds out; so no answer can be wrong, and what is left to test is how many are right.
#pragma once

#include <gtest/gtest.h>

#include <map>

#include "cache/cache_file.h"
#include "tests/sim/sim_world.h"

namespace s3crate::sim {

class CacheWorld {
 public:
  static constexpr std::uint32_t kChunk = 72 << 10;  // 64 KiB of them for items

  explicit CacheWorld(std::uint64_t seed, std::uint32_t chunks = 64) : world(seed) {
    CHECK(crypto::initialise());
    vid.fill(7);
    options.path = "/state/cache";
    options.bytes = 4096 + std::uint64_t{chunks} * kChunk;
    options.chunk_bytes = kChunk;
    options.index_bytes_max = 1 << 20;
    options.vid = vid;
    options.log = [this](const std::string& line) { said.push_back(line); };
  }

  void run(const std::function<void()>& main) {
    world.run([&] {
      main();
      end();
    });
  }

  // A new life, with the file's index in memory.
  void start() {
    end();
    process = world.start();
    sealing.emplace(crypto::Secret::copy_of(Bytes(32, 9)));
    options.keys = {1, &*sealing, [this](std::uint32_t ring) -> Result<std::shared_ptr<const crypto::OpeningKey>> {
                      if (ring != 1) return fail(Code::kBadKey, "no ring {}", ring);
                      return std::make_shared<const crypto::OpeningKey>(sealing->opening_key());
                    }};
    (void)process->file_io().make_directories("/state");
    auto opened = cache::CacheFile::open(process->env(), process->file_io(), options);
    CHECK(opened);
    file = std::move(*opened);
    file->wait_ready(std::chrono::minutes(10));
  }
  // As a process that ends of itself.
  void close() {
    if (file && process->alive()) file->close();
    end();
  }
  void kill() {
    process->kill();
    end();
  }
  void power_cut() {
    world.power_cut(world.disk());
    end();
  }
  void end() {
    file.reset();
    process.reset();
  }
  void settle() { world.executor().sleep_for(std::chrono::seconds(1)); }

  struct Item {
    Bytes bytes;
    crypto::Digest digest{};
  };
  // The same for the same number, 500 to 8500 bytes.
  const Item& item(std::uint64_t number) {
    Item& out = items_[number];
    if (out.bytes.empty()) {
      Dice dice(number + 1);
      out.bytes.resize(500 + dice.below(8000));
      SimRandom(dice).fill(out.bytes);
      if (pages) std::copy_n(crypto::blake2b(out.bytes).begin(), out.digest.size(), out.digest.begin());
      else out.digest = crypto::digest(out.bytes);
    }
    return out;
  }
  std::uint64_t bytes_of(std::uint64_t first, std::uint64_t end) {
    std::uint64_t sum = 0;
    for (; first < end; ++first) sum += cache::item_room(static_cast<std::uint32_t>(item(first).bytes.size()));
    return sum;
  }
  // How many items from `first` on take so many bytes.
  std::uint64_t items_in(std::uint64_t bytes, std::uint64_t first = 0) {
    std::uint64_t n = 0;
    for (std::uint64_t sum = 0; sum < bytes; ++n) sum += bytes_of(first + n, first + n + 1);
    return n;
  }

  // Reads items as StoreExtentSource does. Answers how many came from the store.
  std::uint64_t read(std::span<const std::uint64_t> numbers) {
    std::vector<cache::SealedCache::Wanted> wanted;
    for (std::uint64_t n : numbers) wanted.push_back({item(n).digest, static_cast<std::uint32_t>(item(n).bytes.size())});
    const std::vector<Bytes> found = file->find(wanted);
    EXPECT_EQ(found.size(), numbers.size());
    std::uint64_t gets = 0;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const Item& right = item(numbers[i]);
      if (equal(found[i], right.bytes)) continue;
      if (!found[i].empty()) {
        EXPECT_NE(crypto::digest(found[i]), right.digest);
        file->was_wrong(wanted[i]);
      }
      ++gets;
      file->offer(right.digest, right.bytes);
    }
    return gets;
  }
  std::uint64_t read_range(std::uint64_t first, std::uint64_t count) {
    std::uint64_t gets = 0;
    for (std::uint64_t n = first; n < first + count; ++n) {
      gets += read({&n, 1});
      // A reader takes its time.
      if (n % 8 == 0) world.executor().sleep_for(std::chrono::milliseconds(1));
    }
    return gets;
  }

  World world;
  bool pages = false;  // items are pages of the map, whose digest is half of their hash
  segment::Vid vid{};
  cache::CacheFileOptions options;
  std::vector<std::string> said;
  std::optional<crypto::SealingKey> sealing;
  std::unique_ptr<Process> process;
  std::unique_ptr<cache::CacheFile> file;

 private:
  std::map<std::uint64_t, Item> items_;
};

}  // namespace s3crate::sim
