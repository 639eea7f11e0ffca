// SPDX-License-Identifier: GPL-3.0-or-later
// Read-ahead through the whole stack, in virtual time, with requests, bytes and the time that
// readers take as oracle.
#include "device/history.h"
#include "tests/sim/scenario.h"

namespace s3crate::sim {
namespace {

constexpr std::uint64_t kMi = 1 << 20;
constexpr Duration kLatency = 30ms;

Bytes noise(std::size_t size) {
  Bytes out(size);
  std::uint64_t state = 1;
  for (std::size_t at = 0; at + 8 <= size; at += 8) {
    state = state * 6364136223846793005 + 1442695040888963407;
    const std::uint64_t word = state ^ (state >> 29);
    std::memcpy(out.data() + at, &word, 8);
  }
  return out;
}

class ReadAheadTest : public testing::Test {
 protected:
  explicit ReadAheadTest(std::uint64_t bytes = 64 * kMi)
      : data_(noise(bytes)), w_(11, {.disk_bytes = bytes, .extent_bytes = 64 << 10}) {
    options_.batch_bytes = 4 * kMi;
    options_.dirty_max = 16 * kMi;
    options_.segment_bytes = 8 * kMi;
    options_.journal_slot_bytes = 8 * kMi;
    options_.journal_bytes = kMi + 32 * kMi;
    options_.block_cache_bytes = 128 * kMi;
    options_.map_cache_bytes = 4 * kMi;
    options_.checkpoint_runs = 100'000;
    options_.delta_runs_max = 400'000;
    options_.page_bytes = 64 << 10;
    options_.read_ahead_bytes = 32 * kMi;
    options_.read_ahead_threads = 8;
  }

  void fill() {
    Mount mount(w_, w_.world.disk(), options_);
    ASSERT_OK(mount.open());
    for (std::size_t at = 0; at < data_.size(); at += kMi)
      ASSERT_OK(mount.disk().write(at, part(at, kMi)));
    ASSERT_OK(mount.close());
  }
  [[nodiscard]] ByteView part(std::uint64_t offset, std::uint64_t length) const {
    return ByteView(data_).subspan(offset, length);
  }
  void read(Mount& mount, std::uint64_t offset, std::uint64_t length) {
    auto out = mount.read(offset, length);
    ASSERT_OK(out);
    ASSERT_TRUE(equal(*out, part(offset, length))) << "at " << offset;
  }
  void read_range(Mount& mount, std::uint64_t from, std::uint64_t to, std::uint64_t length) {
    // (ASSERT_NO_FATAL_FAILURE keeps a place on the stack of a thread, which fibers leave in any order.)
    for (std::uint64_t at = from; at < to && !HasFatalFailure(); at += length) read(mount, at, length);
  }

  // Opens a mount whose requests for segments take kLatency each, and lets `body` use it.
  struct Cost {
    std::uint64_t gets = 0, bytes = 0;
    Duration took{};
    device::Stats stats;
  };
  Cost cold(const std::function<void(Mount&)>& body) {
    Cost cost;
    Mount mount(w_, w_.world.disk(), options_);
    auto opened = mount.open();
    EXPECT_TRUE(opened) << opened.error().message();
    if (!opened) return cost;
    mount.hooks.before = [this](store::Verb, const std::string& name) -> Result<> {
      if (is_segment(name)) w_.sleep(kLatency);
      return {};
    };
    const store::StoreStats before = mount.requests();
    const MonotonicTime start = mount.env().clock.monotonic_now();
    body(mount);
    cost.took = mount.env().clock.monotonic_now() - start;
    w_.sleep(1s);
    const store::StoreStats after = mount.requests();
    cost.gets = after[store::Verb::get_range].calls - before[store::Verb::get_range].calls;
    cost.bytes = after[store::Verb::get_range].bytes - before[store::Verb::get_range].bytes;
    cost.stats = mount.disk().stats();
    EXPECT_LE(cost.stats.read_ahead_unused_bytes, options_.block_cache_bytes / 2);
    auto closed = mount.close();
    EXPECT_TRUE(closed) << closed.error().message();
    return cost;
  }
  // `growing`: those that windows which grow cost. A batch does not divide by the size of a segment, so there are twelve.
  static constexpr std::uint64_t gets_at_most(std::uint64_t growing) { return 12 + growing; }
  // Runs `body` in as many tasks at once.
  void at_once(std::uint64_t tasks, const std::function<void(std::uint64_t)>& body) {
    std::vector<std::unique_ptr<Task>> all;
    for (std::uint64_t i = 0; i < tasks; ++i)
      all.push_back(w_.world.executor().spawn("reader", [&body, i] { body(i); }));
  }

