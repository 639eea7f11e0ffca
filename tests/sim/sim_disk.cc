// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"

namespace s3crate::sim {
namespace {

std::uint64_t sector_floor(std::uint64_t offset) { return offset / kSectorSize * kSectorSize; }
std::uint64_t sector_ceil(std::uint64_t offset) { return sector_floor(offset + kSectorSize - 1); }

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= path.size();) {
    std::size_t end = std::min(path.find('/', begin), path.size());
    std::string part = path.substr(begin, end - begin);
    if (!part.empty() && part != ".") parts.push_back(std::move(part));
    begin = end + 1;
  }
  return parts;
}

// [first, last) of the sectors of `write` go to the disk.
void put_sectors(Node& file, const Node::Unsynced& write, std::uint64_t first, std::uint64_t last) {
  std::uint64_t begin = write.offset + first * kSectorSize;
  std::uint64_t end = std::min(write.offset + last * kSectorSize, write.size_after);
  if (file.durable.size() < end) file.durable.resize(end);
  file.durable.write(begin, ByteView(write.sectors).subspan(first * kSectorSize, end - begin));
}

void put_all(Node& file, const Node::Unsynced& write) {
  put_sectors(file, write, 0, write.sectors.size() / kSectorSize);
  if (file.durable.size() < write.size_after) file.durable.resize(write.size_after);
}

// Nodes may have several names: each is copied once.
class Copy {
 public:
  std::shared_ptr<Node> of(const std::shared_ptr<const Node>& node) {
    if (node == nullptr) return nullptr;
    std::shared_ptr<Node>& copy = copies_[node.get()];
    if (copy != nullptr) return copy;
    copy = std::make_shared<Node>(*node);
    const std::shared_ptr<Node> made = copy;  // the map may grow below
    made->lock_owner = nullptr;
    made->lock_file = nullptr;
    for (auto& [name, entry] : made->entries) entry = of(entry);
    for (auto& [name, entry] : made->durable_entries) entry = of(entry);
    for (Node::UnsyncedName& change : made->unsynced_names) change.node = of(change.node);
    return made;
  }

 private:
  std::map<const Node*, std::shared_ptr<Node>> copies_;
};

}  // namespace

SimDisk::SimDisk(std::uint64_t device, Dice dice, FaultCounts& counts)
    : device_(device), dice_(dice), counts_(counts), root_(std::make_shared<Node>()) {
  root_->inode = 1;
  root_->is_directory = true;
}

SimDisk::Image SimDisk::image() const { return {Copy().of(root_), next_inode_}; }

void SimDisk::restore(const Image& image) {
  root_ = Copy().of(image.root);
  next_inode_ = image.next_inode;
  ++changes_;
}

Result<std::shared_ptr<Node>> SimDisk::find(const std::string& path) const {
  if (split(path).empty()) return root_;
  Place place = TRY(this->place(path));
  auto found = place.directory->entries.find(place.name);
  if (found == place.directory->entries.end()) {
    return fail(Code::kNotFound, "{}: no such file or directory", path);
  }
  return found->second;
}

Result<SimDisk::Place> SimDisk::place(const std::string& path) const {
  std::vector<std::string> parts = split(path);
  if (parts.empty()) return fail(Code::kExists, "{}: is the root", path);
  Place place{root_, std::move(parts.back())};
  parts.pop_back();
  if (place.name.size() > 255) return fail(Code::kBadArgument, "{}: name too long", path);
  for (const std::string& part : parts) {
    auto found = place.directory->entries.find(part);
    if (found == place.directory->entries.end()) {
      return fail(Code::kNotFound, "{}: no such directory", path);
    }
    if (!found->second->is_directory) return fail(Code::kBadArgument, "{}: not a directory", path);
    place.directory = found->second;
  }
  return place;
}

std::shared_ptr<Node> SimDisk::make(const Place& place, bool is_directory) {
  auto node = std::make_shared<Node>();
  node->inode = next_inode_++;
  node->is_directory = is_directory;
  set_name(place, node);
  return node;
}

void SimDisk::set_name(const Place& place, std::shared_ptr<Node> node) {
  Node& directory = *place.directory;
  ++changes_;
  directory.unsynced_names.push_back({place.name, node});
  if (node == nullptr) {
    directory.entries.erase(place.name);
  } else {
    directory.entries[place.name] = std::move(node);
  }
}

bool SimDisk::has_room(const Node& file, std::uint64_t size) const {
  CHECK(size <= kFileSizeMax);
  std::uint64_t growth = sector_ceil(size) - sector_ceil(file.cached.size());
  const std::uint64_t most = std::min(faults.capacity, faults.quota);
  return most >= kFileSizeMax || used_bytes() + growth <= most;
}

bool SimDisk::grow(Node& file, std::uint64_t size) {
  if (size <= file.cached.size()) return true;
  if (!has_room(file, size)) return false;
  ++changes_;
  file.cached.resize(size);
  file.unsynced.push_back({file.next_write++, 0, {}, size});
  return true;
}

