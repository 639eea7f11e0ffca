// SPDX-License-Identifier: GPL-3.0-or-later
// posix_file_io and uring_file_io: the contract, and what only a real kernel can do to them.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "io/file_io.h"
#include "io/write_plan.h"
#include "tests/support/seed.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/file_io_contract.h"

namespace s3crate::test {
namespace {

using io::File;
using io::FileIo;
using io::OpenMode;
using io::Sync;

struct RealFileIo : FileIoUnderTest {
  explicit RealFileIo(FileIo& io) : io_(io) {}
  FileIo& io() override { return io_; }
  std::string root() override { return dir_.path(); }

  FileIo& io_;
  TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Posix, FileIoContract, ::testing::Values(FileIoFactory([] {
                           return std::make_unique<RealFileIo>(io::posix_file_io());
                         })));
INSTANTIATE_TEST_SUITE_P(Uring, FileIoContract, ::testing::Values(FileIoFactory([] {
                           return std::make_unique<RealFileIo>(io::uring_file_io());
                         })));

class KernelTest : public ::testing::TestWithParam<FileIo& (*)()> {
 protected:
  static FileIo& io() { return GetParam()(); }
  static std::unique_ptr<File> create(const std::string& path) {
    auto file = io().open(path, OpenMode::create_new);
    EXPECT_TRUE(file) << file.error().message();
    return file ? std::move(*file) : nullptr;
  }
  // Two ops, so that a ring is used, and a sync.
  static Result<> write_two(File& file, std::uint64_t offset, ByteView first, ByteView second,
                            Sync sync = Sync::yes) {
    io::WriteOp ops[] = {{offset, {&first, 1}}, {offset + first.size(), {&second, 1}}};
    return file.write(ops, sync);
  }

  TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Posix, KernelTest, ::testing::Values(io::posix_file_io));
INSTANTIATE_TEST_SUITE_P(Uring, KernelTest, ::testing::Values(io::uring_file_io));

TEST_P(KernelTest, NewFilesAndDirectoriesArePrivate) {
  create(dir_ / "file");
  ASSERT_TRUE(io().make_directories(dir_ / "a/b"));
  struct stat st {};
  ASSERT_EQ(::stat((dir_ / "file").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
  for (const char* name : {"a", "a/b"}) {
    ASSERT_EQ(::stat((dir_ / name).c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0700u);
  }
}

TEST_P(KernelTest, ForbiddenIsDenied) {
  create(dir_ / "file");
  ASSERT_EQ(::chmod((dir_ / "file").c_str(), 0), 0);
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(1);
    bool denied = is(io().open(dir_ / "file", OpenMode::read_only), Code::kDenied);
    ::_exit(denied ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_P(KernelTest, AReadOnlyFilesystemIsDenied) {
  ASSERT_EQ(::mkdir((dir_ / "mount").c_str(), 0700), 0);
  if (::mount("none", (dir_ / "mount").c_str(), "tmpfs", MS_RDONLY, "size=64k") != 0) {
    GTEST_SKIP() << "cannot mount a tmpfs";
  }
  EXPECT_TRUE(is(io().open(dir_ / "mount/file", OpenMode::create_new), Code::kDenied));
  EXPECT_TRUE(is(io().make_directories(dir_ / "mount/dir"), Code::kDenied));
  EXPECT_EQ(::umount((dir_ / "mount").c_str()), 0);
}

TEST_P(KernelTest, AFullDiskIsNoSpaceAndKeepsWhatWasThere) {
  ASSERT_EQ(::mkdir((dir_ / "mount").c_str(), 0700), 0);
  if (::mount("none", (dir_ / "mount").c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "cannot mount a tmpfs";
  }
  {
    auto file = create(dir_ / "mount/file");
    Bytes small(4096, 1), big(1 << 20, 2);
    ASSERT_TRUE(file->write_at(0, small, Sync::yes));
    // The second op fits in part only: a short write, then ENOSPC.
    EXPECT_TRUE(is(write_two(*file, 4096, small, big), Code::kNoSpace));
    Bytes back(4096);
    ASSERT_TRUE(file->read_at(0, back));
    EXPECT_EQ(back, small);
    EXPECT_TRUE(is(create(dir_ / "mount/other")->allocate(1 << 20), Code::kNoSpace));
  }
  EXPECT_EQ(::umount((dir_ / "mount").c_str()), 0);
}

TEST_P(KernelTest, AWriteCutShortIsAnError) {
  struct rlimit old {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  auto file = create(dir_ / "file");
  auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = {10000, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  Bytes data(8000, 7);
  Result<> done = write_two(*file, 0, data, data);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_TRUE(is(done, Code::kIo));
  EXPECT_TRUE(write_two(*file, 0, data, data));
  EXPECT_EQ(*file->size(), 16000u);
}

// The kernel takes at most 2 GiB at a time; /dev/null takes them without looking.
TEST_P(KernelTest, ShortWritesAreContinued) {
  auto file = io().open("/dev/null", OpenMode::read_write);
  ASSERT_TRUE(file);
  Bytes data(64 << 20);
  std::vector<ByteView> parts(40, data);
  io::WriteOp ops[] = {{0, parts}, {0, parts}};
  EXPECT_TRUE((*file)->write(ops, Sync::no));
}

TEST_P(KernelTest, AFailedSyncIsReported) {
  auto file = io().open("/dev/null", OpenMode::read_write);  // which cannot be synced
  ASSERT_TRUE(file);
  EXPECT_TRUE(is((*file)->datasync(), Code::kIo));
  EXPECT_TRUE(is((*file)->write_at(0, as_bytes("x"), Sync::yes), Code::kIo));
  EXPECT_TRUE(is(write_two(**file, 0, as_bytes("x"), as_bytes("y")), Code::kIo));
  EXPECT_TRUE(write_two(**file, 0, as_bytes("x"), as_bytes("y"), Sync::no));
}

// Pages of a file that are in memory.
std::size_t cached_pages(const std::string& path, std::size_t pages) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  void* const at = ::mmap(nullptr, pages * page, PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  EXPECT_NE(at, MAP_FAILED);
  std::vector<unsigned char> is_there(pages);
  EXPECT_EQ(::mincore(at, pages * page, is_there.data()), 0);
  ::munmap(at, pages * page);
  return static_cast<std::size_t>(std::ranges::count_if(is_there, [](unsigned char one) { return (one & 1) != 0; }));
}

TEST_P(KernelTest, WhatIsDroppedIsReadFromTheDiskAgain) {
  struct statfs of {};
  ASSERT_EQ(::statfs(dir_.path().c_str(), &of), 0);
  if (of.f_type == 0x01021994) GTEST_SKIP() << "tmpfs has no disk below";
  constexpr std::size_t kPages = 2048, kDropped = kPages / 2;  // pages may lie together in folios of 2 MiB
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  auto file = create(dir_ / "file");
  const Bytes bytes(kPages * page, 7);
  ASSERT_TRUE(file->write_at(0, bytes));
  file->drop_cached(0, bytes.size());  // not durable yet: the kernel may keep it, and nothing may be lost
  Bytes read(bytes.size());
  ASSERT_TRUE(file->read_at(0, read));
  EXPECT_EQ(read, bytes);
  ASSERT_TRUE(file->datasync());
  EXPECT_EQ(cached_pages(dir_ / "file", kPages), kPages);
  file->drop_cached((kPages - kDropped) * page, kDropped * page);
  EXPECT_EQ(cached_pages(dir_ / "file", kPages), kPages - kDropped);
  ASSERT_TRUE(file->read_at(0, read));
  EXPECT_EQ(read, bytes);
}

TEST_P(KernelTest, AForkedChildWritesToo) {
  auto file = create(dir_ / "file");
  ASSERT_TRUE(write_two(*file, 0, as_bytes("par"), as_bytes("ent")));
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(write_two(*file, 6, as_bytes("chi"), as_bytes("ld")) ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ASSERT_TRUE(write_two(*file, 11, as_bytes("aga"), as_bytes("in")));
  std::string text(16, '?');
  ASSERT_TRUE(file->read_at(0, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()}));
  EXPECT_EQ(text, "parentchildagain");
}

TEST_P(KernelTest, ALockHoldsAgainstOtherProcesses) {
  auto file = create(dir_ / "file");
  ASSERT_TRUE(file->lock());
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto mine = io().open(dir_ / "file", OpenMode::read_write);
    ::_exit(mine && is((*mine)->lock(), Code::kExists) ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(WritePlanTest, PiecesAndShortWritesAddUpToTheOps) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    Bytes source(100000);
    for (auto& byte : source) byte = static_cast<std::uint8_t>(random());
    std::vector<ByteView> parts;
    std::size_t total = 0;
    for (std::size_t count = random() % 3000; parts.size() < count && total < 90000;) {
      std::size_t length = random() % 40;
      parts.push_back(ByteView(source).subspan(total, length));
      total += length;
    }
    io::WriteOp op{7, parts};
    io::WritePlan plan({&op, 1});
    Bytes written(total);
    for (io::Chunk chunk : plan.chunks()) {
      ASSERT_GT(chunk.length, 0u);
      while (chunk.length > 0) {
        ASSERT_LE(chunk.parts.size(), io::WritePlan::kMaxParts);
        // What a kernel that takes `take` bytes writes.
        std::size_t take = 1 + random() % chunk.length, left = take, offset = chunk.offset - 7;
        for (const iovec& part : chunk.parts) {
          std::size_t step = std::min(left, part.iov_len);
          std::memcpy(written.data() + offset, part.iov_base, step);
          offset += step;
          left -= step;
        }
        ASSERT_EQ(left, 0u);
        io::advance(chunk, take);
      }
    }
    source.resize(total);
    ASSERT_EQ(written, source);
  }
}

}  // namespace
}  // namespace s3crate::test