  const Bytes data_;
  StackWorld w_;
  device::DiskOptions options_ = small_options();
};

// Few runs to a page, and few pages.
class ReadAheadOfManyPages : public ReadAheadTest {
 protected:
  ReadAheadOfManyPages() : ReadAheadTest(24 * kMi) {
    options_.checkpoint_runs = 16;
    options_.page_bytes = 600;
    options_.segment_bytes = 256 << 10;
  }
};

TEST_F(ReadAheadTest, AColdSequentialReadIsAboutOneGetASegmentAndNoExtentComesTwice) {
  w_.run([&] {
    fill();
    const Cost cost = cold([&](Mount& mount) { read_range(mount, 0, data_.size(), 128 << 10); });
    EXPECT_LE(cost.gets, gets_at_most(24));
    EXPECT_LE(cost.bytes, data_.size() * 101 / 100);
    EXPECT_EQ(cost.stats.read_ahead_wasted_bytes, 0u);
    EXPECT_GE(cost.stats.read_ahead_used_bytes, data_.size() * 98 / 100);
    EXPECT_LE(cost.took, 20 * kLatency) << "of the 512 requests each would have waited";

    options_.read_ahead_bytes = 0;
    const Cost without = cold([&](Mount& mount) { read_range(mount, 0, data_.size(), 128 << 10); });
    EXPECT_GE(without.gets, data_.size() / (128 << 10));
    EXPECT_GE(without.took, 512 * kLatency);
    EXPECT_EQ(without.stats.read_ahead_bytes, 0u);
  });
}

TEST_F(ReadAheadTest, ReadsThatArriveOutOfOrderAreReadAheadLikeOthers) {
  w_.run([&] {
    fill();
    std::uint64_t next = 0;
    const Cost cost = cold([&](Mount& mount) {
      at_once(16, [&](std::uint64_t) {
        while (next < data_.size()) {
          const std::uint64_t at = std::exchange(next, next + (64 << 10));
          w_.sleep(std::chrono::microseconds(w_.dice().below(300)));
          read(mount, at, 64 << 10);
        }
      });
    });
    EXPECT_LE(cost.gets, gets_at_most(72));
    EXPECT_LE(cost.bytes, data_.size() * 101 / 100);
    EXPECT_EQ(cost.stats.read_ahead_wasted_bytes, 0u);
  });
}

TEST_F(ReadAheadTest, ReadersBesideEachOtherEachHaveTheirOwn) {
  w_.run([&] {
    fill();
    const std::uint64_t half = data_.size() / 2;
    const Cost cost = cold([&](Mount& mount) {
      at_once(2, [&](std::uint64_t i) { read_range(mount, i * half, (i + 1) * half, 128 << 10); });
    });
    EXPECT_LE(cost.gets, gets_at_most(48));
    EXPECT_LE(cost.bytes, data_.size() * 101 / 100);
    EXPECT_LE(cost.took, 20 * kLatency);
    EXPECT_EQ(cost.stats.read_ahead_streams, 1u)
        << "the first reader ended where the second one had begun";
  });
}

TEST_F(ReadAheadTest, RandomReadsWasteNextToNothing) {
  w_.run([&] {
    fill();
    options_.block_cache_bytes = 16 * kMi;
    for (std::uint64_t length : {4ull << 10, 64ull << 10, 256ull << 10}) {
      std::uint64_t read_bytes = 0;
      const Cost cost = cold([&](Mount& mount) {
        // In pieces of 128 KiB, as a loop device does it.
        for (int i = 0; i < 1500; ++i) {
          const std::uint64_t at = w_.dice().below(data_.size() / length) * length;
          for (std::uint64_t done = 0; done < length; done += 128 << 10)
            read(mount, at + done, std::min<std::uint64_t>(length - done, 128 << 10));
          read_bytes += length;
        }
      });
      const std::uint64_t waste = cost.stats.read_ahead_bytes - cost.stats.read_ahead_used_bytes;
      EXPECT_LE(waste, read_bytes / 20) << length;
    }
  });
}

TEST_F(ReadAheadTest, BeginsAfterAsManyReadsAsTheTriggerSays) {
  w_.run([&] {
    fill();
    for (std::uint64_t trigger : {1u, 2u, 4u}) {
      options_.read_ahead_trigger = trigger;
      for (std::uint64_t reads : {trigger - 1, trigger}) {
        const Cost cost =
            cold([&](Mount& mount) { read_range(mount, 0, reads * (64 << 10), 64 << 10); });
        EXPECT_EQ(cost.stats.read_ahead_bytes > 0, reads == trigger)
            << trigger << ", " << reads << " reads";
      }
    }
  });
}

TEST_F(ReadAheadTest, WhatTheStoreDoesNotHaveIsNotAskedForThere) {
  w_.run([&] {
    options_.upload_delay = 1000h;
    options_.segment_bytes = 64 * kMi;  // a full one would be sent at once
    Mount mount(w_, w_.world.disk(), options_);
    ASSERT_OK(mount.open());
    for (std::size_t at = 0; at < 8 * kMi; at += kMi)
      ASSERT_OK(mount.disk().write(at, part(at, kMi)));
    ASSERT_OK(mount.disk().flush());
    for (std::size_t at = 8 * kMi; at < 10 * kMi; at += kMi)
      ASSERT_OK(mount.disk().write(at, part(at, kMi)));
    const std::uint64_t before = mount.requests()[store::Verb::get_range].calls;
    read_range(mount, 0, 10 * kMi, 128 << 10);
    EXPECT_EQ(mount.requests()[store::Verb::get_range].calls, before);
    EXPECT_EQ(mount.disk().stats().read_ahead_bytes, 0u);
    ASSERT_OK(mount.close());
  });
}

TEST_F(ReadAheadTest, HolesAndWhatIsCachedAreReadOver) {
  w_.run([&] {
    Mount mount(w_, w_.world.disk(), options_);
    ASSERT_OK(mount.open());
    ASSERT_OK(mount.disk().write(24 * kMi, part(24 * kMi, 4 * kMi)));
    ASSERT_OK(mount.close());
    const Cost cost = cold([&](Mount& again) {
      for (std::uint64_t at = 0; at < 24 * kMi; at += 128 << 10) {
        auto out = again.read(at, 128 << 10);
        ASSERT_OK(out);
        ASSERT_TRUE(all_zero(*out));
      }
      w_.sleep(1s);
      const std::uint64_t before = again.requests()[store::Verb::get_range].calls;
      read(again, 24 * kMi, 128 << 10);
      EXPECT_EQ(again.requests()[store::Verb::get_range].calls, before)
          << "what lies behind the hole was not there";
      read_range(again, 24 * kMi, 28 * kMi, 128 << 10);
      read_range(again, 24 * kMi, 28 * kMi, 128 << 10);
    });
    EXPECT_LE(cost.bytes, 4 * kMi * 102 / 100);
  });
}

TEST_F(ReadAheadTest, ErrorsAreTheReadersOwnAndNobodyElses) {
  w_.run([&] {
    fill();
    std::uint64_t failures = 0;
    const Cost cost = cold([&](Mount& mount) {
      const auto latency = mount.hooks.before;
      mount.hooks.before = [&, latency](store::Verb verb, const std::string& name) -> Result<> {
        TRY(latency(verb, name));
        if (!is_segment(name) || !w_.dice().percent(40)) return {};
        ++failures;
        return fail(Code::kTransient, "slow down");
      };
      read_range(mount, 0, data_.size(), 128 << 10);
    });
    EXPECT_GT(failures, 5u);
    EXPECT_LE(cost.bytes, data_.size() * 101 / 100);
  });
}

TEST_F(ReadAheadTest, ALostObjectFailsTheReadsOfItsBlocksOnly) {
  w_.run([&] {
    fill();
    std::vector<std::string> segments;
    for (const std::string& name : w_.bucket().names())
      if (is_segment(name)) segments.push_back(name);
    w_.bucket().lose(segments[segments.size() / 2]);
    std::uint64_t bad = 0;
    (void)cold([&](Mount& mount) {
      for (std::uint64_t at = 0; at < data_.size(); at += 128 << 10) {
        auto out = mount.read(at, 128 << 10);
        if (out)
          ASSERT_TRUE(equal(*out, part(at, 128 << 10)));
        else
          bad += 128 << 10;
      }
    });
    EXPECT_GT(bad, 0u);
    EXPECT_LE(bad, 8 * kMi + (256 << 10));
  });
}

TEST_F(ReadAheadTest, AnOutageEndsReadersNoLaterThanWithoutReadAhead) {
  w_.run([&] {
    fill();
    (void)cold([&](Mount& mount) {
      read_range(mount, 0, 4 * kMi, 128 << 10);
      w_.bucket().outage_until(mount.env().clock.monotonic_now() + 1h);
      const MonotonicTime start = mount.env().clock.monotonic_now();
      std::uint64_t at = 4 * kMi;
      while (mount.read(at, 128 << 10)) at += 128 << 10;
      EXPECT_LE(mount.env().clock.monotonic_now() - start, 11min);
      w_.bucket().outage_until({});
      read_range(mount, at, data_.size(), 128 << 10);
    });
  });
}

// Wherever it begins: what is read ahead may wait for a page of the map, or of the object table.
TEST_F(ReadAheadOfManyPages, AnOutageEndsReadersInTime) {
  w_.run([&] {
    fill();
    options_.read_only = true;
    for (int left = 4; left <= 12; ++left) {
      Mount mount(w_, w_.world.disk(), options_);
      ASSERT_OK(mount.open());
      int maps = left;
      bool away = false;
      mount.hooks.before = [&](store::Verb, const std::string& name) -> Result<> {
        w_.sleep(kLatency);
        away |= name.starts_with("map/") && --maps == 0;
        if (away) return fail(Code::kTransient, "away");
        return {};
      };
      MonotonicTime start{};
      for (std::uint64_t at = 0; at < data_.size(); at += 64 << 10) {
        start = mount.env().clock.monotonic_now();
        if (!mount.read(at, 64 << 10)) break;
      }
      EXPECT_TRUE(away) << left;
      EXPECT_LE(mount.env().clock.monotonic_now() - start, 11min) << left;
      ASSERT_OK(mount.close());
    }
  });
}

TEST_F(ReadAheadTest, CloseDoesNotWaitForIt) {
  w_.run([&] {
    fill();
    Mount mount(w_, w_.world.disk(), options_);
    ASSERT_OK(mount.open());
    read_range(mount, 0, 512 << 10, 128 << 10);
    w_.sleep(1s);
    // From here on no GET of a segment succeeds; each try takes a while.
    mount.hooks.before = [this](store::Verb, const std::string& name) -> Result<> {
      if (!is_segment(name)) return {};
      w_.sleep(100ms);
      return fail(Code::kTransient, "away");
    };
    read_range(mount, 512 << 10, 640 << 10, 128 << 10);
    w_.sleep(10ms);
    const MonotonicTime start = mount.env().clock.monotonic_now();
    ASSERT_OK(mount.close());
    EXPECT_LE(w_.world.executor().monotonic_now() - start, 250ms);
  });
}

TEST_F(ReadAheadOfManyPages, CloseDoesNotWaitForThoseThatAreLookedUp) {
  w_.run([&] {
    fill();
    options_.read_only = true;
    Mount mount(w_, w_.world.disk(), options_);
    ASSERT_OK(mount.open());
    read_range(mount, 0, 256 << 10, 128 << 10);
    w_.sleep(1s);
    // From here on no page of the map can be had. The reader has no need of one, but what looks ahead of him has.
    bool away = false;
    mount.hooks.before = [&](store::Verb, const std::string& name) -> Result<> {
      if (!name.starts_with("map/")) return {};
      away = true;
      return fail(Code::kTransient, "away");
    };
    for (std::uint64_t at = 256 << 10; at < data_.size() && !away; at += 64 << 10) {
      read(mount, at, 64 << 10);
      w_.sleep(10ms);
    }
    ASSERT_TRUE(away);
    const MonotonicTime start = mount.env().clock.monotonic_now();
    ASSERT_OK(mount.close());
    EXPECT_LE(w_.world.executor().monotonic_now() - start, 250ms);
  });
}

TEST_F(ReadAheadTest, AProcessMayDieInTheMidstOfIt) {
  w_.run([&] {
    fill();
    for (std::uint64_t step : {3u, 10u, 20u, 40u, 80u}) {
      Mount mount(w_, w_.world.disk(), options_);
      ASSERT_OK(mount.open());
      mount.crash_after(step, false);
      for (std::uint64_t at = 0; at < data_.size() && mount.alive(); at += 128 << 10)
        (void)mount.read(at, 128 << 10);
    }
    (void)cold([&](Mount& mount) { read_range(mount, 0, 4 * kMi, 128 << 10); });
  });
}

TEST_F(ReadAheadTest, WorksForReadersOfAReadOnlyMount) {
  w_.run([&] {
    fill();
    options_.read_only = true;
    const Cost cost = cold([&](Mount& mount) { read_range(mount, 0, data_.size(), 128 << 10); });
    EXPECT_LE(cost.gets, gets_at_most(24));
    EXPECT_LE(cost.took, 20 * kLatency);
  });
}

TEST_F(ReadAheadTest, WorksForReadersOfThePast) {
  w_.run([&] {
    fill();
    Generation past;
    {
      Mount mount(w_, w_.world.disk(), options_);
      ASSERT_OK(mount.open());
      const auto before = mount.disk().sync();
      ASSERT_OK(before);
      past = *before;
      ASSERT_OK(mount.disk().write(0, Bytes(8 * kMi, 7)));
      ASSERT_OK(mount.close());
    }
    const Cost cost = cold([&](Mount& mount) {
      const auto disk = mount.disk().history()->open(past);
      ASSERT_OK(disk);
      Bytes got(128 << 10);
      for (std::uint64_t at = 0; at < data_.size() && !HasFatalFailure(); at += got.size()) {
        ASSERT_OK((*disk)->read(at, got));
        ASSERT_TRUE(equal(got, part(at, got.size()))) << "at " << at;
      }
    });
    EXPECT_LE(cost.gets, gets_at_most(24));
    EXPECT_LE(cost.bytes, data_.size() * 101 / 100);
    EXPECT_EQ(cost.stats.read_ahead_wasted_bytes, 0u);
    EXPECT_LE(cost.took, 22 * kLatency);
  });
}

// Each of them is closed while something is loaded for it; the live disk goes on. The address sanitizer looks at this.
TEST_F(ReadAheadTest, APastIsClosedInTheMidstOfIt) {
  w_.run([&] {
    fill();
    const Cost cost = cold([&](Mount& mount) {
      const Generation newest = mount.disk().stats().generation;
      Bytes got(128 << 10);
      for (std::uint64_t g = 0; g < 4; ++g) {
        auto disk = mount.disk().history()->open(Generation(newest.value - g));
        ASSERT_OK(disk);
        for (std::uint64_t at = 0; at < 4 * got.size(); at += got.size()) ASSERT_OK((*disk)->read(g * 16 * kMi + at, got));
        EXPECT_TRUE(equal(got, part(g * 16 * kMi + 3 * got.size(), got.size())));
        // The next one that is opened takes its place.
        disk->reset();
        read(mount, g * kMi, kMi);
      }
    });
    EXPECT_GT(cost.stats.read_ahead_bytes, 0u);
  });
}

TEST_F(ReadAheadTest, ASmallCacheBoundsIt) {
  w_.run([&] {
    fill();
    options_.block_cache_bytes = 2 * kMi;
    const Cost cost = cold([&](Mount& mount) { read_range(mount, 0, data_.size(), 128 << 10); });
    EXPECT_LE(cost.bytes, data_.size() * 101 / 100);
    EXPECT_LE(cost.stats.read_ahead_wasted_bytes, data_.size() / 100);
    EXPECT_LE(cost.stats.block_cache_bytes, 2 * kMi);
    options_.block_cache_bytes = 0;
    const Cost none = cold([&](Mount& mount) { read_range(mount, 0, 4 * kMi, 128 << 10); });
    EXPECT_EQ(none.stats.read_ahead_bytes, 0u);
  });
}

// An eighth of the disk is written to, a block at a time, all over it.
class ReadAheadInPieces : public ReadAheadTest {
 protected:
  void cut_up() {
    fill();
    Mount mount(w_, w_.world.disk(), options_);
    ASSERT_OK(mount.open());
    for (std::uint64_t i = 0; i < data_.size() / kBlock / 8; ++i) {
      const std::uint64_t at = w_.dice().below(data_.size() / kBlock) * kBlock;
      ASSERT_OK(mount.disk().write(at, part(at, kBlock)));
    }
    ASSERT_OK(mount.close());
  }
  static constexpr std::uint64_t kBlock = kStackBlock;
};

TEST_F(ReadAheadInPieces, OnesThatLieTogetherComeTogether) {
  w_.run([&] {
    cut_up();
    const Cost cost = cold([&](Mount& mount) { read_range(mount, 0, data_.size(), 128 << 10); });
    // Of each batch of writes one in each piece; and some more while the windows grow.
    EXPECT_LE(cost.gets, 120u) << "each of the 2,048 blocks could cost one";
    EXPECT_LE(cost.bytes, data_.size() * 115 / 100);
    EXPECT_EQ(cost.stats.read_ahead_wasted_bytes, 0u);
    EXPECT_LE(cost.took, 30 * kLatency);
  });
}

TEST_F(ReadAheadInPieces, OneReadWaitsForAllOfItsPartsAtOnce) {
  w_.run([&] {
    cut_up();
    options_.read_ahead_bytes = 0;
    const Cost cost = cold([&](Mount& mount) {
      for (std::uint64_t at = 0; at < data_.size() && !HasFatalFailure(); at += 8 * kMi) read(mount, at, 256 << 10);
    });
    EXPECT_GE(cost.gets, 8 * 2u);
    EXPECT_LE(cost.took, 8 * kLatency * 11 / 10);
  });
}

// A reader that ends leaves what was read ahead for it; others are not to starve for that.
TEST_F(ReadAheadTest, ReadersThatEndedDoNotHoldTheRoom) {
  w_.run([&] {
    fill();
    options_.block_cache_bytes = 16 * kMi;
    const Cost cost = cold([&](Mount& mount) {
      for (std::uint64_t i = 0; i < 6; ++i) {
        read_range(mount, i * 8 * kMi, i * 8 * kMi + 3 * kMi, 128 << 10);
        w_.sleep(11s);
      }
      const MonotonicTime start = mount.env().clock.monotonic_now();
      read_range(mount, 52 * kMi, 64 * kMi, 128 << 10);
      EXPECT_LE(mount.env().clock.monotonic_now() - start, 30 * kLatency);
    });
    EXPECT_GT(cost.stats.read_ahead_wasted_bytes, 0u);
    EXPECT_LE(cost.stats.read_ahead_wasted_bytes + cost.stats.read_ahead_unused_bytes,
              cost.stats.read_ahead_used_bytes + 2 * kMi);
  });
}

}  // namespace
}  // namespace s3crate::sim
