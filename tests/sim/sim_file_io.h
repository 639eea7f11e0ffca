// SPDX-License-Identifier: GPL-3.0-or-later
// SimFileIo: the FileIo edge of one incarnation on a SimDisk. See sim_disk.h for what survives what.
//
// Before and after every effect there is a step: a crash may fall before it, or between it and the reply. The ops of
// one write are applied in any order, and a long one possibly in two steps.
#pragma once

#include "io/file_io.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_incarnation.h"

namespace s3crate::sim {

class SimFileIo final : public io::FileIo {
 public:
  SimFileIo(SimDisk& disk, std::shared_ptr<Incarnation> incarnation)
      : disk_(disk), incarnation_(std::move(incarnation)) {}

  Result<std::unique_ptr<io::File>> open(const std::string& path, io::OpenMode mode) override;
  Result<> link(const std::string& from, const std::string& to) override;
  Result<> remove(const std::string& path) override;
  Result<> make_directories(const std::string& path) override;
  Result<> sync_directory(const std::string& path) override;
  Result<std::vector<io::DirectoryEntry>> list(const std::string& path) override;
  Result<io::FileIdentity> identity(const std::string& path) override;
  Result<std::uint64_t> free_bytes(const std::string& path) override;

 private:
  Result<> step(char kind, const std::string& path);
  Result<std::shared_ptr<Node>> find_directory(const std::string& path) const;

  SimDisk& disk_;
  const std::shared_ptr<Incarnation> incarnation_;
};

}  // namespace s3crate::sim
