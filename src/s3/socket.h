// SPDX-License-Identifier: GPL-3.0-or-later
// What a connection asks of its TCP socket beside what curl does. Where the kernel does not know
// something, it is left out.
#pragma once

#include <optional>

#include "s3/pacer.h"

namespace s3crate::s3 {

// So much may wait in the kernel before it is sent.
void limit_unsent(int socket, int bytes);

[[nodiscard]] std::optional<LineSample> sample_line(int socket);

// What close() says.
int close_socket(int socket);

// It sends no more than this in a second; 0: as much as TCP likes.
void set_pace(int socket, std::uint64_t bytes_per_second);

}  // namespace s3crate::s3
