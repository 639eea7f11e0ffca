#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The cache file of a mount: after a restart, and after a kill, what was read before is read without the
# store. It is private, stays within its size, and a mount whose file is held by another, vanishes, is
# emptied or has no room on its disk goes on without, and reads the same.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires python3 pgrep
tmpdir
# shellcheck disable=SC2034  # for volume.sh
cache_file_size=64M
. "${0%/*}/volume.sh"

mib=24
range_gets() {
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["store"]["requests"]["get_range"]["count"])' "$1/stats.json"
}
# read_all [MOUNTPOINT]: reads what was written, past the kernel's cache; sets $gets.
read_all() {
  local at=${1:-$m} before
  before=$(range_gets "$at")
  dd if="$at/disk" bs=64K count=$((mib * 16)) iflag=direct status=none | cmp - "$T/data" || fail "other bytes than were written"
  gets=$(($(range_gets "$at") - before))
}
cache_of() { echo "$1"/*/cache; }
quiet=(--block-cache-size 1M --upload-delay 1s)

new_volume 256M
head -c $((mib << 20)) /dev/urandom >"$T/data"
mount_volume --block-cache-size 1M
for part in 1 2 3; do
  # No faster than the cache file can take it: it drops what its queue has no room for.
  dd if="$T/data" of="$m/disk" bs=1M count=8 seek=$((part * 8 - 8)) skip=$((part * 8 - 8)) conv=notrunc,fsync status=none
  "$S3CRATE" sync "$m" >"$T/sync.out"
  wait_until 20 eval '[ "$(stat_value cache_file admitted)" -ge $((part * 128)) ]' || fail "$(grep 'cache file' "$m/stats")"
done
umount_volume

say "what was written, after a restart"
mount_volume "${quiet[@]}"
read_all
say "$gets requests for ranges"
[ "$gets" -le 25 ] || fail "$gets requests for ranges of the store"
[ "$(stat_value cache_file hits)" -ge 300 ] || fail "$(grep 'cache file' "$m/stats")"
umount_volume

say "what was read, after a restart and after a kill"
rm "$(cache_of "$state")"
mount_volume "${quiet[@]}"
read_all
cold=$gets
[ "$cold" -ge 100 ] || fail "only $cold requests for a cold disk"
umount_volume
for ending in umount kill kill; do
  mount_volume "${quiet[@]}"
  read_all
  say "$gets requests instead of $cold"
  [ $((gets * 20)) -le "$cold" ] || fail "$gets requests for ranges of the store after a restart, $cold when it was cold"
  if [ $ending = umount ]; then
    umount_volume
  else
    kill -KILL "$daemon"
    bury_volume
  fi
done
[ "$(stat -c %a "$(cache_of "$state")")" = 600 ] || fail "others may read the cache file"
[ "$(stat -c %s "$(cache_of "$state")")" -le $((64 << 20)) ] || fail "it is longer than it may be"

say "shown"
mount_volume "${quiet[@]}"
grep -q '^cache file .* of 64' "$m/stats" || fail "$(cat "$m/stats")"
for name in hits misses bytes capacity_bytes admitted rejected errors; do
  stat_value cache_file $name >"$T/figure"
  grep -q "^s3crate_blk_cache_file_$name" "$m/metrics" || fail "no $name in metrics"
done

say "a second mount"
mkdir "$T/m2"
unlocked "$S3CRATE" mount "$url" "$T/m2" --key-file "$T/key" --state-dir "$state" --cache-file-size 64M \
  --block-cache-size 1M --read-only --log-to "$T/second.log" >"$T/second.out" || fail "status $?"
wait_until 10 grep -q 'going on without a cache file.*locked' "$T/second.log" || fail "$(cat "$T/second.log")"
read_all "$T/m2"
[ "$gets" -ge 100 ] || fail "where does it read from?"
grep -q '^cache file .*off: .*locked' "$T/m2/stats" || fail "$(grep '^cache' "$T/m2/stats")"
"$S3CRATE" umount "$T/m2" >"$T/umount.out"

say "emptied and deleted under a mount"
: >"$(cache_of "$state")"
read_all
read_all
rm "$(cache_of "$state")"
read_all
umount_volume
mount_volume "${quiet[@]}" --read-only
read_all
umount_volume
[ -f "$(cache_of "$state")" ] || fail "a read-only mount has none"
mount_volume "${quiet[@]}"
read_all
[ "$gets" -le 25 ] || fail "$gets requests for ranges of the store"
umount_volume

say "damaged"
python3 - "$(cache_of "$state")" <<'END'
import os, random, sys
with open(sys.argv[1], "r+b") as f:
    for _ in range(2000):
        f.seek(random.randrange(os.path.getsize(sys.argv[1])))
        f.write(b"damage")
END
mount_volume "${quiet[@]}"
read_all
umount_volume
head -c 1000000 /dev/urandom >"$(cache_of "$state")"
mount_volume "${quiet[@]}"
read_all
read_all
umount_volume

say "no room on its disk"
mkdir "$T/small"
mount -t tmpfs -o size=60M none "$T/small"
unlocked "$S3CRATE" mount "$url" "$m" --key-file "$T/key" --state-dir "$T/small/state" --journal-size 32M \
  --cache-file-size 64M "${quiet[@]}" --log-to "$T/small.log" >"$T/mount.out" || fail "mount: status $?"
find_daemon
for _ in 1 2 3; do read_all; done
[ "$(stat_value cache_file capacity_bytes)" = $((64 << 20)) ] || fail "$(grep '^cache' "$m/stats")"
used=$(stat_value cache_file bytes)
[ "$used" -gt 0 ] && [ "$used" -lt $((28 << 20)) ] || fail "it takes the journal's room: $(grep '^cache' "$m/stats")"
for bs in 1M 4K; do dd if=/dev/zero of="$T/small/filler$bs" bs=$bs status=none 2>/dev/null || true; done
read_all
# Not even the journal has room, so an fsync waits for the store.
head -c 8000000 /dev/urandom | dd of="$T/data" bs=1M conv=notrunc iflag=fullblock status=none
timeout 60 dd if="$T/data" of="$m/disk" bs=1M count=8 conv=notrunc,fsync status=none || fail "a write to a full disk: status $?"
read_all
rm "$T"/small/filler*
dd if="$T/data" of="$m/disk" bs=1M seek=8 skip=8 count=1 conv=notrunc,fsync status=none
read_all
umount_volume
mount_volume
read_all
umount_volume
umount "$T/small"
check_volume
