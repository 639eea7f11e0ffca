# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# What fs_btrfs.sh, fs_ext4.sh and fs_xfs.sh share: one filesystem on a volume, on losetup with direct
# I/O and without, through all that a user does with it. Source it after lib.sh and call fs_test TYPE.

fs_requires() {
  local type=$1
  requires_root
  requires_fuse
  requires_loop
  requires python3 pgrep fstrim "mkfs.$type"
  requires_fs "$type"
  case $type in
    btrfs) requires btrfs ;;
    ext4) requires e2fsck ;;
    xfs) requires xfs_repair ;;
  esac
}

fs_make() {
  "mkfs.$type" -q "$dev" >"$T/mkfs" 2>&1 || fail "mkfs.$type: $(cat "$T/mkfs")"
}

fs_attach() {
  dev=$(attach_loop "$m/disk" "$@")
  if [ $# != 0 ]; then
    [ "$(cat "/sys/block/${dev#/dev/}/loop/dio")" = 1 ] || fail "direct I/O is off"
  fi
}

fs_detach() {
  umount "$fs"
  detach_loop "$dev"
}

fs_check() {
  case $type in
    btrfs) btrfs check --readonly --check-data-csum "$dev" ;;
    ext4) e2fsck -fn "$dev" ;;
    xfs) xfs_repair -n "$dev" ;;
  esac >"$T/fsck" 2>&1 || fail "$type is damaged: $(tail -n 20 "$T/fsck")"
}

list() { "$support/list-tree" "$1" >"$2"; }

# fs_keep NAME: the tree as it is now is to be found again; btrfs keeps it as a snapshot.
fs_keep() {
  if [ "$type" = btrfs ]; then
    btrfs -q subvolume snapshot -r "$fs/data" "$fs/$1"
    list "$fs/$1" "$T/$1.list"
  fi
}

# fs_verify: the tree and the snapshots are what they were.
fs_verify() {
  local kept
  list "$fs/data" "$T/found.list"
  expect_same "$T/data.list" "$T/found.list" "$type, $1: the tree differs"
  for kept in "$T"/before-*.list; do
    [ -e "$kept" ] || continue
    list "$fs/$(basename "$kept" .list)" "$T/found.list"
    expect_same "$kept" "$T/found.list" "$type, $1: $(basename "$kept" .list) differs"
  done
}

# fs_stopped: a process that does not answer for a while is a stall and nothing else.
fs_stopped() {
  local log=$T/stopped.log before during
  rm -f "$log"
  : >"$log"
  mkdir "$fs/stopped"
  "$support/file-writer" run "$fs/stopped" "$log" 1 "$m" &
  local writer=$!
  track $writer
  wait_until 20 grep -q '^d' "$log" || fail "the writer does not get on"
  kill -STOP "$daemon"
  # One answer may be on its way.
  sleep 0.5
  before=$(wc -l <"$log")
  sleep 1.5
  during=$(wc -l <"$log")
  _alive $writer || fail "the writer did not survive the stop"
  kill -CONT "$daemon"
  [ "$before" = "$during" ] || fail "something went on while the process was stopped"
  wait_until 20 eval '[ "$(wc -l <"'"$log"'")" -gt '$((during + 4))' ]' || fail "the writer does not go on"
  kill -TERM $writer
  wait $writer || fail "the writer: status $?"
  "$support/file-writer" check "$fs/stopped" "$log" 1 >"$T/acknowledged"
  say "$type: $(cat "$T/acknowledged") fsyncs acknowledged around a stop of 2 s"
}

# fs_pass NAME [losetup options...]
fs_pass() {
  local pass=$1
  shift
  say "$type, $pass"
  rm -f "$T"/before-*.list
  new_volume 1G
  mount_volume
  fs_attach "$@"
  fs_make
  mount "$dev" "$fs"
  if [ "$type" = btrfs ]; then btrfs -q subvolume create "$fs/data"; else mkdir "$fs/data"; fi

  cp -a --sparse=always "$T/tree/." "$fs/data/"
  list "$fs/data" "$T/data.list"
  expect_same "$T/tree.list" "$T/data.list" "$type, $pass: the copy differs"
  local flushes file
  flushes=$(stat_value flushes count)
  mkdir "$fs/synced"
  for file in "$fs/synced/"{1..10}; do
    echo content >"$file"
    sync "$file"
  done
  [ "$(stat_value flushes count)" -ge $((flushes + 10)) ] || fail "10 fsyncs flushed less often"

  fs_keep before-1
  "$support/make-tree" --change "$fs/data" 1
  fs_keep before-2
  "$support/make-tree" --change "$fs/data" 2
  if [ "$pass" = direct ]; then fs_stopped; fi
  cp -a "$fs/data" "$fs/deleted"
  sync -f "$fs"
  rm -r "$fs/deleted"
  sync -f "$fs"
  local discards
  discards=$(stat_value discards bytes)
  fstrim "$fs"
  [ "$(stat_value discards bytes)" -gt $((discards + (8 << 20))) ] || fail "fstrim discarded nothing"
  list "$fs/data" "$T/data.list"

  fs_detach
  umount_volume
  # Nothing but the store: as on another machine.
  rm -rf "$state"
  mount_volume
  fs_attach "$@"
  fs_check
  mount "$dev" "$fs"
  fs_verify "$pass, mounted again"
  fs_detach
  umount_volume
  check_volume
}

fs_test() {
  type=$1
  fs_requires "$type"
  tmpdir
  # shellcheck disable=SC2034  # for volume.sh
  cache_file_size=64M
  . "${BASH_SOURCE[0]%/*}/volume.sh"
  support=$abs_top_srcdir/tests/support
  fs=$T/fs
  mkdir "$fs"
  loop_slot
  local status=0
  "$support/make-tree" "$T/tree" 1 32 || status=$?
  [ $status != 77 ] || skip "needs a temporary directory with ACLs and extended attributes"
  [ $status = 0 ] || fail "make-tree: status $status"
  list "$T/tree" "$T/tree.list"
  fs_pass direct --direct-io=on --sector-size 4096
  fs_pass plain
}
