// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/socket.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>

namespace s3crate::s3 {

void limit_unsent(int socket, int bytes) {
  static_cast<void>(setsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes));
}

std::optional<LineSample> sample_line(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  // An older kernel knows less of it.
  constexpr std::size_t kNeeded = offsetof(tcp_info, tcpi_delivered) + sizeof info.tcpi_delivered;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || size < kNeeded) return {};
  return LineSample{.rtt = std::chrono::microseconds(info.tcpi_rtt),
                    .rtt_min = std::chrono::microseconds(info.tcpi_min_rtt),
                    .delivered = std::uint64_t{info.tcpi_delivered} * info.tcpi_snd_mss,
                    .unsent = info.tcpi_notsent_bytes};
}

int close_socket(int socket) { return ::close(socket); }

void set_pace(int socket, std::uint64_t bytes_per_second) {
  const std::uint64_t pace = bytes_per_second == 0 ? ~std::uint64_t{0} : bytes_per_second;
  static_cast<void>(setsockopt(socket, SOL_SOCKET, SO_MAX_PACING_RATE, &pace, sizeof pace));
}

}  // namespace s3crate::s3
