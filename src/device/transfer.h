// SPDX-License-Identifier: GPL-3.0-or-later
// A generation of a disk out of the volume, and an image held against one. The way in is device/import.h.
//
// Pieces of the disk are read side by side, and handed on in order. What is hole is never looked at, however large.
#pragma once

#include <functional>

#include "device/stop_flag.h"
#include "device/view_reader.h"

namespace s3crate::device {

struct TransferProgress {
  std::uint64_t done = 0, total = 0;  // of the disk, in bytes
  std::uint64_t bytes = 0;            // moved, read or held against each other so far
};

struct TransferOptions {
  std::uint64_t piece_bytes = 4 << 20;  // a multiple of the block size
  std::size_t workers = 12;
  StopFlag stop = nullptr;
  std::function<void(const TransferProgress&)> progress;  // one call at a time
  std::size_t ranges_max = 1 << 20;     // of each list in a report
};

// Where an image goes. Calls come one at a time, in order, and tile the disk.
class ImageSink {
 public:
  virtual ~ImageSink() = default;
  [[nodiscard]] virtual Result<> data(std::uint64_t offset, ByteView bytes) = 0;
  [[nodiscard]] virtual Result<> zeros(std::uint64_t offset, std::uint64_t length) = 0;
};

// Where an image comes from. Thread-safe.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  // kIo if it has become shorter.
  [[nodiscard]] virtual Result<> read(std::uint64_t offset, MutableByteView out) = 0;
  // The first byte at or behind `offset` that may be data; size(): none.
  [[nodiscard]] virtual Result<std::uint64_t> next_data(std::uint64_t offset) = 0;
  // Whether it is what it was when it was opened, as far as can be told.
  [[nodiscard]] virtual Result<bool> unchanged() = 0;
};

// Ranges in order; of more than so many, `complete` is false.
struct RangeList {
  std::vector<ByteRange> ranges;
  std::uint64_t bytes = 0;
  bool complete = true;
  void add(const ByteRange& range, std::size_t max);
};

enum class OnDamage { go_on, stop };

struct ExportReport {
  std::uint64_t disk_bytes = 0, data_bytes = 0;
  RangeList damaged;  // written as zeros
  std::string why;    // of the first of them
};
// OnDamage::stop: kCorrupt at the first block that cannot be read, before anything of its piece is written.
[[nodiscard]] Result<ExportReport> export_view(Env env, ViewReader& reader, ImageSink& sink, OnDamage on_damage,
                                               const TransferOptions& options);

struct CompareReport {
  std::uint64_t disk_bytes = 0, image_bytes = 0;
  RangeList different, damaged;  // blocks; beyond the end of the shorter one are zeros
  std::string why;
  [[nodiscard]] bool same() const { return different.bytes == 0 && damaged.bytes == 0; }
};
[[nodiscard]] Result<CompareReport> compare_view(Env env, ViewReader& reader, ImageSource& image, const TransferOptions& options);

}  // namespace s3crate::device
