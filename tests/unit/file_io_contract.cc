// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/file_io_contract.h"

#include <map>
#include <random>
#include <thread>

#include "tests/support/seed.h"

namespace s3crate::test {

TEST_P(FileIoContract, OpensWhatIsThereAndNothingElse) {
  EXPECT_TRUE(is(io().open(at("none"), io::OpenMode::read_only), Code::kNotFound));
  EXPECT_TRUE(is(io().open(at("none"), io::OpenMode::read_write), Code::kNotFound));
  EXPECT_TRUE(is(io().open(at("none/below"), io::OpenMode::create_new), Code::kNotFound));
  write(*create("file"), 0, "kept");
  EXPECT_TRUE(is(io().open(at("file"), io::OpenMode::create_new), Code::kExists));
  EXPECT_TRUE(is(io().open(at("file/below"), io::OpenMode::read_only), Code::kBadArgument));
  EXPECT_EQ(read(*open("file", io::OpenMode::create_or_open), 0, 4), "kept");
  EXPECT_EQ(read(*open("file", io::OpenMode::read_only), 0, 4), "kept");
  auto made = open("other", io::OpenMode::create_or_open);
  EXPECT_EQ(*made->size(), 0u);
}

TEST_P(FileIoContract, DirectoriesAreNoFiles) {
  ASSERT_TRUE(io().make_directories(at("dir")));
  EXPECT_TRUE(is(io().open(at("dir"), io::OpenMode::read_only), Code::kBadArgument));
  EXPECT_TRUE(is(io().open(at("dir"), io::OpenMode::read_write), Code::kBadArgument));
}

TEST_P(FileIoContract, AReadOnlyFileIsNotWritten) {
  write(*create("file"), 0, "kept");
  auto file = open("file", io::OpenMode::read_only);
  EXPECT_FALSE(file->write_at(0, as_bytes("lost")));
  EXPECT_EQ(read(*file, 0, 4), "kept");
}

TEST_P(FileIoContract, ReadsPastTheEndAreCorrupt) {
  auto file = create("file");
  write(*file, 0, "12345678");
  Bytes nine(9);
  EXPECT_TRUE(is(file->read_at(0, nine), Code::kCorrupt));
  EXPECT_TRUE(is(file->read_at(8, {nine.data(), 1}), Code::kCorrupt));
  EXPECT_TRUE(is(file->read_at(1u << 20, {nine.data(), 1}), Code::kCorrupt));
  EXPECT_EQ(read(*file, 1, 7), "2345678");
  EXPECT_TRUE(file->read_at(8, {}));
}

TEST_P(FileIoContract, WritesBeyondTheEndLeaveZerosBetween) {
  auto file = create("file");
  write(*file, 5, "x");
  EXPECT_EQ(*file->size(), 6u);
  EXPECT_EQ(read(*file, 0, 6), std::string("\0\0\0\0\0x", 6));
}

TEST_P(FileIoContract, ABatchWritesEveryPartInItsPlace) {
  auto file = create("file");
  std::vector<ByteView> first = {as_bytes("ab"), as_bytes(""), as_bytes("cd")};
  std::vector<ByteView> second = {as_bytes("XYZ")};
  std::vector<io::WriteOp> ops = {{10, first}, {0, second}, {20, {}}};
  ASSERT_TRUE(file->write(ops, io::Sync::yes));
  EXPECT_EQ(*file->size(), 14u);
  EXPECT_EQ(read(*file, 0, 3), "XYZ");
  EXPECT_EQ(read(*file, 10, 4), "abcd");
  EXPECT_TRUE(file->write({}, io::Sync::no));
  EXPECT_TRUE(file->write({}, io::Sync::yes));
  EXPECT_TRUE(file->datasync());
}

// More ops than a ring has entries, more parts than one system call takes.
TEST_P(FileIoContract, LargeBatchesAreWrittenWhole) {
  auto file = create("file");
  std::string text(5000, ' ');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i * 7 % 26);
  std::vector<ByteView> letters;
  for (std::size_t i = 0; i < text.size(); ++i) letters.push_back(as_bytes(text).subspan(i, 1));
  std::vector<io::WriteOp> ops = {{0, letters}};
  for (std::size_t i = 0; i < 200; ++i) {
    ops.push_back({10000 + i * 10, std::span(letters).subspan(i, 10)});
  }
  ASSERT_TRUE(file->write(ops, io::Sync::yes));
  EXPECT_EQ(read(*file, 0, text.size()), text);
  for (std::size_t i = 0; i < 200; ++i)
    EXPECT_EQ(read(*file, 10000 + i * 10, 10), text.substr(i, 10));
}

