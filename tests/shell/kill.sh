#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 at random moments, with unsent bytes and an fsync in flight: the next mount plays the
# journal back without asking, and nothing that fsync acknowledged is lost, on the raw disk, of files and
# of names on btrfs, ext4 and xfs, and no transaction that SQLite or PostgreSQL committed. With the state
# directory lost as well, the disk is an exact prefix of the writes.
# make check runs it in parts, side by side: kill_*.sh, and s3_kill.sh on Ceph.
#
#   S3CRATE_LOADS   what is killed how often, as LOAD=KILLS: raw, lost (raw, with the state directory gone), and
#                   WRITER:FILESYSTEM, a writer of tests/support (file, rename, sqlite, postgres) on btrfs, ext4 or xfs
#   S3CRATE_TEST_SEED    repeats a run as far as a kill at a random moment can be repeated
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires_loop
requires python3 pgrep mkfs.btrfs mkfs.ext4 mkfs.xfs btrfs e2fsck xfs_repair
requires_fs btrfs ext4 xfs
tmpdir
# shellcheck disable=SC2034  # for volume.sh
cache_file_size=16M
. "${0%/*}/volume.sh"
support=$abs_top_srcdir/tests/support
seed=${S3CRATE_TEST_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
RANDOM=$((seed % 32768))
loads=${S3CRATE_LOADS:-raw=12 lost=4 file:btrfs=8 file:ext4=8 file:xfs=8 rename:ext4=8 sqlite:ext4=8 postgres:ext4=4}
say "seed $seed: $loads"
case $loads in *postgres*)
  requires /usr/lib/postgresql/*/bin/pg_amcheck
  chmod 711 "$T" ;;  # its server is another user
esac
writer=
fs=$T/fs
mkdir "$fs"
loop_slot

pause_ms() { sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"; }

# Commits come during the load, between loads, or not at all.
some_delay() {
  local delays=(100ms 300ms 1s 30s)
  echo "${delays[RANDOM % 4]}"
}

# mount_again: without any word of consent. One time in four a first attempt is killed on its way.
mount_again() {
  if [ $((RANDOM % 4)) = 0 ]; then
    unlocked "${try_mount[@]}" --upload-delay 100ms >"$T/half.out" 2>&1 &
    local attempt=$!
    pause_ms $((RANDOM % 120))
    # Once more for one that was forked in between.
    while pkill -KILL -f "^[^ ]*s3crate-blk mount .*$m( |\$)"; do :; done
    wait "$attempt" 2>"$T/wait.err" || true
    if grep -q " $m " /proc/self/mounts; then bury_volume; fi
  fi
  mount_volume --upload-delay "$(some_delay)"
}

# fsyncs_in LOG PATTERN: it has acknowledgements of this round.
fsyncs_in() { awk -v p="$2" '/^round/ { n = 0 } $0 ~ p { n++ } END { exit !n }' "$1"; }

# kill_during PATTERN LOG: the writer runs; once LOG has acknowledgements, kills the daemon at some
# moment.
kill_during() {
  local pattern=$1 log=$2
  wait_until 60 fsyncs_in "$log" "$pattern" || fail "the writer does not get on: $(tail -n 3 "$log")"
  pause_ms $((RANDOM % 300))
  kill -KILL "$daemon" || fail "the daemon ended by itself: $(tail -n 3 "$T/daemon.log")"
}

# median FILE: of its lines.
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : 0 }'; }

# ---- Stamped blocks on the disk file --------------------------------------------------------------

# A killed process leaves its writer an error, and the mount a dead one.
raw_round() {
  : >"$T/raw.log"
  "$support/stamp-writer" run "$m/disk" "$T/raw.base" "$T/raw.log" "$seed" &
  writer=$!
  track $writer
  kill_during '^f' "$T/raw.log"
  wait $writer || fail "the writer: status $?"
  _pids=()  # it is gone: its number may be given to another
  bury_volume
}

raw() {
  local n=$1 i k acknowledged fsyncs beyond=0
  new_volume 256M
  : >"$T/counts"
  mount_volume
  for ((i = 0; i < n; i++)); do
    raw_round
    mount_again
    "$support/stamp-writer" check "$m/disk" "$T/raw.base" "$T/raw.log" "$seed" >"$T/checked" ||
      fail "kill $i of seed $seed"
    read -r k acknowledged fsyncs <"$T/checked"
    echo "$fsyncs" >>"$T/counts"
    if [ "$k" -gt "$acknowledged" ]; then beyond=$((beyond + 1)); fi
  done
  umount_volume
  # Fresh: the store alone.
  rm -rf "$state"
  mount_volume
  "$support/stamp-writer" check "$m/disk" "$T/raw.base" "$T/raw.log" "$seed" >"$T/checked" || fail "in the store"
  umount_volume
  check_volume
  say "raw: $n kills, median $(median "$T/counts") acknowledged fsyncs per kill; $beyond times more was kept than acknowledged"
}

# ---- Files on a filesystem ------------------------------------------------------------------------

mount_fs() {
  dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
  mount "$dev" "$fs" || fail "mount: $(dmesg 2>/dev/null | tail -n 5)"
}

# The filesystem on a dead disk: everything gives EIO, and goes.
bury_fs() {
  umount "$fs" 2>"$T/umount.err" || umount -l "$fs"
  detach_loop "$dev"
  bury_volume
}

check_fs() {
  case $1 in
    btrfs) btrfs check --readonly "$dev" >"$T/fsck" 2>&1 ;;
    ext4) e2fsck -fn "$dev" >"$T/fsck" 2>&1 ;;
    xfs) xfs_repair -n "$dev" >"$T/fsck" 2>&1 ;;
  esac || fail "$1 is damaged: $(tail -n 20 "$T/fsck")"
}

# files WRITER TYPE KILLS
files() {
  local writes=$1 type=$2 n=$3 i
  new_volume 512M
  rm -f "$T/files.log"
  : >"$T/counts"
  mount_volume
  dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
  "mkfs.$type" -q "$dev" >"$T/mkfs" 2>&1 || fail "$(cat "$T/mkfs")"
  detach_loop "$dev"
  mount_fs
  mkdir "$fs/files"
  sync -f "$fs"
  for ((i = 0; i < n; i++)); do
    : >>"$T/files.log"
    "$support/$writes" run "$fs/files" "$T/files.log" "$seed" "$m" &
    writer=$!
    track $writer
    kill_during '^[da]' "$T/files.log"
    wait $writer || fail "the writer: status $?"
    _pids=()  # it is gone: its number may be given to another
    bury_fs
    mount_again
    mount_fs
    "$support/$writes" check "$fs/files" "$T/files.log" "$seed" >>"$T/counts" || fail "kill $i of seed $seed"
    if [ $((i % 6)) = 5 ] || [ $i = $((n - 1)) ]; then
      umount "$fs"
      check_fs "$type"
      detach_loop "$dev"
      mount_fs
    fi
  done
  umount "$fs"
  detach_loop "$dev"
  umount_volume
  check_volume
  say "$writes on $type: $n kills, median $(median "$T/counts") acknowledged fsyncs per kill"
}

# ---- The journal is lost with the process ---------------------------------------------------------

lost() {
  local n=$1 i k acknowledged fsyncs less=0
  new_volume 256M
  rm -f "$T/raw.base" "$T/raw.log"
  mount_volume --upload-delay 100ms
  for ((i = 0; i < n; i++)); do
    raw_round
    rm -rf "$state"
    expect_status 3 "${try_mount[@]}"
    expect_message 'open since 20[^ ]* on [^ ]+ .last commit .* ago.*add --take-over: what it had not sent is lost'
    [ "$(wc -l <"$T/stderr")" = 1 ] || fail "more than a sentence: $(cat "$T/stderr")"
    : >"$T/daemon.log"
    mount_volume --take-over --upload-delay 100ms
    cat "$T/mount.out" "$T/mount.err" "$T/daemon.log" >"$T/said"
    grep -Eq 'taking over.*not sent is lost.*as of generation' "$T/said" || fail "nothing is said of what is missing: $(cat "$T/said")"
    "$support/stamp-writer" check "$m/disk" "$T/raw.base" "$T/raw.log" "$seed" --lost >"$T/checked" ||
      fail "kill $i of seed $seed"
    read -r k acknowledged fsyncs <"$T/checked"
    [ "$k" -ge "$acknowledged" ] || less=$((less + 1))
  done
  umount_volume
  check_volume
  say "lost: $n kills, each an exact prefix of the writes; $less times less than was acknowledged"
  [ "$n" -lt 4 ] || [ $less -gt 0 ] || fail "no kill lost anything: the load is too light to show a prefix"
}

for load in $loads; do
  case $load in
    raw=*) raw "${load#*=}" ;;
    lost=*) lost "${load#*=}" ;;
    *:*=*)
      writer_fs=${load%=*}
      files "${writer_fs%:*}-writer" "${writer_fs#*:}" "${load#*=}" ;;
    *) fail "no load $load" ;;
  esac
done
