#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# lib.sh itself: statuses, skips, and that a test leaves nothing behind however it ends.
. "${0%/*}/lib.sh"
tmpdir
here=${BASH_SOURCE[0]%/*}

# run BODY: runs BODY as a test of its own and prints its status.
run() {
  local status=0
  printf '. "%s/lib.sh"\n%s\n' "$(cd "$here" && pwd)" "$1" >"$T/test.sh"
  TMPDIR=$T bash "$T/test.sh" >"$T/out" 2>&1 || status=$?
  echo $status
}
is() { [ "$1" = "$2" ] || { cat "$T/out" >&2; fail "$3: $1 instead of $2"; }; }

is "$(run 'fail on purpose')" 1 "fail"
is "$(run 'requires sh no-such-command')" 77 "requires"
is "$(run 'requires sh; tmpdir')" 0 "requires what is there"
is "$(run 'expect_status 3 bash -c "exit 3"')" 0 "expect_status"
is "$(run 'expect_status 3 bash -c "exit 4"')" 1 "expect_status that differs"
is "$(run 'tmpdir; expect_status 0 echo hello; expect_message ^hello$')" 0 "expect_message"
is "$(run 'tmpdir; expect_status 0 echo hello; expect_message goodbye')" 1 "expect_message missing"
is "$(run 'false; true')" 1 "errexit"
is "$(run "trap '_status=\$?; true; _cleanup \$_status' EXIT; fail on purpose")" 1 "fail with more to undo"
is "$(run 'tmpdir; kill -TERM $$; sleep 30')" 143 "SIGTERM"

# Processes are ended, the directory is gone, also after a failure.
is "$(run 'tmpdir; sleep 300 & echo $! >"${T%/*}/pid"; track $!; fail early')" 1 "fail with a process"
if _alive "$(cat "$T/pid")"; then fail "process $(cat "$T/pid") survived its test"; fi
# One that is stopped and ignores SIGTERM as well.
is "$(run 'tmpdir; (trap "" TERM; exec sleep 300) & track $!; echo $! >"${T%/*}/pid"
  sleep 0.2; kill -STOP $!')" 0 "stopped process"
if _alive "$(cat "$T/pid")"; then fail "process $(cat "$T/pid") survived its test"; fi
is "$(find "$T" -mindepth 1 -maxdepth 1 -name 's3crate-test.*')" "" "left behind"

# Mounts and loop devices are undone.
if [ "$(id -u)" = 0 ] && [ -c /dev/loop-control ] && command -v mkfs.ext4 >/dev/null; then
  loop_slot
  is "$(run 'tmpdir; loop_slot; truncate -s 16M "$T/img"; mkfs.ext4 -q "$T/img"
    dev=$(attach_loop "$T/img"); echo "$dev" >"${T%/*}/dev"
    mkdir "$T/a b"; mount "$dev" "$T/a b"; mkdir "$T/a b/c"; mount -t tmpfs none "$T/a b/c"
    fail early')" 1 "fail with mounts"
  if grep -q " $T/s3crate-test" /proc/self/mountinfo; then fail "a mount was left behind"; fi
  is "$(losetup -n -O BACK-FILE "$(cat "$T/dev")" 2>/dev/null | grep -c "$T" || true)" 0 "loop device"
  # The six slots: a seventh test waits until one of them ends.
  mkdir -p "$T/s3crate-loop-slots"
  for i in 1 2 3 4 5 6; do
    exec {fd}>>"$T/s3crate-loop-slots/$i"
    flock "$fd"
    last=$fd
  done
  (exec {last}>&- && _slot_fd= && TMPDIR=$T loop_slot && touch "$T/got") &
  waiter=$!
  track $waiter
  sleep 1.5
  [ ! -e "$T/got" ] || fail "a seventh slot was given out"
  exec {last}>&-
  wait $waiter
  [ -e "$T/got" ] || fail "no slot after one was free"
else
  say "not root or no loop devices: mounts not tested"
fi