bool SimDisk::write(Node& file, std::uint64_t offset, ByteView data) {
  if (data.empty()) return true;
  std::uint64_t end = offset + data.size();
  if (end > file.cached.size()) {
    if (!has_room(file, end)) return false;
    file.cached.resize(end);
  }
  ++changes_;
  file.cached.write(offset, data);
  std::uint64_t first = sector_floor(offset);
  std::uint64_t last = std::min<std::uint64_t>(sector_ceil(end), file.cached.size());
  Bytes sectors(sector_ceil(end) - first);
  file.cached.read(first, MutableByteView(sectors).first(last - first));
  file.unsynced.push_back({file.next_write++, first, std::move(sectors), file.cached.size()});
  return true;
}

void SimDisk::sync(Node& file, std::uint64_t end) {
  changes_ += !file.unsynced.empty();
  while (!file.unsynced.empty() && file.unsynced.front().number < end) {
    put_all(file, file.unsynced.front());
    file.unsynced.pop_front();
  }
}

void SimDisk::fail_sync(Node& file, std::uint64_t end) {
  Fate fate = throw_fate();
  ++changes_;
  while (!file.unsynced.empty() && file.unsynced.front().number < end) {
    settle(file, file.unsynced.front(), fate, Fault::kDiskCleanPageLost);
    file.unsynced.pop_front();
  }
  ++file.failed_syncs;
}

void SimDisk::drop_cached(Node& file, std::uint64_t offset, std::uint64_t size) {
  const std::uint64_t end = std::min({offset + size, file.cached.size(), file.durable.size()});
  for (std::uint64_t at = sector_floor(offset); at < end; at += kSectorSize) {
    const auto is_written = [at](const Node::Unsynced& write) { return write.offset <= at && at < write.offset + write.sectors.size(); };
    if (std::ranges::any_of(file.unsynced, is_written)) continue;
    const Bytes clean = file.durable.part(at, std::min(kSectorSize, end - at));
    if (equal(clean, file.cached.part(at, clean.size()))) continue;
    ++changes_;
    file.cached.write(at, clean);
  }
}

void SimDisk::sync_names(Node& directory) {
  changes_ += !directory.unsynced_names.empty();
  directory.durable_entries = directory.entries;
  directory.unsynced_names.clear();
}

SimDisk::Fate SimDisk::throw_fate() {
  // The ends of the scale are where most mistakes show, and a throw for each write seldom gets there.
  switch (dice_.below(4)) {
    case 0: return {0, 0};
    case 1: return {100, 0};
    default: return {static_cast<std::uint32_t>(dice_.below(101)), static_cast<std::uint32_t>(dice_.below(101))};
  }
}

void SimDisk::settle(Node& file, const Node::Unsynced& write, Fate fate, Fault lost) {
  std::uint64_t count = write.sectors.size() / kSectorSize;
  if (count > 1 && dice_.percent(fate.tear_percent)) {
    bool any_lost = false;
    for (std::uint64_t i = 0; i < count; ++i) {
      bool kept = dice_.coin();
      if (kept) put_sectors(file, write, i, i + 1);
      any_lost |= !kept;
    }
    if (any_lost) counts_.add(Fault::kDiskWriteTorn);
  } else if (dice_.percent(fate.keep_percent)) {
    put_all(file, write);
  } else {
    counts_.add(lost);
  }
}

void SimDisk::power_cut() {
  ++power_cuts_;
  ++changes_;
  power_cut(*root_, throw_fate());
}

void SimDisk::power_cut(Node& node, Fate fate) {
  if (std::exchange(node.power_cuts_seen, power_cuts_) == power_cuts_) return;
  node.lock_owner = nullptr;
  node.lock_file = nullptr;
  if (!node.is_directory) {
    for (const Node::Unsynced& write : node.unsynced) settle(node, write, fate, Fault::kDiskSectorsLost);
    node.unsynced.clear();
    // The size may have reached the disk without the sectors.
    if (node.durable.size() < node.cached.size() && dice_.percent(25)) {
      node.durable.resize(dice_.between(node.durable.size(), node.cached.size()));
    }
    node.cached = node.durable;
    return;
  }
  for (const Node::UnsyncedName& change : node.unsynced_names) {
    if (!dice_.percent(fate.keep_percent)) {
      counts_.add(Fault::kDiskNameLost);
    } else if (change.node == nullptr) {
      node.durable_entries.erase(change.name);
    } else {
      node.durable_entries[change.name] = change.node;
    }
  }
  node.unsynced_names.clear();
  node.entries = node.durable_entries;
  for (const auto& [name, entry] : node.entries) power_cut(*entry, fate);
}

std::uint64_t SimDisk::used_bytes() const {
  std::uint64_t used = 0;
  std::set<const Node*> seen;  // files may have several names
  std::vector<const Node*> todo{root_.get()};
  while (!todo.empty()) {
    const Node* node = todo.back();
    todo.pop_back();
    if (!seen.insert(node).second) continue;
    used += sector_ceil(node->cached.size());
    for (const auto& [name, entry] : node->entries) todo.push_back(entry.get());
  }
  return used;
}

}  // namespace s3crate::sim