TEST_P(FileIoContract, RandomBatchesMatchAByteArray) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  constexpr std::size_t kSize = 1 << 16;
  auto file = create("file");
  std::string model(kSize, '\0');
  write(*file, 0, model);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::vector<std::string>> texts;
    std::vector<std::uint64_t> offsets;
    // Ops of one batch are in no order among themselves: each has a lane of its own.
    std::size_t lanes = 1 + random() % 100;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      std::size_t room = kSize / lanes;
      offsets.push_back(lane * room + random() % (room / 2));
      texts.emplace_back();
      for (std::size_t parts = random() % 4; parts > 0; --parts) {
        texts.back().emplace_back(random() % (room / 8), static_cast<char>('a' + random() % 26));
      }
    }
    std::vector<std::vector<ByteView>> views(lanes);
    std::vector<io::WriteOp> ops;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      std::uint64_t offset = offsets[lane];
      for (const std::string& text : texts[lane]) {
        views[lane].push_back(as_bytes(text));
        model.replace(offset, text.size(), text);
        offset += text.size();
      }
      ops.push_back({offsets[lane], views[lane]});
    }
    ASSERT_TRUE(file->write(ops, random() % 2 != 0 ? io::Sync::yes : io::Sync::no));
    std::size_t from = random() % kSize;
    std::size_t length = random() % (kSize - from);
    ASSERT_EQ(read(*file, from, length), model.substr(from, length)) << "round " << round;
  }
  EXPECT_EQ(read(*file, 0, kSize), model);
  EXPECT_EQ(read(*open("file", io::OpenMode::read_only), 0, kSize), model);
}

TEST_P(FileIoContract, OneFileServesManyThreads) {
  if (!subject_->threads()) GTEST_SKIP() << "its tasks are fibers";
  auto file = create("file");
  constexpr std::size_t kThreads = 8, kRounds = 40, kPiece = 3000;
  ASSERT_TRUE(file->allocate(kThreads * kPiece));
  std::vector<std::thread> threads;
  std::vector<int> wrong(kThreads);
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t round = 0; round < kRounds; ++round) {
        Bytes data(kPiece, static_cast<std::uint8_t>(t * kRounds + round));
        ByteView all = data;
        std::vector<ByteView> left = {all.first(1000), all.subspan(1000, 1)},
                              right = {all.subspan(1001)};
        std::vector<io::WriteOp> ops = {{t * kPiece + 1001, right}, {t * kPiece, left}};
        if (!file->write(ops, round % 8 == 0 ? io::Sync::yes : io::Sync::no)) ++wrong[t];
        Bytes back(kPiece);
        if (!file->read_at(t * kPiece, back) || back != data) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(kThreads));
}

TEST_P(FileIoContract, AllocateLengthensAndChangesNothing) {
  auto file = create("file");
  write(*file, 0, "kept");
  ASSERT_TRUE(file->allocate(100000));
  EXPECT_EQ(*file->size(), 100000u);
  EXPECT_EQ(read(*file, 0, 6), std::string("kept\0\0", 6));
  ASSERT_TRUE(file->allocate(10));
  ASSERT_TRUE(file->allocate(0));
  EXPECT_EQ(*file->size(), 100000u);
}

TEST_P(FileIoContract, ALockExcludesEveryOtherFileUntilItIsClosed) {
  auto first = create("file");
  auto second = open("file", io::OpenMode::read_write);
  ASSERT_TRUE(first->lock());
  EXPECT_TRUE(is(second->lock(), Code::kExists));
  open("file", io::OpenMode::read_write).reset();  // closing another File frees nothing
  EXPECT_TRUE(is(second->lock(), Code::kExists));
  write(*second, 0, "x");  // advisory
  first.reset();
  EXPECT_TRUE(second->lock());
}

