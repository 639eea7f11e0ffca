// SPDX-License-Identifier: GPL-3.0-or-later
// The manual page of the format and the constants in the code say the same.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "cache/wire_format.h"
#include "journal/wire_format.h"
#include "segment/wire_format.h"
#include "volume/volume_object.h"
#include "volume/wire_format.h"

namespace s3crate {
namespace {

// Lines of the page that begin with `word`, as words.
std::vector<std::vector<std::string>> lines_of(const std::string& word) {
  const char* top = std::getenv("abs_top_srcdir");
  std::ifstream page(std::string(top != nullptr ? top : ".") + "/man/s3crate-blk-format.5");
  EXPECT_TRUE(page.is_open()) << "set abs_top_srcdir";
  std::vector<std::vector<std::string>> out;
  for (std::string line; std::getline(page, line);) {
    std::istringstream in(line);
    std::vector<std::string> words{std::istream_iterator<std::string>(in), {}};
    if (words.size() >= 3 && words[0] == word) out.push_back(std::move(words));
  }
  return out;
}

template <std::size_t N>
std::string text(const std::array<char, N>& magic) {
  return {magic.begin(), magic.end()};
}

TEST(FormatPage, ListsTheMagicStringsAndTheirSizes) {
  std::map<std::string, std::string> expected;
  const auto add = [&](const auto& magic, std::size_t size) {
    expected[text(magic)] = std::to_string(size);
  };
  add(volume::wire::kVolumeMagic, sizeof(volume::wire::Volume));
  add(volume::wire::kSlotMagic, sizeof(volume::wire::Slot));
  add(volume::wire::kCommitMagic, sizeof(volume::wire::CommitHead));
  add(volume::wire::kMapMagic, sizeof(volume::wire::MapObject));
  add(segment::wire::kHeaderMagic, sizeof(segment::wire::Header));
  add(segment::wire::kFooterMagic, sizeof(segment::wire::Footer));
  add(journal::wire::kSuperblockMagic, sizeof(journal::wire::SuperblockHead));
  add(journal::wire::kSlotMagic, sizeof(journal::wire::Slot));
  add(journal::wire::kRecordMagic, sizeof(journal::wire::Record));
  add(cache::wire::kSuperblockMagic, sizeof(cache::wire::Superblock));
  add(cache::wire::kChunkMagic, sizeof(cache::wire::Chunk));
  std::map<std::string, std::string> listed;
  for (const auto& words : lines_of("magic")) listed[words[1]] = words[2];
  EXPECT_EQ(listed, expected);
}

TEST(FormatPage, ListsTheKindsOfCommits) {
  std::map<int, std::string> listed;
  std::map<int, bool> guests;
  for (const auto& words : lines_of("kind")) {
    const int number = std::atoi(words[1].c_str());
    listed[number] = words[2];
    guests[number] = words.size() > 3 && words[3] == "G";
  }
  EXPECT_EQ(listed.size(), 17u);
  for (const auto& [number, name] : listed) {
    const auto kind = static_cast<volume::CommitKind>(number);
    EXPECT_EQ(name, volume::kind_name(kind));
    EXPECT_EQ(guests[number], volume::is_guest(kind)) << name;
  }
}

TEST(FormatPage, ListsWhatEachCapabilitySigns) {
  std::map<std::uint32_t, std::string> listed;
  for (const auto& words : lines_of("capability")) {
    std::string& kinds = listed[static_cast<std::uint32_t>(std::atoi(words[1].c_str()))];
    for (std::size_t i = 3; i < words.size(); ++i)
      kinds += " " + words[i] + (words[i].ends_with(',') ? "" : ",");
  }
  ASSERT_EQ(listed.size(), 3u);
  for (const auto& [capability, kinds] : listed) {
    for (std::uint8_t kind = 1; kind <= 17; ++kind) {
      const std::string word = fmt::format(" {},", volume::kind_name(volume::CommitKind{kind}));
      EXPECT_EQ(kinds.find(word) != std::string::npos,
                volume::may_sign(capability, volume::CommitKind{kind}))
          << capability << word;
    }
  }
}

TEST(FormatPage, ListsTheTreesAndRoles) {
  using volume::TreeId;
  std::map<std::string, std::string> trees;
  for (const auto& words : lines_of("tree")) trees[words[1]] = words[2];
  const std::map<std::string, std::string> expected_trees = {
      {"1", "map"},       {"2", "objects"}, {"3", "liveness"},    {"4", "dead"},
      {"5", "catalogue"}, {"6", "tags"},    {"7", "fingerprints"}};
  EXPECT_EQ(trees, expected_trees);
  static_assert(TreeId{1} == TreeId::map && TreeId{2} == TreeId::objects &&
                TreeId{3} == TreeId::liveness && TreeId{4} == TreeId::dead &&
                TreeId{5} == TreeId::catalogue && TreeId{6} == TreeId::tags &&
                TreeId{7} == TreeId::fingerprints);
  using volume::Role;
  std::map<std::string, std::string> roles;
  for (const auto& words : lines_of("role")) roles[words[1]] = words[2];
  const std::map<std::string, std::string> expected_roles = {{"1", "owner"},      {"2", "writer"},
                                                             {"3", "reader"},     {"4", "blind"},
                                                             {"5", "maintainer"}, {"6", "public"}};
  EXPECT_EQ(roles, expected_roles);
  static_assert(Role{1} == Role::owner && Role{2} == Role::writer && Role{3} == Role::reader &&
                Role{4} == Role::blind && Role{5} == Role::maintainer &&
                Role{6} == Role::public_reader);
}

}  // namespace
}  // namespace s3crate
