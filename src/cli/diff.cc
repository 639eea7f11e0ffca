// SPDX-License-Identifier: GPL-3.0-or-later
// diff: which bytes of the disk have changed between two generations, from their maps alone.
#include <cstdio>

#include "base/time_text.h"
#include "cli/transfer.h"
#include "volume/map_diff.h"

namespace s3crate::cli {
namespace {

// Ranges are printed as they are found: there may be more of them than memory has room for. After an error the list is not closed,
// so that nobody takes it for the whole.
class RangePrinter {
 public:
  RangePrinter(const Output& out, device::StopFlag stop) : out_(out), stop_(stop) {}
  Result<> add(std::uint64_t offset, std::uint64_t length) {
    if (device::is_set(stop_)) return fail(Code::kCancelled, "stopped");
    ++count_;
    bytes_ += length;
    const auto line = out_.json() ? fmt::format("{}  [{}, {}]", count_ == 1 ? "[\n" : ",\n", offset, length) : fmt::format("{} {}\n", offset, length);
    if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size()) return fail(Code::kIo, "cannot write to standard output");
    return {};
  }
  void end() const {
    if (!out_.json()) return;
    std::fputs(count_ == 0 ? "[]\n" : "\n]\n", stdout);
    std::fflush(stdout);
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  const Output& out_;
  const device::StopFlag stop_;
  std::uint64_t count_ = 0, bytes_ = 0;
};

}  // namespace

CommandResult run_diff(Context& context) {
  const auto& positionals = context.arguments.positionals();
  const Url other = TRY(parse_url(positionals.at(1)));
  const auto transfer = TRY(Transfer::open(context, positionals.at(0), "diff"));
  if (other.text() != transfer->url().text())
    return fail(Code::kBadArgument, "{} and {} are two places: diff is about two generations of one volume (export and compare are not)",
                transfer->url().text(), other.text());
  volume::Volume& volume = transfer->volume();
  const auto view_at = [&](const std::string& point) -> Result<volume::View> {
    return volume.load_view(TRY(transfer->commit_at(point)));
  };
  const auto a = view_at(transfer->url().point);
  if (!a) return fail(transfer->explain(a.error()));
  const auto b = view_at(other.point);
  if (!b) return fail(transfer->explain(b.error()));

  RangePrinter printer(context.out, transfer->stop());
  const std::uint64_t bs = volume.object().block_size();
  const auto done = volume::map_diff(volume.pages(), *a, *b, volume.object().block_size(), [&](BlockIndex from, BlockIndex to) {
    return printer.add(from.value * bs, (to - from) * bs);
  });
  if (!done) return fail(transfer->explain(done.error()));
  printer.end();
  context.out.print(fmt::format("generations {} and {} of {}: {} in {} ranges have changed (offset and length above)", a->generation, b->generation,
                                transfer->url().text(), format_bytes(printer.bytes()), printer.count()));
  if (a->disk_bytes != b->disk_bytes)
    context.out.print(fmt::format("the disk had {} bytes in one and {} in the other: what is behind an end counts as a hole", a->disk_bytes, b->disk_bytes));
  return kDone;
}

}  // namespace s3crate::cli
