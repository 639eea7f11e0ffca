// SPDX-License-Identifier: GPL-3.0-or-later
// What attach takes a disk for, and where it keeps the mount of a directory.
#include "cli/filesystem.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cstring>
#include <set>

#include "cli/attachment.h"
#include "cli/btrfs_id.h"
#include "cli/process.h"

namespace s3crate::cli {
namespace {

Bytes disk_with(std::initializer_list<std::pair<std::size_t, std::string_view>> magics) {
  Bytes bytes(kSuperblockBytes);
  for (const auto& [at, magic] : magics) std::memcpy(bytes.data() + at, magic.data(), magic.size());
  return bytes;
}

constexpr std::size_t kBtrfsAt = (64 << 10) + 0x40, kExtAt = 1024 + 0x38;

TEST(Filesystem, IsKnownByItsMagic) {
  EXPECT_EQ(identify(disk_with({{kBtrfsAt, "_BHRfS_M"}})), Filesystem::kBtrfs);
  EXPECT_EQ(identify(disk_with({{kExtAt, "\x53\xEF"}})), Filesystem::kExt4);
  EXPECT_EQ(identify(disk_with({{0, "XFSB"}})), Filesystem::kXfs);
  EXPECT_EQ(identify(disk_with({})), Filesystem::kUnknown);
}

TEST(Filesystem, WhatLooksLikeTwoOrIsCutOffIsNone) {
  EXPECT_EQ(identify(disk_with({{kBtrfsAt, "_BHRfS_M"}, {kExtAt, "\x53\xEF"}})), Filesystem::kUnknown);
  const auto btrfs = disk_with({{kBtrfsAt, "_BHRfS_M"}});
  EXPECT_EQ(identify(ByteView(btrfs).first(kBtrfsAt + 7)), Filesystem::kUnknown);
  EXPECT_EQ(identify({}), Filesystem::kUnknown);
  EXPECT_FALSE(btrfs_id({}));
}

TEST(Filesystem, TheIdOfABtrfsIsWrittenAsTheKernelWritesIt) {
  const auto disk = disk_with({{kBtrfsAt, "_BHRfS_M"}, {(64 << 10) + 0x20, "\x4a\x21\x2b\x48\x1b\xec\x46\xa5\x93\x8a\x78\x3c\x8c\x1f\x0b\x02"}});
  EXPECT_EQ(btrfs_id(disk), "4a212b48-1bec-46a5-938a-783c8c1f0b02");
}

TEST(Filesystem, ThePastIsMountedReadOnlyWhateverItsType) {
  for (auto type : {Filesystem::kUnknown, Filesystem::kBtrfs, Filesystem::kExt4, Filesystem::kXfs}) {
    for (auto purpose : {MountFor::kReading, MountFor::kReadingAsIs}) {
      const auto options = mount_options(type, purpose) + ",";
      EXPECT_EQ(options.rfind("ro,", 0), 0u);
      EXPECT_EQ(options.find("nouuid") != std::string::npos, type == Filesystem::kXfs);
    }
  }
  EXPECT_EQ(mount_options(Filesystem::kExt4, MountFor::kReadingAsIs), "ro,noload");
  EXPECT_EQ(mount_options(Filesystem::kXfs, MountFor::kReadingAsIs), "ro,nouuid,norecovery");
  EXPECT_EQ(mount_options(Filesystem::kBtrfs, MountFor::kReadingAsIs), "ro,rescue=nologreplay");
}

// A superblock as mkfs.btrfs would make it, less what does not matter here.
Bytes superblock(std::uint8_t incompatible, std::uint8_t checksum_type) {
  Bytes super(kBtrfsSuperBytes);
  std::fill_n(super.begin() + 0x20, 16, 0xaa);
  std::memcpy(super.data() + 0x40, "_BHRfS_M", 8);
  super[0xbd] = incompatible;
  super[0xc4] = checksum_type;
  std::fill_n(super.begin() + 0x23b, 16, incompatible == 0 ? 0 : 0xbb);
  return super;
}

TEST(BtrfsId, TheIdOfTheTreesStaysAndTheChecksumIsRight) {
  std::array<std::uint8_t, 16> id;
  id.fill(0x11);
  for (const std::uint8_t flag : {0, 4}) {
    auto super = superblock(flag, 0);
    ASSERT_TRUE(change_btrfs_id(super, id));
    EXPECT_EQ(Bytes(super.begin() + 0x20, super.begin() + 0x30), Bytes(16, 0x11));
    EXPECT_EQ(Bytes(super.begin() + 0x23b, super.begin() + 0x24b), Bytes(16, flag == 0 ? 0xaa : 0xbb));
    EXPECT_EQ(super[0xbd], 4);
  }
  // By another program's CRC-32C.
  auto super = superblock(0, 0);
  ASSERT_TRUE(change_btrfs_id(super, id));
  EXPECT_EQ(to_hex(ByteView(super).first(8)), "06bf147600000000");
}

TEST(BtrfsId, WhatItDoesNotKnowItLeavesAlone) {
  auto other = superblock(0, 1);
  const auto before = other;
  EXPECT_TRUE(is(change_btrfs_id(other, {}), Code::kUnsupported));
  EXPECT_EQ(other, before);
  Bytes zeros(kBtrfsSuperBytes);
  EXPECT_TRUE(is(change_btrfs_id(zeros, {}), Code::kNotFound));
  EXPECT_TRUE(is(change_btrfs_id(MutableByteView(other).first(100), {}), Code::kNotFound));
}

TEST(Attachment, EachDirectoryHasAPlaceOfItsOwn) {
  std::set<std::string> places;
  for (const char* directory : {"/a/b", "/a-b", "/a%2db", "/a\\b", "/a b", "/a%b", "/a%25b"}) {
    const auto place = place_for(directory);
    ASSERT_TRUE(place) << directory;
    EXPECT_EQ(place->rfind("/run/s3crate-blk/attach/", 0), 0u) << *place;
    EXPECT_EQ(place->find('/', 24), std::string::npos) << *place;
    EXPECT_TRUE(places.insert(*place).second) << *place;
  }
  EXPECT_TRUE(is(place_for("/"), Code::kBadArgument));
  EXPECT_TRUE(is(place_for("/" + std::string(300, 'x')), Code::kBadArgument));
  EXPECT_NE(*place_for("/."), "/run/s3crate-blk/attach/.");
  EXPECT_NE(*place_for("/.."), "/run/s3crate-blk/attach/..");
}

// No secret goes to the programs that are run.
TEST(RunCaptured, GivesThePathAloneAndTellsHowItEnded) {
  ::setenv("S3CRATE_TEST_SECRET", "secret", 1);
  const auto always = [](pid_t) { return true; };
  const auto ran = run_captured({"env"}, always);
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->status, 0);
  EXPECT_EQ(ran->output.find("SECRET"), std::string::npos);
  EXPECT_EQ(ran->output.rfind("PATH=", 0), 0u);
  EXPECT_EQ(run_captured({"sh", "-c", "exit 3"}, always)->status, 3);
  EXPECT_EQ(run_captured({"no-such-program-is-there"}, always)->status, 127);
  EXPECT_EQ(run_captured({"sh", "-c", "kill -9 $$"}, always)->status, -1);
  EXPECT_LE(run_captured({"sh", "-c", "head -c 100000 /dev/zero"}, always)->output.size(), 16u << 10);
  EXPECT_EQ(run_captured({"sleep", "600"}, [](pid_t) { return false; })->status, -1);
}

// The child begins with what this process does with signals.
TEST(RunCaptured, EndsWhateverThisProcessDoesWithSignals) {
  const auto never = [](pid_t) { return false; };
  for (const auto handler : {SIG_IGN, +[](int) {}}) {
    const auto before = ::signal(SIGTERM, handler);
    EXPECT_EQ(run_captured({"sleep", "600"}, never)->status, -1);
    ::signal(SIGTERM, before);
  }
  sigset_t terminate, before;
  ::sigemptyset(&terminate);
  ::sigaddset(&terminate, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &terminate, &before);
  EXPECT_EQ(run_captured({"sleep", "600"}, never)->status, -1);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
}  // namespace s3crate::cli
