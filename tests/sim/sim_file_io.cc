// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sim_file_io.h"

#include <algorithm>
#include <numeric>

namespace s3crate::sim {
namespace {

using io::Sync;
using io::WriteOp;

class SimFile final : public io::File {
 public:
  SimFile(SimDisk& disk, std::shared_ptr<Incarnation> incarnation, std::shared_ptr<Node> node,
          std::string path, bool writable)
      : disk_(disk),
        incarnation_(std::move(incarnation)),
        node_(std::move(node)),
        path_(std::move(path)),
        writable_(writable),
        failed_syncs_heard_(node_->failed_syncs) {}

  ~SimFile() override {
    const Watch watch(Watch::Of::harness);
    if (node_->lock_file == this) node_->lock_file = nullptr, node_->lock_owner = nullptr;
  }

  Result<> read_at(std::uint64_t offset, MutableByteView out) override {
    const Watch watch(Watch::Of::harness);
    TRY(step('r', offset ^ out.size()));
    if (disk_.dice().per_million(disk_.faults.read_error_per_million)) {
      disk_.counts().add(Fault::kDiskReadError);
      incarnation_->failed('r', target());
      return fail(Code::kIo, "{}: read: injected error", path_);
    }
    const FileBytes& data = node_->cached;
    if (offset > data.size() || out.size() > data.size() - offset) {
      return fail(Code::kCorrupt, "{}: ends at {}, before {} bytes at {}", path_, data.size(), out.size(), offset);
    }
    data.read(offset, out);
    return {};
  }

  Result<> write(std::span<const WriteOp> ops, Sync sync) override {
    const Watch watch(Watch::Of::harness);
    std::vector<std::size_t> order(ops.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[disk_.dice().below(i)]);
    for (std::size_t i : order) TRY(write_op(ops[i]));
    if (sync == Sync::yes) return datasync();
    return step('w', 0);
  }

  Result<> datasync() override {
    const Watch watch(Watch::Of::harness);
    std::uint64_t end = node_->next_write;
    TRY(step('s', end));
    if (disk_.faults.sync_latency_max > Duration{}) {
      std::uint64_t ns = disk_.dice().below(static_cast<std::uint64_t>(disk_.faults.sync_latency_max.count()));
      incarnation_->executor().sleep_for(Duration(ns));
      TRY(step('s', end));
    }
    if (disk_.dice().per_million(disk_.faults.sync_error_per_million)) {
      disk_.counts().add(Fault::kDiskSyncError);
      incarnation_->failed('s', target());
      disk_.fail_sync(*node_, end);
    } else {
      disk_.sync(*node_, end);
    }
    bool failed = failed_syncs_heard_ != node_->failed_syncs;
    failed_syncs_heard_ = node_->failed_syncs;
    TRY(step('s', 0));
    if (failed) return fail(Code::kIo, "{}: fdatasync: injected error", path_);
    return {};
  }

  Result<std::uint64_t> size() override {
    const Watch watch(Watch::Of::harness);
    TRY(step('z', 0));
    return node_->cached.size();
  }

  Result<> allocate(std::uint64_t size) override {
    const Watch watch(Watch::Of::harness);
    TRY(step('a', size));
    TRY(check_writable(size));
    if (full_for_a_moment() || !disk_.grow(*node_, size)) return no_space('a');
    return step('a', 0);
  }

  // No step: nothing in a process depends on it.
  void drop_cached(std::uint64_t offset, std::uint64_t size) override {
    const Watch watch(Watch::Of::harness);
    if (incarnation_->alive()) disk_.drop_cached(*node_, offset, size);
  }

  Result<io::FileIdentity> identity() override {
    const Watch watch(Watch::Of::harness);
    TRY(step('i', 0));
    return io::FileIdentity{disk_.device(), node_->inode};
  }

  Result<> lock() override {
    const Watch watch(Watch::Of::harness);
    TRY(step('l', 0));
    bool held = node_->lock_file != nullptr && node_->lock_owner->alive();
    if (held && node_->lock_file != this) return fail(Code::kExists, "{}: locked by another", path_);
    node_->lock_file = this;
    node_->lock_owner = incarnation_;
    return {};
  }

 private:
  Result<> step(char kind, std::uint64_t number) {
    return incarnation_->step(step_id(kind, number ^ node_->inode << 40), target());
  }
  [[nodiscard]] std::string_view target() const { return file_target(path_); }
  Result<> check_writable(std::uint64_t end) const {
    if (!writable_) return fail(Code::kIo, "{}: not open for writing", path_);
    if (disk_.faults.read_only) return fail(Code::kDenied, "{}: read-only file system", path_);
    if (end > kFileSizeMax) return fail(Code::kIo, "{}: file too large", path_);
    return {};
  }
  bool full_for_a_moment() { return disk_.dice().per_million(disk_.faults.full_per_million); }
  Result<> no_space(char kind) {
    disk_.counts().add(Fault::kDiskFull);
    incarnation_->failed(kind, target());
    return fail(Code::kNoSpace, "{}: no space left on device", path_);
  }

  Result<> write_op(const WriteOp& op) {
    Bytes data;
    for (ByteView part : op.parts) append(data, part);
    TRY(check_writable(op.offset > kFileSizeMax ? op.offset : op.offset + data.size()));
    std::uint64_t offset = op.offset;
    ByteView rest = data;
    if (data.size() > 4096 && disk_.dice().percent(25)) {
      std::size_t head = 512 * (1 + disk_.dice().below((data.size() - 1) / 512));
      TRY(write_piece(offset, rest.first(head)));
      offset += head;
      rest = rest.subspan(head);
    }
    return write_piece(offset, rest);
  }