TEST_P(FileIoContract, LinkGivesASecondNameButTakesNone) {
  auto file = create("file");
  write(*file, 0, "kept");
  write(*create("taken"), 0, "mine");
  ASSERT_TRUE(io().link(at("file"), at("name")));
  EXPECT_TRUE(is(io().link(at("file"), at("taken")), Code::kExists));
  EXPECT_TRUE(is(io().link(at("file"), at("file")), Code::kExists));
  EXPECT_TRUE(is(io().link(at("none"), at("new")), Code::kNotFound));
  EXPECT_TRUE(is(io().link(at("file"), at("none/new")), Code::kNotFound));
  EXPECT_EQ(read(*open("taken", io::OpenMode::read_only), 0, 4), "mine");
  EXPECT_EQ(*open("name", io::OpenMode::read_only)->identity(), *file->identity());
  EXPECT_NE(*open("taken", io::OpenMode::read_only)->identity(), *file->identity());
  ASSERT_TRUE(io().remove(at("file")));
  EXPECT_EQ(read(*open("name", io::OpenMode::read_only), 0, 4), "kept");
}

TEST_P(FileIoContract, RemoveTakesFilesAndEmptyDirectories) {
  EXPECT_TRUE(is(io().remove(at("none")), Code::kNotFound));
  auto file = create("file");
  ASSERT_TRUE(io().remove(at("file")));
  write(*file, 0, "still open");
  EXPECT_EQ(read(*file, 0, 10), "still open");
  ASSERT_TRUE(io().make_directories(at("dir")));
  create("dir/file");
  EXPECT_TRUE(is(io().remove(at("dir")), Code::kBadArgument));
  ASSERT_TRUE(io().remove(at("dir/file")));
  ASSERT_TRUE(io().remove(at("dir")));
  EXPECT_EQ(names(""), std::vector<std::string>{});
}

TEST_P(FileIoContract, MakeDirectoriesMakesWhatIsMissing) {
  ASSERT_TRUE(io().make_directories(at("a/b/c")));
  ASSERT_TRUE(io().make_directories(at("a/b/c")));
  ASSERT_TRUE(io().make_directories(at("a/b/d/")));
  EXPECT_EQ(names("a/b"), (std::vector<std::string>{"c/", "d/"}));
  create("file");
  EXPECT_TRUE(is(io().make_directories(at("file")), Code::kBadArgument));
  EXPECT_TRUE(is(io().make_directories(at("file/below")), Code::kBadArgument));
  EXPECT_TRUE(io().sync_directory(at("a/b")));
  EXPECT_TRUE(is(io().sync_directory(at("none")), Code::kNotFound));
  EXPECT_TRUE(is(io().sync_directory(at("file")), Code::kBadArgument));
}

TEST_P(FileIoContract, ListsInByteOrder) {
  EXPECT_EQ(names(""), std::vector<std::string>{});
  EXPECT_TRUE(is(io().list(at("none")), Code::kNotFound));
  for (const char* name : {"b", "B", "a.b", "a-b", "~", "\xc3\xa9", "0", ".hidden"}) create(name);
  ASSERT_TRUE(io().make_directories(at("a")));
  EXPECT_TRUE(is(io().list(at("b")), Code::kBadArgument));
  EXPECT_EQ(names(""), (std::vector<std::string>{".hidden", "0", "B", "a/", "a-b", "a.b", "b", "~",
                                                 "\xc3\xa9"}));
}

TEST_P(FileIoContract, IdentityTellsFilesApart) {
  auto first = create("first");
  auto second = create("second");
  EXPECT_EQ(*first->identity(), *io().identity(at("first")));
  EXPECT_FALSE(*first->identity() == *second->identity());
  EXPECT_TRUE(is(io().identity(at("none")), Code::kNotFound));
  EXPECT_EQ(*io().identity(at("")), *io().identity(subject_->root()));
}

TEST_P(FileIoContract, SaysHowMuchRoomThereIs) {
  auto room = io().free_bytes(at(""));
  ASSERT_TRUE(room);
  EXPECT_GT(*room, 0u);
  EXPECT_TRUE(is(io().free_bytes(at("none")), Code::kNotFound));
}

TEST_P(FileIoContract, NamesThatAreTooLongAreBadArguments) {
  EXPECT_TRUE(
      is(io().open(at(std::string(300, 'n')), io::OpenMode::create_new), Code::kBadArgument));
}

TEST_P(FileIoContract, ErrorsNameThePath) {
  auto missing = io().open(at("some-name"), io::OpenMode::read_only);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message().find(at("some-name")), std::string::npos);
}

}  // namespace s3crate::test
