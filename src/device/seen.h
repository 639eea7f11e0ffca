// SPDX-License-Identifier: GPL-3.0-or-later
// Seen: the newest generation that this machine ever saw of a volume, with its hash, in a small local file: so that a store that
// shows an older state, or another commit under a number, is noticed. s3crate-blk-format(5), "Local state".
//
// Two sectors, written in turn; the higher valid one counts. Losing the file loses the notice, never data.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "io/file_io.h"
#include "volume/commit.h"

namespace s3crate::device {

class Seen {
 public:
  // What the file says, if it is there.
  [[nodiscard]] static Result<std::optional<volume::CommitRef>> look(io::FileIo& files, const std::string& path,
                                                                     const segment::Vid& vid);
  // Opens or makes the file.
  [[nodiscard]] static Result<std::unique_ptr<Seen>> open(io::FileIo& files, const std::string& path, const segment::Vid& vid);
  [[nodiscard]] const std::optional<volume::CommitRef>& newest() const { return newest_; }
  [[nodiscard]] Result<> note(const volume::CommitRef& ref, io::Sync sync);

 private:
  Seen(std::unique_ptr<io::File> file, const segment::Vid& vid) : file_(std::move(file)), vid_(vid) {}
  [[nodiscard]] Result<> read();
  std::unique_ptr<io::File> file_;
  const segment::Vid vid_;
  std::uint64_t version_ = 0;
  std::optional<volume::CommitRef> newest_;
};

}  // namespace s3crate::device
