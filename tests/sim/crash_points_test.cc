// SPDX-License-Identifier: GPL-3.0-or-later
// A script of 500 operations, and a crash after every change that it makes to the machine's disk or
// to the store; and after every change that each recovery makes.
//
// The script runs once and leaves a picture of disk and store after each I/O step that changed
// them. From each picture a world of its own goes on: after kill -9 with the page cache as it was;
// after a power cut, where every write since its file's last sync is there, or not, or torn, in any
// order; or on another machine, with the store alone. What it finds must be the script's writes up
// to some number, all of those among them that had been flushed (or, on another machine, synced).
// Then it must recover again after a crash at each step of that.
//
// S3CRATE_CRASH_STRIDE and S3CRATE_RECOVERY_STRIDE: of the changes of script and recovery every so
// many-th (1: all).
#include <cstdlib>

#include "tests/sim/scenario.h"
#include "tests/sim/stack_model.h"

namespace s3crate::sim {
namespace {

enum class Crash { kill, power_cut, other_machine };

struct CrashPoint {
  StackImage image;
  std::uint64_t change = 0;
  std::uint64_t sure = 0, stored = 0, now = 0;  // writes, as the model counts
};

// Pictures of a world, as long as it lives.
class Observer {
 public:
  struct Which {
    std::uint64_t stride = 1, phase = 0, first = 0, count = UINT64_MAX;
  };
  Observer(StackWorld& world, Which which, std::function<void(CrashPoint&)> fill)
      : world_(world), which_(which), fill_(std::move(fill)), seen_(world.changes()) {
    world_.world.steps().observer = [this] { look(); };
  }
  ~Observer() { world_.world.steps().observer = nullptr; }
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;

  [[nodiscard]] std::uint64_t changes() const { return changes_; }
  std::vector<CrashPoint> points;

 private:
  void look() {
    const std::uint64_t seen = world_.changes();
    if (seen != seen_) {
      seen_ = seen;
      wanted_ = changes_ >= which_.first && changes_ - which_.first < which_.count &&
                changes_ % which_.stride == which_.phase;
      if (wanted_) points.push_back({.image = world_.image(), .change = changes_});
      ++changes_;
    }
    // What is acknowledged while this state lasts must be in it.
    if (wanted_) fill_(points.back());
  }

  StackWorld& world_;
  const Which which_;
  const std::function<void(CrashPoint&)> fill_;
  std::uint64_t seen_;
  std::uint64_t changes_ = 0;
  bool wanted_ = false;
};

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::max<std::uint64_t>(1, std::strtoull(text, nullptr, 10));
}

class CrashPoints : public testing::TestWithParam<std::tuple<bool, Crash>> {
 protected:
  static constexpr std::uint64_t kSeed = 20261128, kOperations = 500, kBlocks = 48, kAtOnce = 400;
  static constexpr std::size_t kSize = kBlocks * kStackBlock;

  StackFormat format() const { return {.disk_bytes = kSize, .directory = std::get<0>(GetParam())}; }
  Crash crash() const { return std::get<1>(GetParam()); }

  // The points of one window of the script; how many changes there were in all.
  std::uint64_t run_script(Observer::Which which, std::vector<CrashPoint>& points) {
    StackWorld w(kSeed, format());
    model_ = StackModel(kSize);
    std::uint64_t changes = 0;
    w.run([&] {
      Observer observer(w, which, [&](CrashPoint& point) {
        point.sure = model_.flushed(), point.stored = model_.stored(), point.now = model_.now();
      });
      Dice dice(kSeed);
      for (std::uint64_t done = 0; done < kOperations;) {
        Mount mount(w, w.world.disk(), small_options());
        ASSERT_OK(mount.open());
        for (int i = 0; i < 125 && done < kOperations; ++i, ++done) operate(mount.disk(), dice);
        ASSERT_OK(mount.close());
        model_.stored(model_.now());
      }
      points = std::move(observer.points);
      changes = observer.changes();
    });
    return changes;
  }

