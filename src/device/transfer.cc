// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/transfer.h"

#include <algorithm>
#include <cstring>

#include "device/in_order.h"

namespace s3crate::device {
namespace {

tl::unexpected<Error> stopped() { return fail(Code::kCancelled, "stopped"); }

struct Piece {
  std::uint64_t offset = 0;
  Bytes disk;   // as long as the piece
  Bytes image;  // of a comparison
  ViewReader::Piece read;
  std::vector<ByteRange> different;
};

// What of `range` lies in [from, to).
ByteRange part_of(const ByteRange& range, std::uint64_t from, std::uint64_t to) {
  const std::uint64_t begin = std::max(range.offset, from), end = std::min(range.offset + range.length, to);
  return {begin, end - std::min(begin, end)};
}

class Export {
 public:
  Export(ViewReader& reader, ImageSink& sink, OnDamage on_damage, const TransferOptions& options)
      : reader_(reader), sink_(sink), on_damage_(on_damage), options_(options) {
    report_.disk_bytes = reader.size();
  }

  Result<ExportReport> run(Env env) {
    TRY(in_order<Piece>(env.executor, options_.workers,
                        {[this] { return next(); }, [this](Piece& piece) { return read(piece); },
                         [this](Piece& piece) { return write(piece); }}));
    TRY(zeros_up_to(reader_.size()));
    return std::move(report_);
  }

 private:
  Result<std::optional<Piece>> next() {
    if (is_set(options_.stop)) return stopped();
    const std::uint64_t at = TRY(reader_.next_data(at_));
    if (at >= reader_.size()) return std::nullopt;
    const std::uint64_t end = std::min(reader_.size(), (at / options_.piece_bytes + 1) * options_.piece_bytes);
    at_ = end;
    Piece piece;
    piece.offset = at;
    piece.disk.resize(end - at);
    return piece;
  }

  Result<> read(Piece& piece) {
    piece.read = TRY(reader_.read(piece.offset, piece.disk));
    return {};
  }

  Result<> write(const Piece& piece) {
    if (is_set(options_.stop)) return stopped();
    const auto& damaged = piece.read.damaged;
    if (!damaged.empty() && report_.why.empty()) report_.why = piece.read.why;
    if (!damaged.empty() && on_damage_ == OnDamage::stop)
      return fail(Code::kCorrupt, "{} bytes at {} cannot be read ({})", damaged[0].length, damaged[0].offset, piece.read.why);
    for (const ByteRange& range : damaged) report_.damaged.add(range, options_.ranges_max);
    for (const ByteRange& range : piece.read.data) {
      TRY(zeros_up_to(range.offset));
      TRY(sink_.data(range.offset, ByteView(piece.disk).subspan(range.offset - piece.offset, range.length)));
      written_ = range.offset + range.length;
      report_.data_bytes += range.length;
    }
    if (options_.progress) options_.progress({piece.offset + piece.disk.size(), reader_.size(), report_.data_bytes});
    return {};
  }

  Result<> zeros_up_to(std::uint64_t end) {
    if (written_ < end) TRY(sink_.zeros(written_, end - written_));
    written_ = end;
    return {};
  }

  ViewReader& reader_;
  ImageSink& sink_;
  const OnDamage on_damage_;
  const TransferOptions& options_;
  std::uint64_t at_ = 0;       // of next() alone
  std::uint64_t written_ = 0;  // of write() alone, as is the report
  ExportReport report_;
};

class Compare {
 public:
  Compare(ViewReader& reader, ImageSource& image, const TransferOptions& options)
      : reader_(reader), image_(image), options_(options), end_(std::max(reader.size(), image.size())) {
    report_.disk_bytes = reader.size();
    report_.image_bytes = image.size();
  }

  Result<CompareReport> run(Env env) {
    TRY(in_order<Piece>(env.executor, options_.workers,
                        {[this] { return next(); }, [this](Piece& piece) { return read(piece); },
                         [this](const Piece& piece) { return note(piece); }}));
    return std::move(report_);
  }

 private:
  Result<std::optional<Piece>> next() {
    if (is_set(options_.stop)) return stopped();
    const std::uint64_t of_disk = at_ < reader_.size() ? TRY(reader_.next_data(at_)) : end_;
    const std::uint64_t of_image = at_ < image_.size() ? TRY(image_.next_data(at_)) : end_;
    // Neither of them says more than its own end.
    std::uint64_t at = std::min(of_disk < reader_.size() ? of_disk : end_, of_image < image_.size() ? of_image : end_);
    if (at >= end_) return std::nullopt;
    at -= at % reader_.block_size();
    Piece piece;
    piece.offset = at;
    at_ = std::min((at / options_.piece_bytes + 1) * options_.piece_bytes, end_);
    const std::uint64_t bs = reader_.block_size();
    piece.disk.resize((at_ - at + bs - 1) / bs * bs);
    piece.image.resize(piece.disk.size());
    return piece;
  }

  Result<> read(Piece& piece) {
    const ByteRange all{piece.offset, piece.disk.size()};
    const auto disk = part_of(all, 0, reader_.size()), image = part_of(all, 0, image_.size());
    if (disk.length > 0) piece.read = TRY(reader_.read(disk.offset, MutableByteView(piece.disk).first(disk.length)));
    if (image.length > 0) TRY(image_.read(image.offset, MutableByteView(piece.image).first(image.length)));
    std::uint64_t at = 0;
    const auto compare_up_to = [&](std::uint64_t end) {
      for (const std::uint64_t bs = reader_.block_size(); at < end; at += bs)
        if (std::memcmp(piece.disk.data() + at, piece.image.data() + at, bs) != 0)
          add_range(piece.different, piece.offset + at, bs);
    };
    for (const ByteRange& range : piece.read.damaged) {
      compare_up_to(range.offset - piece.offset);
      at = range.offset + range.length - piece.offset;
    }
    compare_up_to(piece.disk.size());
    return {};
  }

  Result<> note(const Piece& piece) {
    if (!piece.read.damaged.empty() && report_.why.empty()) report_.why = piece.read.why;
    for (const ByteRange& range : piece.read.damaged) report_.damaged.add(range, options_.ranges_max);
    for (const ByteRange& range : piece.different) report_.different.add(part_of(range, 0, end_), options_.ranges_max);
    bytes_ += piece.disk.size();
    if (options_.progress) options_.progress({std::min(end_, piece.offset + piece.disk.size()), end_, bytes_});
    return {};
  }

  ViewReader& reader_;
  ImageSource& image_;
  const TransferOptions& options_;
  const std::uint64_t end_;
  std::uint64_t at_ = 0;     // of next() alone
  std::uint64_t bytes_ = 0;  // of note() alone, as is the report
  CompareReport report_;
};

}  // namespace

void RangeList::add(const ByteRange& range, std::size_t max) {
  bytes += range.length;
  if (ranges.size() < max || (!ranges.empty() && ranges.back().offset + ranges.back().length == range.offset))
    add_range(ranges, range.offset, range.length);
  else
    complete = false;
}

Result<ExportReport> export_view(Env env, ViewReader& reader, ImageSink& sink, OnDamage on_damage, const TransferOptions& options) {
  return Export(reader, sink, on_damage, options).run(env);
}

Result<CompareReport> compare_view(Env env, ViewReader& reader, ImageSource& image, const TransferOptions& options) {
  return Compare(reader, image, options).run(env);
}

}  // namespace s3crate::device
