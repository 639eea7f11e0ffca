// SPDX-License-Identifier: GPL-3.0-or-later
// Mounts a MemoryDisk, in front, until it is unmounted: the FUSE layer without the rest, and the no-work file that
// benchmarks compare with.
//
//   fuse_memory_disk SIZE-IN-BYTES MOUNTPOINT [--journal FILE] [--flush-ms MS] [--read-only] [--allow-other]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/executor.h"
#include "fuse/server.h"
#include "tests/support/memory_disk.h"

namespace {

std::string counters(s3crate::test::MemoryDisk& disk) {
  const auto s = disk.stats();
  return fmt::format("reads {}\nread_bytes {}\nwrites {}\nwritten_bytes {}\ndiscards {}\nflushes {}\n", s.reads.count,
                     s.reads.bytes, s.writes.count, s.writes.bytes, s.discards.count, s.flushes.count);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: fuse_memory_disk SIZE-IN-BYTES MOUNTPOINT [--journal FILE] [--flush-ms MS] [--read-only] [--allow-other]\n", stderr);
    return 2;
  }
  std::string journal;
  bool read_only = false;
  std::chrono::milliseconds flush_takes{};
  s3crate::fuse::ServerOptions options;
  options.mountpoint = argv[2];
  options.fsname = "memory:///a,b\\c";  // what a mount option must escape
  for (int i = 3; i < argc; ++i) {
    if (std::strcmp(argv[i], "--read-only") == 0) read_only = true;
    if (std::strcmp(argv[i], "--allow-other") == 0) options.allow_other = true;
    if (std::strcmp(argv[i], "--journal") == 0 && i + 1 < argc) journal = argv[++i];
    if (std::strcmp(argv[i], "--flush-ms") == 0 && i + 1 < argc) flush_takes = std::chrono::milliseconds(std::strtoul(argv[++i], nullptr, 10));
  }
  s3crate::test::MemoryDisk disk(std::strtoull(argv[1], nullptr, 10), journal, read_only, flush_takes);
  options.text_files.push_back({"stats", [&disk] { return counters(disk); }});
  auto server = s3crate::fuse::Server::mount(s3crate::system_env(), disk, options);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().message().c_str());
    return 1;
  }
  auto done = (*server)->run();
  if (!done) std::fprintf(stderr, "%s\n", done.error().message().c_str());
  return done ? 0 : 1;
}
