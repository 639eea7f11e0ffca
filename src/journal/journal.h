// SPDX-License-Identifier: GPL-3.0-or-later
// The local write-ahead log: makes acknowledged batches durable before the store has them.
//
// - append() writes a batch's record, sync() makes all appended ones durable (one fdatasync for all who wait).
// - A record's bytes stay in memory until a *successful* fdatasync covers them; after a failed one the slot is abandoned and
//   all records not yet durable are written once more into a fresh slot; if that fails as well sync() fails, and stays
//   able to try again with the next call.
// - A sector that holds a synced record is never rewritten: records start on fresh sectors, slots are reused only when all
//   their records are released and no reader holds one, and then under a new slot sequence.
// - Replay goes through the incarnations in order, each up to its first break. A break before a batch that a later
//   record of the same incarnation calls durable is damage (kCorrupt), never a silent truncation.
// Threading: open, replay, note_intent and start_incarnation come first, one at a time; from then on all calls are thread-safe. append() calls must come in order of seq, without a gap, one at a time. No call waits for the store.
// Lock order: the journal's mu_, then a record's own; no lock is held across I/O.
// A RecordPtr keeps the file open (and so locked); those that a failed replay handed out must be gone before another.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/executor.h"
#include "io/file_io.h"
#include "journal/format.h"

namespace s3crate::journal {

class Journal;

// One appended batch. Whoever holds it can read its extents; its slot is not reused meanwhile.
class Record;
using RecordPtr = std::shared_ptr<const Record>;
using SharedBytes = std::shared_ptr<const Bytes>;

struct Options {
  std::string path;                       // of the journal file
  std::uint64_t file_bytes = 1ull << 30;  // bound of the file, superblocks included
  std::uint32_t slot_bytes = 8 << 20;     // of a new journal; an old one keeps its own
  std::uint32_t block_size = 4096;        // of the volume
  Uuid boot{};                            // of this boot of the machine; zeros: unknown
  Hash home{};                            // goes into every superblock written from now on; zeros: what it says stays
  std::string url;                        // goes with it
};
inline constexpr std::uint32_t kSlotBytesMin = 16 << 10;  // a power of two
inline constexpr std::uint32_t kSlotBytesMax = 64 << 20;
inline constexpr std::uint64_t kFileBytesMax = 1ull << 44;
inline constexpr std::uint32_t kSlotsMin = 3;  // one being written, one held by readers, one to write again to

struct Stats {
  std::uint64_t appends = 0, append_bytes = 0, syncs = 0, failed_syncs = 0;
  std::uint64_t used_bytes = 0, capacity_bytes = 0;
};


class Journal {
 public:
  virtual ~Journal() = default;

  // kNotFound if there is none at the path; kCorrupt if neither superblock is valid; kExists if another process has it
  // locked. Takes the lock of the file; changes nothing else.
  [[nodiscard]] static Result<std::unique_ptr<Journal>> open(Env env, io::FileIo& files, const Options& options);
  // Makes a new, empty one under a fresh journal id; kExists if there is one. Durable, name included, when it returns.
  [[nodiscard]] static Result<std::unique_ptr<Journal>> create(Env env, io::FileIo& files, const Options& options,
                                                               const Vid& vid, const Hash& home);

  [[nodiscard]] virtual const Superblock& superblock() const = 0;
  // The file is not the one that the superblock was written in: another inode; or another device in the same boot (the
  // numbers of devices change from boot to boot). Until note_intent, which writes down the new ones.
  [[nodiscard]] virtual bool was_copied() const = 0;

  // Reads back every batch with seq > committed, in order. `open_key` unseals an incarnation's journal key (a box to the data
  // key of its ring). All that was handed out is durable (one fdatasync) when this returns. The callback's error ends it.
  struct Replayed {
    std::uint32_t incarnation = 0;
    Seq seq;
    RecordBody body;
    RecordPtr record;
  };
  using KeyOpener = std::function<Result<crypto::Secret>(std::uint32_t ring, const SealedSecret& sealed)>;
  [[nodiscard]] virtual Result<Seq> replay(Seq committed, const KeyOpener& open_key,
                                           const std::function<Result<>(Replayed)>& each) = 0;  // the last seq found, or committed
  // How many bytes of records with seq > committed there are, without their keys (from slot and record headers): for
  // messages.
  [[nodiscard]] virtual Result<std::uint64_t> pending_bytes(Seq committed) = 0;

  // Notes, durably, the epoch and instance that this process is about to claim. Before it wins `open`.
  [[nodiscard]] virtual Result<> note_intent(std::uint32_t epoch, const Uuid& instance, Generation base, const Hash& base_hash) = 0;
  // Starts a new incarnation whose first batch is next.value, durably, in a fresh slot; its key is sealed to `data_key`.
  // kNoSpace if kIncarnationsMax are still needed: bring the store up to date first, then release().
  [[nodiscard]] virtual Result<> start_incarnation(Seq next, std::uint32_t ring, const crypto::PublicKey& data_key) = 0;

  // Seals and writes the record of one batch; `extents` (null: none) holds the stored extents that body.extents describes, one
  // behind the other; it is kept until they are durable. The batch may be read at once, but is durable only after sync(). kNoSpace: the journal is full, release() something;
  // kTransient: the disk below is full; nothing was appended in either case.
  [[nodiscard]] virtual Result<RecordPtr> append(Seq seq, const RecordBody& body, SharedBytes extents) = 0;

  // Durable through at least what was appended before the call.
  [[nodiscard]] virtual Result<> sync() = 0;
  [[nodiscard]] virtual Seq durable_through() const = 0;
  [[nodiscard]] virtual std::uint64_t unsynced_bytes() const = 0;

  // Notes, durably, which commits this journal's writer has put. The superblock() that this process sees stays as it was.
  [[nodiscard]] virtual Result<> note_commits(const NotedCommits& noted) = 0;
  // Writes what nobody needs, and makes it durable: an error says that the disk below does not work now. What cannot be read meanwhile
  // is not known to be lost.
  [[nodiscard]] virtual Result<> probe() = 0;

  // Batches up to `through` are in the store. May take as long as the disk does.
  virtual void release(Seq through) = 0;
  [[nodiscard]] virtual Stats stats() const = 0;

  // Bytes that a body and its extents would take, to size batches: the most that append accepts is max_record_bytes().
  [[nodiscard]] virtual std::uint64_t max_record_bytes() const = 0;
};

class Record {
 public:
  virtual ~Record() = default;
  [[nodiscard]] virtual Seq seq() const = 0;
  // Reads part of the record's extents: from memory while not durable, else from the file. kCorrupt if it ends before; the
  // caller checks the digest.
  [[nodiscard]] virtual Result<> read_extent(std::uint32_t offset, MutableByteView out) const = 0;
};

}  // namespace s3crate::journal