  void operate(device::Disk& disk, Dice& dice) {
    const std::uint64_t what = dice.below(100);
    const bool blocks = dice.coin();
    std::uint64_t length = blocks ? kStackBlock * dice.between(1, 3) : dice.between(1, 12 << 10);
    std::uint64_t offset = dice.below(kSize - length + 1);
    if (blocks) offset -= offset % kStackBlock;
    const std::uint64_t through = model_.now();
    if (what < 60) {
      const Bytes data = pattern(length, dice.u64());
      ASSERT_OK(disk.write(offset, data));
      model_.write(offset, data);
    } else if (what < 68) {
      if (dice.coin()) length = std::min<std::uint64_t>(kSize - offset, length * 10);
      ASSERT_OK(disk.discard(offset, length));
      model_.zero(offset, length);
    } else if (what < 85) {
      ASSERT_OK(disk.flush());
      model_.flushed(through);
    } else if (what < 88) {
      ASSERT_OK(disk.sync());
      model_.stored(through);
    } else {
      Bytes out(length);
      ASSERT_OK(disk.read(offset, out));
      EXPECT_TRUE(equal(out, ByteView(model_.newest()).subspan(offset, length)));
    }
  }

  // Goes on from a point, once more after a crash in each `again`-th step of it; 0: not again.
  void recover(const CrashPoint& point, Crash crash, std::uint64_t again) {
    SCOPED_TRACE(fmt::format("{} change {}", again == 0 ? "recovery's" : "script's", point.change));
    ++recoveries_;
    std::uint64_t sure = crash == Crash::other_machine ? point.stored : point.sure;
    std::uint64_t now = point.now;
    const std::uint64_t stride = std::max<std::uint64_t>(again, 1);
    std::vector<CrashPoint> points;
    // Other dice than those that the crashed recovery had: the same random name would be taken.
    StackWorld w(kSeed + 2 * point.change + (again == 0 ? 1 : 0), format(), point.image);
    w.run([&] {
      if (crash == Crash::power_cut) w.power_cut(w.world.disk());
      device::DiskOptions options = small_options();
      if (std::get<1>(GetParam()) == Crash::other_machine)
        options.state_dir = "/state of another", options.take_over = true;
      {
        Observer observer(w,
                          {.stride = stride,
                           .phase = point.change % stride,
                           .first = again == 0 ? UINT64_MAX : 0},
                          [&](CrashPoint& at) { at.sure = at.stored = sure, at.now = now; });
        {
          Mount mount(w, w.world.disk(), options);
          ASSERT_OK(mount.open());
          auto image = mount.read_all();
          ASSERT_OK(image);
          const auto number = model_.find(*image, sure);
          ASSERT_TRUE(number) << "not the writes up to any number from " << sure << " to " << now
                              << "\n"
                              << model_.difference(*image);
          ASSERT_LE(*number, now);
          sure = now = *number;
          ASSERT_OK(mount.disk().sync());
        }
        points = std::move(observer.points);
      }
      if (again == 0) return;
      // And it is a disk like any other.
      const Bytes data = pattern(kStackBlock, point.change + 1);
      Mount mount(w, w.world.disk(), options);
      ASSERT_OK(mount.open());
      EXPECT_TRUE(model_.find(*mount.read_all(), sure) == sure);
      ASSERT_OK(mount.disk().write(0, data));
      ASSERT_OK(mount.disk().flush());
      ASSERT_OK(mount.close());
    });
    for (const CrashPoint& next : points) {
      if (HasFailure()) return;
      recover(next, next.change % 2 == 0 ? Crash::kill : Crash::power_cut, 0);
    }
  }

