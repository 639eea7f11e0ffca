# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# One volume in a directory below $T, mounted and unmounted with a key file: what the tests of the
# whole program share. Source it after lib.sh and tmpdir. With S3CRATE_TEST_S3=yes each volume is below
# a prefix of its own in a bucket of Ceph's instead, which is started, and ends with the test.

if [ "${S3CRATE_TEST_S3:-}" = yes ]; then
  . "${BASH_SOURCE[0]%/*}/s3.sh"
  start_s3
fi

store=$T/store url=file://$T/store state=$T/state m=$T/m
volumes=0
daemon=  # the process behind the mount, see mount_volume

# What is read comes from the store; tests that want a cache file say so before use_url.
cache_file_size=${cache_file_size:-0}

# use_url URL: where the volume is from now on.
use_url() {
  url=$1
  # The command alone, with whatever status it has: "${try_mount[@]}" [mount options...]
  try_mount=("$S3CRATE" mount "$url" "$m" --key-file "$T/key" --state-dir "$state"
    --journal-size 256M --cache-file-size "$cache_file_size" --log-to "$T/daemon.log")
}
use_url "$url"

# new_volume SIZE [format options...]
new_volume() {
  local size=$1
  shift
  rm -rf "$store" "$state"
  if [ -n "${S3_BUCKET:-}" ]; then use_url "s3://$S3_BUCKET/volume-$((++volumes))"; fi
  [ -e "$T/key" ] || "$S3CRATE" key new "$T/key" >/dev/null
  mkdir -p "$m"
  "$S3CRATE" format "$url" --size "$size" --key-file "$T/key" "$@" >"$T/format.out"
}

# find_daemon: sets $daemon to the process behind $m. pgrep and not daemon_pids: this has to be quick.
find_daemon() {
  daemon=$(pgrep -f "^[^ ]*s3crate-blk mount .*$m( |\$)") || fail "no process behind $m"
}


# mount_volume [mount options...]: what it printed is in $T/mount.out; sets $daemon.
mount_volume() {
  unlocked "${try_mount[@]}" "$@" >"$T/mount.out" 2>"$T/mount.err" || fail "mount: status $? $(cat "$T/mount.err")"
  find_daemon
}

# umount_volume: and everything is in the store.
umount_volume() {
  "$S3CRATE" umount "$m" >"$T/umount.out" || fail "umount: status $?"
  ! grep -q " $m " /proc/self/mounts || fail "$m is still mounted"
}

# check_volume: all that the store holds is sound, content included.
check_volume() {
  "$S3CRATE" check "$url" --key-file "$T/key" --state-dir "$state" --read-data >"$T/check.out" 2>&1 ||
    fail "check: status $? $(tail -n 20 "$T/check.out")"
}

# bury_volume: takes the mount of a daemon that was killed away.
bury_volume() { umount -l "$m" || fail "cannot unmount what the dead process left"; }

# detach_loop DEVICE: and it is gone; whoever looks at the device just then delays that.
detach_loop() {
  losetup -d "$1" || true
  wait_until 60 eval "! _loops | grep -qx '$1'" ||
    fail "$1 is not let go: $(fuser -v "$1" 2>&1) $(grep -l "$1 " /proc/[0-9]*/mountinfo 2>/dev/null)"
}

# stat_value GROUP NAME: a figure of stats.json.
stat_value() {
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]][sys.argv[3]])' \
    "$m/stats.json" "$1" "$2"
}

# objects: the objects of the store, with their sizes.
objects() { (cd "$store" && find . -path './.tmp+' -prune -o -type f -printf '%p %s\n' | sort); }

# expect_same FILE FILE WHAT
expect_same() {
  if ! cmp -s "$1" "$2"; then
    diff "$1" "$2" | head -n 20 >&2 || true
    fail "$3"
  fi
}
