// SPDX-License-Identifier: GPL-3.0-or-later
// TamperTrial: a test that changes objects of the TamperWorld, and holds what is seen of it against
// the plain model.
#pragma once

#include <gtest/gtest.h>

#include "device/seen.h"
#include "segment/object_names.h"
#include "tests/support/tamper_world.h"

namespace s3crate::test {

// "segments/" and so on.
inline std::string kind_of(const std::string& name) { return name.substr(0, name.find('/') + 1); }

inline std::vector<volume::ByteRange> ranges_of(const TamperWorld::Blocks& lost) {
  std::vector<volume::ByteRange> out;
  for (std::uint64_t b = 0; b < lost.size(); ++b) {
    if (!lost[b]) continue;
    if (b > 0 && lost[b - 1])
      out.back().length += TamperWorld::kBlock;
    else
      out.push_back({b * TamperWorld::kBlock, TamperWorld::kBlock});
  }
  return out;
}

class TamperTrial : public testing::Test {
 protected:
  // Puts other bytes, or none, under a name.
  void change(const std::string& name, std::optional<Bytes> bytes) {
    if (bytes)
      now_[name] = shelved(std::move(*bytes));
    else
      now_.erase(name);
  }
  void restore() { now_ = world_.shelf(); }
  [[nodiscard]] const Bytes& stored(const std::string& name) const {
    return *world_.shelf().at(name);
  }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& [name, bytes] : world_.shelf()) out.push_back(name);
    return out;
  }
  // What is not what it was, as far as it can be seen without the passphrases and keys of others:
  // of their slots only the header, and nothing tells how many there were.
  [[nodiscard]] std::set<std::string> visibly_changed() const {
    std::set<std::string> out;
    for (const auto& [name, bytes] : world_.shelf()) {
      const auto now = now_.find(name);
      if (now != now_.end() && *now->second == *bytes) continue;
      if (const auto slot = segment::parse_slot_name(name)) {
        if (now == now_.end()) continue;
        const auto header = volume::parse_slot(*now->second);
        if (header && header->vid == world_.disk_world().vid && header->slot == *slot) continue;
      }
      out.insert(name);
    }
    return out;
  }

  // A machine that has seen this generation, and keeps its state there.
  void remember(const std::string& state_dir, const volume::CommitRef& ref) const {
    const volume::Vid& vid = world_.disk_world().vid;
    const std::string own = fmt::format("{}/{}", state_dir, to_hex(vid));
    ASSERT_TRUE(io::posix_file_io().make_directories(own));
    auto seen = device::Seen::open(io::posix_file_io(), own + "/seen", vid);
    ASSERT_TRUE(seen && (*seen)->note(ref, io::Sync::no));
  }

  // Everything is as the model says, and the changed objects are named, no others.
  void expect_right_or_told() {
    const Generation newest = world_.newest();
    const auto expected = world_.model(newest, now_);
    const Generation older(1 + trials_++ % newest.value);
    const auto seen = world_.look(now_, TamperWorld::Trust::seen, older);
    EXPECT_EQ(seen.wrong, "");
    EXPECT_EQ(seen.blocks, expected);
    if (expected) {  // the way to older ones begins at the newest
      EXPECT_EQ(seen.older, world_.model(older, now_)) << "generation " << older.value;
    }
    if (!seen.report) {
      EXPECT_FALSE(seen.blocks);
      return;
    }
    expect_named(*seen.report, expected);
  }
  void expect_named(const volume::CheckReport& report,
                    const std::optional<TamperWorld::Blocks>& expected) {
    std::set<std::string> named;
    for (const volume::Damage& damage : report.damages) named.insert(damage.object);
    const std::set<std::string> visible = visibly_changed();
    if (expected) {
      EXPECT_EQ(named, visible);
    } else {
      expect_one_named(report, named, visible);
    }
    EXPECT_TRUE(report.complete);
    if (expected) {
      EXPECT_FALSE(report.disk_lost);
      EXPECT_EQ(report.damaged_ranges(), ranges_of(*expected));
    } else if (now_.contains(segment::commit_name(world_.newest()))) {
      EXPECT_TRUE(report.disk_lost);
    }
  }

  // Of a disk that does not open, at least one reason is named; besides, commits that cannot be
  // read or verified without what was changed.
  void expect_one_named(const volume::CheckReport& report, const std::set<std::string>& named,
                        const std::set<std::string>& changed) {
    bool one = false;
    for (const std::string& name : changed) {
      one |= named.contains(name);
      // A keys commit that is not there is named by those that stand on it.
      if (const auto g = segment::parse_commit_name(name))
        for (const volume::Damage& damage : report.damages)
          one |= damage.what.find(fmt::format("commit {} is missing", *g)) != damage.what.npos;
    }
    EXPECT_TRUE(one) << testing::PrintToString(named);
    for (const std::string& name : named)
      EXPECT_TRUE(changed.contains(name) || segment::parse_commit_name(name)) << name;
  }

  TamperWorld& world_ = tamper_world();
  Shelf now_ = world_.shelf();
  std::uint64_t trials_ = 0;
};

}  // namespace s3crate::test
