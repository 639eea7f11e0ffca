# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# What the shell tests share. A test begins with
#
#   #!/bin/bash
#   # SPDX-License-Identifier: GPL-3.0-or-later
#   # What this test shows.
#   . "${0%/*}/lib.sh"
#
# and then asks for what it needs (requires, requires_root, requires_fuse, requires_loop,
# requires_fs), takes a directory with tmpdir, and does its work. It ends with status 0 when all
# held, 77 when something it needs is not here, and anything else is a failure.
#
# Whatever a test leaves below $T is undone when it ends, however it ends: mounts, loop devices,
# and the processes that it started. Nothing outside $T and no other process is ever touched.

set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022

# No secrets or settings of the person who runs the tests.
for _v in $(compgen -e | grep -E '^(AWS_|S3CRATE_(PASSPHRASE|KEY))' || true); do unset "$_v"; done
unset _v

# The program under test, and the trees of the sources and of the build.
_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
abs_top_srcdir=${abs_top_srcdir:-$(cd "$_here/../.." && pwd)}
abs_top_builddir=${abs_top_builddir:-$PWD}
S3CRATE=${S3CRATE:-$abs_top_builddir/s3crate-blk}
PATH=$abs_top_srcdir/tests/support/path:$PATH
export abs_top_srcdir abs_top_builddir S3CRATE PATH

T=           # the test's own directory, once tmpdir was called
_pids=()     # processes to end, see track
_slot_fd=    # holds the flock of our loop slot

say() { echo "--- $*" >&2; }

fail() {
  echo "FAIL: $*" >&2
  exit 1
}

skip() {
  echo "SKIP: $*" >&2
  exit 77
}

# ---- What a test needs --------------------------------------------------------------------------

# requires CMD...: the test is skipped unless all of these commands are installed.
requires() {
  local cmd
  for cmd in "$@"; do
    command -v "$cmd" >/dev/null || skip "needs the command $cmd"
  done
}

requires_root() { [ "$(id -u)" = 0 ] || skip "needs root"; }

requires_fuse() {
  if ! [ -c /dev/fuse ] || ! { : <>/dev/fuse; } 2>/dev/null; then skip "needs /dev/fuse"; fi
}

requires_loop() {
  requires_root
  requires losetup flock
  [ -c /dev/loop-control ] || skip "needs loop devices"
}

# requires_fs TYPE...: the kernel knows these filesystems.
requires_fs() {
  local fs
  for fs in "$@"; do
    grep -qw "$fs" /proc/filesystems || modprobe -q "$fs" 2>/dev/null ||
      skip "needs the kernel's $fs"
  done
}

# private_mounts: goes on in a mount namespace of its own. Into it come copies of what tests beside this one have mounted, and
# a copy keeps a filesystem, its loop device and its volume in use after their own test has unmounted them: they go at once.
private_mounts() {
  local place
  requires_root
  requires unshare
  [ -n "${S3CRATE_NAMESPACE:-}" ] || S3CRATE_NAMESPACE=yes exec unshare --mount --propagation private "$BASH" "$0"
  awk '$5 ~ /\/s3crate-test\./ || / - fuse\.s3crate-blk / { print $5 }' /proc/self/mountinfo | tac |
    while IFS= read -r place; do umount -l "$(printf '%b' "$place")" 2>/dev/null || true; done
}

# ---- The test's own directory, and its end ------------------------------------------------------

# tmpdir: makes $T, with HOME and the XDG directories in it; all of it is undone at the end.
tmpdir() {
  [ -z "$T" ] || fail "tmpdir called twice"
  T=$(mktemp -d "${TMPDIR:-/tmp}/s3crate-test.XXXXXX")
  T=$(cd "$T" && pwd -P)
  mkdir "$T/home" "$T/run"
  chmod 700 "$T/run"
  export HOME=$T/home XDG_STATE_HOME=$T/home/state XDG_CACHE_HOME=$T/home/cache
  export XDG_CONFIG_HOME=$T/home/config XDG_RUNTIME_DIR=$T/run
}

# track PID...: end these processes when the test ends.
track() { _pids+=("$@"); }

# daemon_pids [WORD]: processes of the program under test that name our directory (and WORD) in
# their arguments, or have their HOME in it.
# shellcheck disable=SC2120
daemon_pids() {
  local dir args comm
  [ -n "$T" ] || return 0
  for dir in /proc/[0-9]*; do
    { read -r comm <"$dir/comm"; } 2>/dev/null || continue
    [ "$comm" = s3crate-blk ] || continue
    args=$({ tr '\0' ' ' <"$dir/cmdline"; } 2>/dev/null || true)
    case $args in
      *"$T"*) ;;
      *) { tr '\0' '\n' <"$dir/environ"; } 2>/dev/null | grep -qxF "HOME=$T/home" || continue ;;
    esac
    case $args in *"${1:-}"*) echo "${dir#/proc/}" ;; esac
  done
}

# The mount points below $T, the latest first.
_mounts() {
  awk -v t="$T/" 'index($5 "/", t) == 1 { print $5 }' /proc/self/mountinfo | tac |
    while IFS= read -r m; do printf '%b\n' "$m"; done
}