  Result<> write_piece(std::uint64_t offset, ByteView data) {
    TRY(step('w', offset * 31 ^ hash_of_end(data)));
    if (disk_.dice().per_million(disk_.faults.write_error_per_million)) {
      disk_.counts().add(Fault::kDiskWriteError);
      incarnation_->failed('w', target());
      // What fits before the error is written.
      [[maybe_unused]] bool some = disk_.write(*node_, offset, data.first(disk_.dice().below(data.size() + 1)));
      return fail(Code::kIo, "{}: write: injected error", path_);
    }
    if (full_for_a_moment() || !disk_.write(*node_, offset, data)) return no_space('w');
    return {};
  }

  SimDisk& disk_;
  const std::shared_ptr<Incarnation> incarnation_;
  const std::shared_ptr<Node> node_;
  const std::string path_;
  const bool writable_;
  std::uint64_t failed_syncs_heard_;
};

}  // namespace

Result<> SimFileIo::step(char kind, const std::string& path) {
  return incarnation_->step(step_id(kind, hash_of(as_bytes(path))), file_target(path));
}

Result<std::shared_ptr<Node>> SimFileIo::find_directory(const std::string& path) const {
  std::shared_ptr<Node> node = TRY(disk_.find(path));
  if (!node->is_directory) return fail(Code::kBadArgument, "{}: not a directory", path);
  return node;
}

Result<std::unique_ptr<io::File>> SimFileIo::open(const std::string& path, io::OpenMode mode) {
  const Watch watch(Watch::Of::harness);
  TRY(step('O', path));
  bool may_make = mode == io::OpenMode::create_new || mode == io::OpenMode::create_or_open;
  Result<std::shared_ptr<Node>> node = disk_.find(path);
  if (node && mode == io::OpenMode::create_new) return fail(Code::kExists, "{}: exists", path);
  if (is(node, Code::kNotFound) && may_make) {
    node = disk_.make(TRY(disk_.place(path)), false);
    TRY(step('O', path));
  }
  if (!node) return fail(node.error());
  if ((*node)->is_directory) return fail(Code::kBadArgument, "{}: is a directory", path);
  return std::make_unique<SimFile>(disk_, incarnation_, *node, path, mode != io::OpenMode::read_only);
}

Result<> SimFileIo::link(const std::string& from, const std::string& to) {
  const Watch watch(Watch::Of::harness);
  TRY(step('L', to));
  std::shared_ptr<Node> node = TRY(disk_.find(from));
  if (node->is_directory) return fail(Code::kDenied, "{}: is a directory", from);
  SimDisk::Place place = TRY(disk_.place(to));
  if (place.directory->entries.contains(place.name)) return fail(Code::kExists, "{}: exists", to);
  disk_.set_name(place, std::move(node));
  return step('L', to);
}

Result<> SimFileIo::remove(const std::string& path) {
  const Watch watch(Watch::Of::harness);
  TRY(step('R', path));
  std::shared_ptr<Node> node = TRY(disk_.find(path));
  if (!node->entries.empty()) return fail(Code::kBadArgument, "{}: directory not empty", path);
  disk_.set_name(TRY(disk_.place(path)), nullptr);
  return step('R', path);
}

Result<> SimFileIo::make_directories(const std::string& path) {
  const Watch watch(Watch::Of::harness);
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    std::string above = path.substr(0, end);
    TRY(step('M', above));
    Result<std::shared_ptr<Node>> node = disk_.find(above);
    if (is(node, Code::kNotFound)) {
      SimDisk::Place place = TRY(disk_.place(above));
      node = disk_.make(place, true);
      TRY(step('M', above));
      disk_.sync_names(*place.directory);
      TRY(step('M', above));
    }
    if (!node) return fail(node.error());
    if (!(*node)->is_directory) return fail(Code::kBadArgument, "{}: not a directory", above);
    if (end == std::string::npos) return {};
  }
}

Result<> SimFileIo::sync_directory(const std::string& path) {
  const Watch watch(Watch::Of::harness);
  TRY(step('D', path));
  std::shared_ptr<Node> node = TRY(find_directory(path));
  if (disk_.dice().per_million(disk_.faults.directory_sync_error_per_million)) {
    disk_.counts().add(Fault::kDiskDirectorySyncError);
    incarnation_->failed('D', file_target(path));
    return fail(Code::kIo, "{}: fsync: injected error", path);
  }
  disk_.sync_names(*node);
  return step('D', path);
}

Result<std::vector<io::DirectoryEntry>> SimFileIo::list(const std::string& path) {
  const Watch watch(Watch::Of::harness);
  TRY(step('T', path));
  std::shared_ptr<Node> node = TRY(find_directory(path));
  std::vector<io::DirectoryEntry> entries;
  for (const auto& [name, entry] : node->entries) entries.push_back({name, entry->is_directory});
  return entries;
}

Result<io::FileIdentity> SimFileIo::identity(const std::string& path) {
  const Watch watch(Watch::Of::harness);
  TRY(step('I', path));
  std::shared_ptr<Node> node = TRY(disk_.find(path));
  return io::FileIdentity{disk_.device(), node->inode};
}

Result<std::uint64_t> SimFileIo::free_bytes(const std::string& path) {
  const Watch watch(Watch::Of::harness);
  TRY(step('F', path));
  TRY(disk_.find(path));
  return disk_.faults.capacity - std::min(disk_.faults.capacity, disk_.used_bytes());
}

}  // namespace s3crate::sim
