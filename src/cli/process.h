// SPDX-License-Identifier: GPL-3.0-or-later
// What a process says to the kernel about itself, and how it goes into the background.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/exit_status.h"
#include "cli/files.h"

namespace s3crate::cli {

// Secrets stay out of core dumps, and out of reach of the user's other processes.
void keep_no_dumps();

// The kernel may need this process to free memory, so its allocations must never wait for that. Threads made from here on
// inherit it. False where it is not allowed (it takes CAP_SYS_RESOURCE).
bool become_io_flusher();

// Memory that one thread has freed serves all others too, or what the allocator holds back for each of them would be more than
// the caches may take. Up to 64 MiB of it stay with the process: the bodies of GETs come and go, and a page that the kernel has
// to make anew costs half of what it costs to open the data that comes into it.
void share_freed_memory();

[[nodiscard]] std::string host_name();
[[nodiscard]] std::string boot_id();
[[nodiscard]] std::uint64_t memory_bytes();  // of the machine

// Runs a program and waits; its exit status, or -1 if it could not be run or was killed. What it prints is dropped.
[[nodiscard]] int run_quietly(const std::vector<std::string>& words);

// A program as a command runs it for its user: with the words alone and no environment but PATH, since ours may hold secrets.
struct Ran {
  int status = -1;     // of its exit; 127: it is not there; -1: a signal ended it
  std::string output;  // the beginning of what it printed
};
// `go_on` is asked a few times a second, with the process's id; once it says no, that is ended, gently. kIo: it could not be started.
[[nodiscard]] Result<Ran> run_captured(const std::vector<std::string>& words, const std::function<bool(pid_t)>& go_on);
// What a process has written so far, to wherever, as the kernel counts it; 0 if that cannot be known.
[[nodiscard]] std::uint64_t bytes_written_by(pid_t process);

// Forks. The child runs `body`, which calls `ready` once the work has begun to succeed: from then on it has no terminal, and the
// parent has exited with kDone. A body that returns before that decides the parent's status; until then the child
// shares its terminal, so its errors and questions are seen, and ends with the parent.
//
// Before fork no thread may run and no secret be held: neither is there in a child.
using Ready = std::function<void()>;
[[nodiscard]] Result<ExitStatus> run_in_background(const std::function<ExitStatus(const Ready& ready)>& body);

}  // namespace s3crate::cli
