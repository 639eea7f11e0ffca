// SPDX-License-Identifier: GPL-3.0-or-later
// JournalWorld: a journal on a simulated disk, through many lives of its process, beside a plain
// model of what it was given.
//
// The model: each batch carries a stamp of its own and that of the batch before it. Acknowledged is
// what a sync covered or a replay handed out; committed is what the store is said to have. After
// every crash replay must hand out a prefix that is at least what was acknowledged, each batch one
// that was appended, each the successor of the one before, byte for byte.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "crypto/crypto.h"
#include "journal/journal.h"
#include "tests/sim/sim_file_io.h"

namespace s3crate::sim {

struct JournalOptions {
  std::uint32_t slot_bytes = 32 << 10;
  std::uint32_t slots = 12;
};

// SimFileIo, watched: fails the next syncs when told to, and remembers what was written.
class WatchedFiles final : public io::FileIo {
 public:
  struct Write {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;        // up to the last sector that is not zeros
    std::uint64_t zeros = 0;         // behind those
    std::uint64_t syncs_before = 0;  // successful ones
  };
  WatchedFiles(SimDisk& disk, std::shared_ptr<Incarnation> incarnation)
      : disk_(disk), files_(disk, std::move(incarnation)) {}

  Result<std::unique_ptr<io::File>> open(const std::string& path, io::OpenMode mode) override;
  Result<> link(const std::string& from, const std::string& to) override {
    return files_.link(from, to);
  }
  Result<> remove(const std::string& path) override { return files_.remove(path); }
  Result<> make_directories(const std::string& path) override {
    return files_.make_directories(path);
  }
  Result<> sync_directory(const std::string& path) override { return files_.sync_directory(path); }
  Result<std::vector<io::DirectoryEntry>> list(const std::string& path) override {
    return files_.list(path);
  }
  Result<io::FileIdentity> identity(const std::string& path) override {
    return files_.identity(path);
  }
  Result<std::uint64_t> free_bytes(const std::string& path) override {
    return files_.free_bytes(path);
  }

  int syncs_to_fail = 0;
  int writes_to_fail = 0;
  bool failing_writes_write = false;  // all of it; else nothing
  Code write_error = Code::kIo;
  std::uint64_t syncs = 0;
  std::vector<Write> writes;

 private:
  friend class WatchedFile;
  SimDisk& disk_;
  SimFileIo files_;
};

class JournalWorld {
 public:
  struct Batch {
    std::uint64_t stamp = 0;
    journal::RecordBody body;
    std::vector<Bytes> extents;
  };
  struct Held {
    Seq seq;
    Batch batch;
    journal::RecordPtr record;
  };

  explicit JournalWorld(std::uint64_t seed, JournalOptions options = {});

  // A life: what `live` does with the journal, then the process ends. False if it was over before
  // or recovery failed (but never because of something that a fault does not excuse: that is a test
  // failure).
  bool life(const std::function<void()>& live);
  void power_cut();
  // In step number `steps_from_now`.
  void crash_at(std::uint64_t steps_from_now, bool power);

  Batch make_batch(std::uint32_t extents_max, std::uint32_t extent_bytes_max);
  static Result<journal::RecordPtr> append_to(journal::Journal& journal, Seq seq,
                                              const Batch& batch);
  // Each keeps the model right, and the record of what is appended in `held`.
  Result<> append(const Batch& batch);
  Result<> append() { return append(make_batch(4, 6000)); }
  Result<> append_many(int count);
  Result<> sync();
  void release(Seq through);
  // Reads back every held record.
  void check_held();
  void check_held(const Held& held);

  // What recovery may answer when `faults_excuse`, by code.
  [[nodiscard]] bool excused(const Error& error) const;
  Result<> recover(journal::Journal& journal);

  Result<std::unique_ptr<journal::Journal>> open(io::FileIo& files);
  [[nodiscard]] journal::Options options() const;
  [[nodiscard]] Node& file() { return **disk.find("/state/journal"); }

  const JournalOptions tunables;
  FaultCounts counts;
  Dice dice;
  SimExecutor executor;
  SimDisk disk;
  Steps steps;
  SimRandom random;
  std::shared_ptr<Incarnation> incarnation;
  std::unique_ptr<WatchedFiles> files;
  std::unique_ptr<journal::Journal> journal;
  crypto::BoxKeyPair keys;
  segment::Vid vid{};
  std::uint8_t boot = 1;

  bool created = false;  // durably
  bool damaged = false;  // extents that read wrong are those whose digest says so
  Seq committed;
  Seq acknowledged;
  Seq appended;
  std::uint64_t last_stamp = 0;                                      // of the batch `appended`
  std::map<std::uint64_t, std::map<std::uint64_t, Batch>> attempts;  // seq, stamp
  std::vector<Held> held;
  std::uint64_t replays = 0, replayed_batches = 0;

 private:
  bool power_cut_due_ = false;
};

}  // namespace s3crate::sim
