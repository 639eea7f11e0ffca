#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The local disk under journal and cache file becomes read-only, as a filesystem makes itself after an
# error: what the cache file would have had is read from the store, fsync waits for the store, and
# nothing is lost.
. "${0%/*}/lib.sh"
requires_fuse
requires_loop
requires_fs ext4
requires mkfs.ext4 python3 pgrep
tmpdir
# shellcheck disable=SC2034  # for volume.sh
cache_file_size=8M
. "${0%/*}/volume.sh"

loop_slot
truncate -s 400M "$T/local.img"
mkfs.ext4 -q "$T/local.img"
loop=$(losetup --find --show "$T/local.img")
mkdir "$T/local"
mount -o errors=remount-ro "$loop" "$T/local"
error=/sys/fs/ext4/${loop#/dev/}/trigger_fs_error
[ -w "$error" ] || skip "needs the kernel's trigger_fs_error"
state=$T/local/state
use_url "$url"

read_all() { dd if="$m/disk" bs=64K count=384 iflag=direct status=none | cmp - "$T/data" || fail "other bytes than were written"; }

new_volume 64M
head -c 24M /dev/urandom >"$T/data"
mount_volume
dd if="$T/data" of="$m/disk" bs=1M conv=notrunc,fsync status=none
umount_volume

say "reads"
mount_volume --block-cache-size 1M
read_all
[ "$(stat_value cache_file on)" = 1 ] || fail "$(grep '^cache file' "$m/stats")"
echo 1 >"$error"
! touch "$T/local/new" 2>/dev/null || fail "the local disk is not read-only"
read_all
read_all
wait_until 10 grep -q '^cache file .*; off: .*Read-only' "$m/stats" || fail "$(grep '^cache file' "$m/stats")"
[ "$(grep -c 'going on without a cache file' "$T/daemon.log")" = 1 ] || fail "$(cat "$T/daemon.log")"

say "writes"
head -c 1M /dev/urandom | dd of="$T/data" conv=notrunc bs=1M iflag=fullblock status=none
dd if="$T/data" of="$m/disk" bs=1M count=1 conv=notrunc,fsync status=none || fail "fsync: status $?"
[ "$(stat_value unsent bytes)" = 0 ] || fail "it did not wait for the store"
grep -q '^health .*journal failed' "$m/stats" || fail "$(grep '^health' "$m/stats")"
read_all
# That it cannot be noted locally which generation is the newest is said, and is no success.
"$S3CRATE" umount "$m" >"$T/umount.out" 2>&1 || grep -q Read-only "$T/umount.out" || fail "umount: $(cat "$T/umount.out")"
umount "$T/local"

say "on a disk that can be written"
state=$T/state
use_url "$url"
mount_volume
read_all
umount_volume
check_volume
