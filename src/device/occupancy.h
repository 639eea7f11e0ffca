// SPDX-License-Identifier: GPL-3.0-or-later
// Where a head has data, and how much: for SEEK_DATA, SEEK_HOLE and st_blocks, on disks and maps of any size.
#pragma once

#include "device/head.h"

namespace s3crate::device {

// As Readable::seek, below `end_bytes`.
[[nodiscard]] Result<std::uint64_t> seek_in(Head& head, volume::PageLoader& pages, std::uint64_t offset, std::uint64_t end_bytes, bool hole);
// As Readable::allocated_bytes.
[[nodiscard]] Result<std::uint64_t> count_allocated(Executor& executor, Head& head, volume::PageLoader& pages);

}  // namespace s3crate::device
