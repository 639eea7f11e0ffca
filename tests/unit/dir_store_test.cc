// SPDX-License-Identifier: GPL-3.0-or-later
// DirStore: the contract, the order of its steps, crashes at each of them, and what others may do
// to its files.

#include "store/dir_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "io/file_io.h"
#include "tests/support/seeded_random.h"
#include "tests/support/step_file_io.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/store_contract.h"

namespace s3crate::test {
namespace {

using store::DirStore;
namespace fs = std::filesystem;

struct DirUnderTest : StoreUnderTest {
  explicit DirUnderTest(io::FileIo& files) : store_(files, system_random(), dir_ / "vol/ume") {}
  store::ObjectStore& store() override { return store_; }

  TempDir dir_;
  DirStore store_;
};

INSTANTIATE_TEST_SUITE_P(DirPosix, StoreContract, ::testing::Values(StoreFactory([] {
                           return std::make_unique<DirUnderTest>(io::posix_file_io());
                         })));
INSTANTIATE_TEST_SUITE_P(DirUring, StoreContract, ::testing::Values(StoreFactory([] {
                           return std::make_unique<DirUnderTest>(io::uring_file_io());
                         })));

class DirStoreTest : public ::testing::Test {
 protected:
  void write_file(const std::string& name, std::string_view text) {
    std::ofstream(dir_ / name, std::ios::binary) << text;
  }
  std::string read_file(const std::string& name) {
    std::ifstream file(dir_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  Names temps() {
    Names names;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(dir_ / std::string(DirStore::kTempDir), none)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  TempDir dir_;
  SeededRandom random_{1};
  StepFileIo files_{io::posix_file_io(), dir_.path()};
  DirStore store_{files_, random_, dir_.path()};
};

// Temporary names are random.
std::vector<std::string> without_random(std::vector<std::string> steps) {
  for (std::string& step : steps) {
    std::size_t at = step.find(std::string(DirStore::kTempDir) + "/");
    if (at != std::string::npos) step.resize(at + DirStore::kTempDir.size());
  }
  return steps;
}

TEST_F(DirStoreTest, ObjectsAreFilesUnderTheirNames) {
  ASSERT_TRUE(store_.put("segments/1.a", as_bytes("data")));
  EXPECT_EQ(read_file("segments/1.a"), "data");
  write_file("segments/2.b", "copied here by another tool");
  EXPECT_EQ(as_chars(*store_.get("segments/2.b", 100)), "copied here by another tool");
  EXPECT_EQ(store_.list("", "", 10)->objects.size(), 2u);
  EXPECT_EQ(store_.describe(), "file://" + dir_.path());
  EXPECT_EQ(DirStore(files_, random_, dir_.path() + "//").describe(), "file://" + dir_.path());
}

TEST_F(DirStoreTest, EachStepIsDurableBeforeTheNextCounts) {
  ASSERT_TRUE(store_.put("a/b/1", as_bytes("x")));
  EXPECT_EQ(without_random(files_.take_steps()),
            (std::vector<std::string>{
                "make .tmp+", "syncdir " + fs::path(dir_.path()).parent_path().string(),
                "create .tmp+", "lock .tmp+", "make a/b", "syncdir a/b", "syncdir a", "syncdir /",
                "write .tmp+", "sync .tmp+", "link a/b/1", "syncdir a/b", "remove .tmp+"}));
  ASSERT_TRUE(store_.put("a/b/2", as_bytes("x")));
  EXPECT_EQ(without_random(files_.take_steps()),
            (std::vector<std::string>{"create .tmp+", "lock .tmp+", "write .tmp+", "sync .tmp+",
                                      "link a/b/2", "syncdir a/b", "remove .tmp+"}));
  // What a list showed may be of somebody who has not synced its name, and the next object may stand on it.
  ASSERT_TRUE(store_.list("a/", "", 10));
  static_cast<void>(files_.take_steps());
  ASSERT_TRUE(store_.put("a/b/3", as_bytes("x")));
  const auto steps = files_.take_steps();
  const auto synced = std::ranges::find(steps, "syncdir a/b");
  EXPECT_LT(synced, std::ranges::find(steps, "link a/b/3"));
}

TEST_F(DirStoreTest, LargeObjectsDoNotStayInThePageCache) {
  ASSERT_TRUE(store_.put("a/1", Bytes(1 << 20)));
  const auto steps = without_random(files_.take_steps());
  const auto dropped = std::ranges::find(steps, "drop 0+1048576 of .tmp+");
  EXPECT_NE(dropped, steps.end());
  EXPECT_LT(std::ranges::find(steps, "sync .tmp+"), dropped);
}

// The winner may have been killed before it synced the name.
TEST_F(DirStoreTest, ATakenNameIsDurableBeforeTheLoserHearsOfIt) {
  ASSERT_TRUE(store_.put("a/1", as_bytes("x")));
  static_cast<void>(files_.take_steps());
  EXPECT_TRUE(is(store_.put("a/1", as_bytes("x")), Code::kExists));
  EXPECT_THAT(files_.take_steps(), ::testing::Contains("syncdir a"));
  EXPECT_EQ(temps(), Names{});
}

TEST_F(DirStoreTest, RemovalIsDurable) {
  ASSERT_TRUE(store_.put("a/1", as_bytes("x")));
  static_cast<void>(files_.take_steps());
  ASSERT_TRUE(store_.remove("a/1"));
  EXPECT_EQ(files_.take_steps(), (std::vector<std::string>{"remove a/1", "syncdir a"}));
}

TEST_F(DirStoreTest, ReadingChangesNothing) {
  DirStore reader(files_, random_, dir_ / "none");
  EXPECT_TRUE(is(reader.get("volume", 100), Code::kNotFound));
  EXPECT_TRUE(is(reader.head("volume"), Code::kNotFound));
  EXPECT_EQ(reader.list("", "", 10)->objects.size(), 0u);
  write_file("volume", "x");
  fs::create_directory(dir_ / ".tmp+");
  write_file(".tmp+/leftover", "x");
  EXPECT_TRUE(store_.get("volume", 100));
  EXPECT_EQ(store_.list("", "", 10)->objects.size(), 1u);
  EXPECT_EQ(files_.take_steps(), std::vector<std::string>{});
  EXPECT_EQ(temps(), Names{"leftover"});
}

// Killed before each step in turn: the object is there whole or not at all, the next process can
// put it, and no leftover stays.
TEST(DirStoreCrashTest, ACrashAtAnyStepLeavesAllOrNothing) {
  bool died = true;
  int with_object = 0, with_leftover = 0;
  for (std::size_t steps = 0; died; ++steps) {
    SCOPED_TRACE(steps);
    ASSERT_LT(steps, 100u);
    TempDir dir;
    SeededRandom random(steps);
    StepFileIo files(io::posix_file_io(), dir.path());
    files.die_after(steps);
    Bytes data(100000, 7);
    {
      DirStore store(files, random, dir.path());
      auto done = store.put("segments/1", data);
      died = files.died();
      EXPECT_TRUE(done || died);
    }
    if (fs::exists(dir / ".tmp+") && !fs::is_empty(dir / ".tmp+")) ++with_leftover;
    DirStore store(io::posix_file_io(), random, dir.path());
    auto found = store.get("segments/1", 1 << 20);
    if (found) ++with_object;
    if (found) {
      EXPECT_EQ(*found, data);
    } else {
      EXPECT_TRUE(is(found, Code::kNotFound));
    }
    EXPECT_EQ(store.put("segments/1", data).has_value(), !found);
    EXPECT_EQ(*store.get("segments/1", 1 << 20), data);
    EXPECT_TRUE(fs::is_empty(dir / ".tmp+"));
  }
  EXPECT_GE(with_object, 2);
  EXPECT_GE(with_leftover, 4);
}

TEST_F(DirStoreTest, LeftoversOfDeadProcessesGoAndLiveOnesStay) {
  fs::create_directory(dir_ / ".tmp+");
  write_file(".tmp+/dead", "half");
  write_file(".tmp+/live", "half");
  auto live = io::posix_file_io().open(dir_ / ".tmp+/live", io::OpenMode::read_write);
  ASSERT_TRUE((*live)->lock());
  ASSERT_TRUE(store_.put("a", as_bytes("x")));
  EXPECT_EQ(temps(), Names{"live"});
}

TEST_F(DirStoreTest, APutWhoseTemporaryFileIsClearedAwayStartsAgain) {
  int stolen = 0;
  files_.set_hook([&](const std::string& step) {
    if (!step.starts_with("link") || stolen++ >= 2) return;
    for (const std::string& name : temps()) fs::remove(dir_ / (".tmp+/" + name));
  });
  ASSERT_TRUE(store_.put("a/1", as_bytes("data")));
  EXPECT_EQ(stolen, 3);
  EXPECT_EQ(read_file("a/1"), "data");
  EXPECT_EQ(temps(), Names{});
}

TEST_F(DirStoreTest, APutEndsWhereFilesAreAlwaysDeleted) {
  files_.set_hook([&](const std::string& step) {
    if (!step.starts_with("link")) return;
    for (const std::string& name : temps()) fs::remove(dir_ / (".tmp+/" + name));
  });
  EXPECT_TRUE(is(store_.put("a/1", as_bytes("data")), Code::kTransient));
}

TEST_F(DirStoreTest, ADeletedDirectoryIsMadeAgain) {
  ASSERT_TRUE(store_.put("a/1", as_bytes("x")));
  fs::remove_all(dir_ / "a");
  fs::remove_all(dir_ / ".tmp+");
  write_file("volume", "still there");
  ASSERT_TRUE(store_.put("a/2", as_bytes("y")));
  EXPECT_EQ(read_file("a/2"), "y");
}

// Racing stores on one directory, each clearing leftovers as it starts.
TEST_F(DirStoreTest, StoresThatStartTogetherDoNotDisturbEachOther) {
  std::vector<std::thread> threads;
  std::atomic<int> failed = 0;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 30; ++i) {
        DirStore store(io::posix_file_io(), system_random(), dir_.path());
        if (!store.put(fmt::format("segments/{}.{}", t, i), Bytes(5000, 1))) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(store_.list("segments/", "", 1000)->objects.size(), 180u);
  EXPECT_EQ(temps(), Names{});
}

TEST_F(DirStoreTest, AnUnmountedFilesystemIsAnOutageAndIsNotWrittenBehind) {
  const std::string root = dir_ / "mnt";
  fs::create_directory(root);
  DirStore store(files_, random_, root);
  ASSERT_TRUE(store.put("commits/1", as_bytes("x")));
  for (bool mount_point_stays : {true, false}) {
    fs::rename(root, dir_ / "unmounted");
    if (mount_point_stays) fs::create_directory(root);
    EXPECT_TRUE(is(store.get("commits/1", 100), Code::kTransient));
    EXPECT_TRUE(is(store.head("commits/2"), Code::kTransient));
    EXPECT_TRUE(is(store.list("", "", 10), Code::kTransient));
    EXPECT_TRUE(is(store.put("commits/2", as_bytes("y")), Code::kTransient));
    EXPECT_TRUE(is(store.remove("commits/1"), Code::kTransient));
    EXPECT_EQ(fs::exists(root), mount_point_stays);
    EXPECT_TRUE(!mount_point_stays || fs::is_empty(root));
    fs::remove(root);
    fs::rename(dir_ / "unmounted", root);
    EXPECT_TRUE(store.get("commits/1", 100));
    EXPECT_TRUE(is(store.head("commits/2"), Code::kNotFound));
  }
  EXPECT_TRUE(store.put("commits/2", as_bytes("y")));
}

TEST_F(DirStoreTest, AnErasedStoreIsNoOutage) {
  write_file("volume", "x");
  ASSERT_TRUE(store_.get("volume", 10));
  ASSERT_TRUE(store_.remove("volume"));
  EXPECT_TRUE(is(store_.get("volume", 10), Code::kNotFound));
  EXPECT_TRUE(store_.list("", "", 10));
}

TEST_F(DirStoreTest, AFullDiskIsAnOutageThatLeavesNothingBehind) {
  const std::string root = dir_ / "mnt";
  fs::create_directory(root);
  if (::mount("none", root.c_str(), "tmpfs", 0, "size=512k") != 0) {
    GTEST_SKIP() << "cannot mount a tmpfs";
  }
  {
    DirStore store(io::posix_file_io(), random_, root);
    Bytes big(400000, 1);
    ASSERT_TRUE(store.put("a/1", big));
    EXPECT_TRUE(is(store.put("a/2", big), Code::kTransient));
    EXPECT_TRUE(is(store.head("a/2"), Code::kNotFound));
    EXPECT_TRUE(fs::is_empty(root + "/.tmp+"));
    ASSERT_TRUE(store.remove("a/1"));
    EXPECT_TRUE(store.put("a/2", big));
  }
  EXPECT_EQ(::umount(root.c_str()), 0);
}

TEST_F(DirStoreTest, DiskErrorsAreOutagesAndRefusalsAreNot) {
  auto put_failing_at = [&](const std::string& step, Code code) {
    files_.fail_next(step, Error(code, "injected"));
    return store_.put("a/1", as_bytes("x")).error().code();
  };
  EXPECT_EQ(put_failing_at("make", Code::kDenied), Code::kDenied);
  EXPECT_EQ(put_failing_at("create", Code::kIo), Code::kTransient);
  EXPECT_EQ(put_failing_at("write", Code::kNoSpace), Code::kTransient);
  EXPECT_EQ(put_failing_at("sync .tmp+", Code::kIo), Code::kTransient);
  EXPECT_EQ(put_failing_at("link", Code::kDenied), Code::kDenied);
  EXPECT_TRUE(is(store_.head("a/1"), Code::kNotFound));
  EXPECT_EQ(put_failing_at("syncdir a", Code::kIo), Code::kTransient);  // done, but who knows
  EXPECT_TRUE(store_.head("a/1"));
  EXPECT_EQ(temps(), Names{});
  // A filesystem without locks is used without.
  files_.fail_next("lock", Error(Code::kIo, "injected"));
  EXPECT_TRUE(store_.put("a/2", as_bytes("x")));
}

TEST_F(DirStoreTest, AnObjectCannotAlsoBeADirectory) {
  ASSERT_TRUE(store_.put("a", as_bytes("x")));
  EXPECT_TRUE(is(store_.put("a/b", as_bytes("y")), Code::kBadArgument));
  ASSERT_TRUE(store_.put("c/d", as_bytes("x")));
  EXPECT_FALSE(store_.put("c", as_bytes("y")));
  EXPECT_EQ(read_file("a"), "x");
  EXPECT_EQ(read_file("c/d"), "x");
  EXPECT_EQ(temps(), Names{});
}

TEST_F(DirStoreTest, RemoveNeverTakesADirectory) {
  fs::create_directory(dir_ / "empty");
  EXPECT_TRUE(store_.remove("empty"));
  EXPECT_TRUE(fs::exists(dir_ / "empty"));
}

TEST_F(DirStoreTest, ForeignFilesAreNotListed) {
  ASSERT_TRUE(store_.put("a", as_bytes("x")));
  write_file("b+", "no object's name");
  fs::create_directory(dir_ / "lost+found");
  write_file("lost+found/c", "x");
  write_file(".tmp+/leftover", "x");
  auto page = store_.list("", "", 10);
  ASSERT_EQ(page->objects.size(), 1u);
  EXPECT_EQ(page->objects[0].name, "a");
  EXPECT_EQ(store_.list(".tmp+/", "", 10)->objects.size(), 0u);
}

TEST_F(DirStoreTest, AHugeFileIsRefusedBeforeItIsRead) {
  write_file("commit", "x");
  fs::resize_file(dir_ / "commit", 1ull << 40);
  EXPECT_TRUE(is(store_.get("commit", 16 << 20), Code::kCorrupt));
}

}  // namespace
}  // namespace s3crate::test