# The loop devices whose file is below $T.
_loops() {
  local sys file
  for sys in /sys/block/loop*/loop/backing_file; do
    [ -e "$sys" ] || continue
    file=$(cat "$sys" 2>/dev/null || true)
    case $file in "$T"/*) sys=${sys#/sys/block/} && echo "/dev/${sys%%/*}" ;; esac
  done
}

# Still running, and not a zombie.
_alive() {
  local state
  state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null || true)
  case $state in '' | Z* | X*) return 1 ;; esac
}

_end_pids() {
  local signal=$1 wait_s=$2 pid i
  shift 2
  for pid in "$@"; do kill "-$signal" "$pid" 2>/dev/null || true; done
  for ((i = 0; i < wait_s * 10; i++)); do
    local any=no
    for pid in "$@"; do if _alive "$pid"; then any=yes; fi; done
    [ $any = yes ] || return 0
    sleep 0.1
  done
  return 1
}

_undo_mounts() {
  local round m dev
  for round in 1 2 3; do
    while IFS= read -r m; do
      [ -n "$m" ] || continue
      timeout --kill-after=5 30 umount "$m" 2>/dev/null ||
        { [ "$round" = 3 ] && umount -l "$m" 2>/dev/null; } || true
      for dev in $(_loops); do losetup -d "$dev" 2>/dev/null || true; done
    done <<<"$(_mounts)"
    for dev in $(_loops); do losetup -d "$dev" 2>/dev/null || true; done
    [ -n "$(_mounts)$(_loops)" ] || return 0
    # What still holds on is served by a process that hangs: without it, it can go.
    # shellcheck disable=SC2046,SC2119
    _end_pids KILL 5 $(daemon_pids) || true
  done
  return 1
}

# _cleanup [STATUS]: for a test with more to undo, whose own status is not $? any more.
_cleanup() {
  local status=${1:-$?}
  trap - EXIT
  trap '' INT TERM HUP
  set +e
  if [ -n "$T" ]; then
    cd / || true
    # shellcheck disable=SC2046,SC2119
    _end_pids CONT 0 "${_pids[@]}" $(daemon_pids)
    if [ "${#_pids[@]}" != 0 ]; then
      _end_pids TERM 5 "${_pids[@]}" || _end_pids KILL 5 "${_pids[@]}"
    fi
    _undo_mounts || say "could not undo all of: $(_mounts | tr '\n' ' ') $(_loops | tr '\n' ' ')"
    # shellcheck disable=SC2046,SC2119
    _end_pids TERM 10 $(daemon_pids) || _end_pids KILL 5 $(daemon_pids)
    if [ -z "$(_mounts)" ]; then
      if [ -n "${S3CRATE_KEEP:-}" ] && [ $status != 0 ]; then say "kept: $T"; else rm -rf "$T"; fi
    else
      status=1
    fi
  fi
  exit "$status"
}
trap _cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- Loop devices -------------------------------------------------------------------------------

# loop_slot: call it before losetup. A machine has few loop devices and tests run side by side, so
# each waits for one of six slots, which it holds until it ends.
loop_slot() {
  local dir=${TMPDIR:-/tmp}/s3crate-loop-slots i
  requires_loop
  [ -z "$_slot_fd" ] || return 0
  mkdir -p "$dir"
  chmod 1777 "$dir" 2>/dev/null || true
  while :; do
    for i in 1 2 3 4 5 6; do
      exec {_slot_fd}>>"$dir/$i"
      if flock -n "$_slot_fd"; then return 0; fi
      exec {_slot_fd}>&-
    done
    sleep 0.5
  done
}

# attach_loop FILE [losetup options...]: attaches FILE and prints the device. Daemons must not
# inherit the lock of the slot, hence a function: use unlocked for what stays in the background.
attach_loop() {
  local file=$1
  shift
  losetup --find --show "$@" "$file"
}

# unlocked CMD...: runs CMD without the lock of our loop slot, for what outlives the test's shell.
unlocked() {
  if [ -n "$_slot_fd" ]; then
    (eval "exec $_slot_fd>&-" && exec "$@")
  else
    "$@"
  fi
}

# ---- Checks -------------------------------------------------------------------------------------

# expect_status N CMD...: runs CMD, which must exit with N. Its output goes through, and is kept in
# $T/stdout and $T/stderr if there is a $T.
expect_status() {
  local want=$1 got=0
  shift
  if [ -n "$T" ]; then
    unlocked "$@" >"$T/stdout" 2>"$T/stderr" || got=$?
    cat "$T/stdout"
    cat "$T/stderr" >&2
  else
    unlocked "$@" || got=$?
  fi
  [ "$got" = "$want" ] || fail "status $got instead of $want: $*"
}

# expect_message ERE: the last expect_status printed a line that matches, on stdout or stderr.
expect_message() {
  grep -Eq -- "$1" "$T/stdout" "$T/stderr" || fail "no message matches: $1"
}

# wait_until SECONDS CMD...: CMD succeeds within that time (it is tried ten times a second).
wait_until() {
  local tries=$(($1 * 10))
  shift
  until "$@"; do
    [ $((tries--)) -gt 0 ] || return 1
    sleep 0.1
  done
}
