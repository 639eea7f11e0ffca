// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

namespace s3crate::cli {
namespace {

sigset_t watched() {
  sigset_t set;
  ::sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGUSR1}) ::sigaddset(&set, signal);
  return set;
}

constexpr int kInterrupting[] = {SIGINT, SIGTERM, SIGHUP};
std::atomic<bool> interrupted = false;
std::atomic<int> noting = 0;  // Interrupts that live
void note(int) { interrupted = true; }

void handle_interrupts(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  for (int signal : kInterrupting) ::sigaction(signal, &action, nullptr);
}

}  // namespace

Interrupts::Interrupts() {
  if (noting++ > 0) return;
  interrupted = false;
  handle_interrupts(note);
}

Interrupts::~Interrupts() {
  if (--noting == 0) handle_interrupts(SIG_DFL);
}

bool Interrupts::came() const { return interrupted; }

void leave_signals_to_others() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

SignalWatch::SignalWatch(Executor& executor, std::function<void(int)> on_signal, std::function<void()> on_tick)
    : on_signal_(std::move(on_signal)), on_tick_(std::move(on_tick)) {
  ::signal(SIGHUP, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  const sigset_t set = watched();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  task_ = executor.spawn("signals", [this] { loop(); });
}

SignalWatch::~SignalWatch() {
  stopping_ = true;
  task_.reset();
}

void SignalWatch::loop() {
  const sigset_t set = watched();
  const timespec tick = {0, 250'000'000};
  while (!stopping_) {
    const int signal = ::sigtimedwait(&set, nullptr, &tick);
    if (signal > 0) on_signal_(signal);
    on_tick_();
  }
}

}  // namespace s3crate::cli
