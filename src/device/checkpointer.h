// SPDX-License-Identifier: GPL-3.0-or-later
// The checkpointer: lays the committed changes over the trees, puts the new pages, and commits their roots.
//
// A checkpoint has two numbers: as-of P, the generation whose state it holds, and its own commit C > P. Changes of P and before
// then live in the trees; those after P stay in memory. Reads never notice: the changes stay readable until the new roots stand.
#pragma once

#include "device/lay.h"
#include "device/uploader.h"

namespace s3crate::device {

struct CheckpointerOptions {
  std::uint64_t runs = 100'000;    // committed changes that make one due
  std::uint32_t commits = 1024;    // or commits with changes since the last
  std::uint32_t page_bytes = 64 << 10;
  std::uint64_t delta_runs_max = 400'000;
  std::uint64_t bytes = 64 << 20;  // what the changes since the last take in commits, that makes one due
};

// What the newest checkpoint holds beside the map.
struct CheckpointState {
  volume::Companions companions;
  volume::CheckpointRef ref;
  std::optional<volume::CheckpointMark> mark = {};  // of one that this mount has found
};

class Checkpointer {
 public:
  // All outlive it.
  Checkpointer(Env env, Head& head, volume::Volume& volume, volume::Chain& chain, volume::ObjectTable& objects,
               CheckpointState state, Uploader& uploader, const CheckpointerOptions& options,
               std::function<void(const Error&)> trouble);
  ~Checkpointer();
  void start();
  void join();  // of its task; the head must be stopped before, and the chain if the store is away
  // Waits for one that holds all that is committed: the first since the start will do. Its error, if it fails; kCancelled by `stop`.
  [[nodiscard]] Result<> make_one(StopFlag stop);
  // Finishes the checkpoint that is under way, if any, and makes no more.
  void end();

  // Makes the map of an older generation, `past`, that of the disk: see rollback.cc. Everything acknowledged is stored, and nobody
  // writes. Answers the generation that is it. kExists: somebody writes; kCorrupt: its map is damaged.
  [[nodiscard]] Result<Generation> roll_back(const volume::View& past, StopFlag stop);

 private:
  struct Rollback {
    const volume::View& past;
    StopFlag stop;
    bool served = false;  // it is the task's until `done`
    std::optional<Result<Generation>> done = {};
  };
  [[nodiscard]] Result<Laid> lay(const volume::MaybeRoot& base, std::span<const volume::Run> runs, volume::Companions companions,
                                 const Head::Changes& changes, Generation deaths_in);
  [[nodiscard]] volume::CommitBody body_of(const Laid& laid, Generation as_of, const std::optional<volume::MapState>& state);
  [[nodiscard]] std::vector<segment::ObjectInfo> stored(Laid laid, const volume::CommitRef& ref, Generation as_of);
  // Whether a rollback was asked for, and done in place of a checkpoint.
  [[nodiscard]] bool serve_rollback(const Head::Changes& changes);
  [[nodiscard]] Result<Generation> store_rollback(const Head::Changes& changes, const Rollback& rollback);
  [[nodiscard]] Result<segment::ObjectInfo> put_rollback_segment(const volume::View& past, const PlaceContext& context);
  void run();
  void make_checkpoints();
  void note(const Result<>& stored);
  [[nodiscard]] bool wait_until_due();
  [[nodiscard]] bool due() REQUIRES(head_.mutex());
  [[nodiscard]] Result<> store(const Head::Changes& changes);
  [[nodiscard]] Result<> check_carried(std::size_t runs, std::size_t rows);
  [[nodiscard]] Result<> pause(Duration how_long);
  [[nodiscard]] bool stopped();

  Env env_;
  Head& head_;
  volume::Volume& volume_;
  volume::Chain& chain_;
  volume::ObjectTable& objects_;
  CheckpointState state_;  // the task's alone
  Uploader& uploader_;
  const CheckpointerOptions options_;
  const std::function<void(const Error&)> trouble_;
  std::atomic<bool> ended_{false};
  Rollback* rollback_ GUARDED_BY(head_.mutex()) = nullptr;  // that somebody waits for
  bool over_ GUARDED_BY(head_.mutex()) = false;             // the task serves nobody any more
  bool wanted_ GUARDED_BY(head_.mutex()) = false;
  std::optional<Result<>> last_ GUARDED_BY(head_.mutex());  // how the last try ended
  std::unique_ptr<Task> task_;
};

}  // namespace s3crate::device