  StackModel model_{kSize};
  std::uint64_t recoveries_ = 0;
};

TEST_P(CrashPoints, LeaveWhatWasAcknowledged) {
  const std::uint64_t stride = from_environment("S3CRATE_CRASH_STRIDE", 61);
  const std::uint64_t again = from_environment("S3CRATE_RECOVERY_STRIDE", 23);
  std::uint64_t changes = 1, n = 0;
  for (std::uint64_t first = 0; first < changes && !HasFailure(); first += kAtOnce * stride) {
    std::vector<CrashPoint> points;
    changes = run_script({.stride = stride, .first = first, .count = kAtOnce * stride}, points);
    for (const CrashPoint& point : points) {
      if (HasFailure()) break;
      recover(point, crash(), again);
      ++n;
    }
  }
  fmt::print("{} changes, crashes after {} of them, {} recoveries\n", changes, n, recoveries_);
  EXPECT_GT(changes, 1000u);
  EXPECT_EQ(n, (changes + stride - 1) / stride);
}

constexpr StackFormat kDirectory{.directory = true};

// A commit is in the directory, and its name goes with the next power cut.
StackImage killed_before_it_synced_a_commit() {
  StackImage image;
  StackWorld w(1, kDirectory);
  w.run([&] {
    Mount mount(w, w.world.disk(), small_options());
    ASSERT_OK(mount.open());
    w.world.steps().observer = [&] {
      const auto commits = w.world.disk().find("/store/commits");
      if (commits && !(*commits)->unsynced_names.empty()) mount.kill();
    };
    ASSERT_OK(mount.disk().write(0, pattern(kStackBlock, 1)));
    EXPECT_FALSE(mount.disk().sync());
    ASSERT_FALSE(mount.alive());
    w.world.steps().observer = nullptr;
    image = w.image();
  });
  return image;
}

// A directory shows a commit whose process was killed before it had synced the name. Who has that
// noted as seen, and loses it in a power cut, would be told for ever that somebody had put an older
// copy there.
TEST(CrashPoint, CommitThatAPowerCutMayTakeAwayIsNotNotedAsSeen) {
  const StackImage image = killed_before_it_synced_a_commit();
  device::DiskOptions options = small_options();
  options.state_dir = "/state of another";
  options.take_over = true;
  std::uint64_t step = 0;
  for (bool opened = false; !opened && step < 1000 && !testing::Test::HasFailure(); ++step) {
    StackWorld other(2 + step, kDirectory, image);
    other.run([&] {
      Mount first(other, other.world.disk(), options);
      first.crash_after(step, true);
      opened = first.open().has_value();
      if (opened) return;
      Mount second(other, other.world.disk(), options);
      EXPECT_OK(second.open());
    });
  }
  EXPECT_GT(step, 30u);
}

// The commit of a process that was killed before it had synced the name: its successor's stands on
// it, and a power cut before that one is synced may keep either name.
TEST(CrashPoint, CommitThatTheNextOneStandsOnOutlivesAPowerCut) {
  const StackImage image = killed_before_it_synced_a_commit();
  std::uint64_t between = 0;
  for (std::uint64_t seed = 2; seed < 42 && !testing::Test::HasFailure(); ++seed) {
    StackWorld other(seed, kDirectory, image);
    other.run([&] {
      Mount first(other, other.world.disk(), small_options());
      std::size_t names = 0;
      other.world.steps().observer = [&] {
        const auto commits = other.world.disk().find("/store/commits");
        if (!commits || names == (*commits)->entries.size()) return;
        if (names != 0) first.kill(), ++between;  // another name than those that were there
        names = (*commits)->entries.size();
      };
      EXPECT_FALSE(first.open());
      other.world.steps().observer = nullptr;
      other.power_cut(other.world.disk());
      Mount second(other, other.world.disk(), small_options());
      EXPECT_OK(second.open());
    });
  }
  EXPECT_EQ(between, 40u);
}

std::string name_of(const testing::TestParamInfo<std::tuple<bool, Crash>>& info) {
  static constexpr std::array kCrashes = {"Kill", "PowerCut", "OtherMachine"};
  return std::string(std::get<0>(info.param) ? "Directory" : "Bucket") +
         kCrashes.at(static_cast<std::size_t>(std::get<1>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(Script, CrashPoints,
                         testing::Combine(testing::Bool(),
                                          testing::Values(Crash::kill, Crash::power_cut,
                                                          Crash::other_machine)),
                         name_of);

}  // namespace
}  // namespace s3crate::sim
