#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The store is written once: through formats, mounts, a filesystem, kills, take-overs and unmounts no
# object is modified, renamed over or deleted. An idle disk makes no commit, and an empty one discards
# for nothing.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires_loop
requires python3 pgrep mkfs.ext4 blkdiscard fstrim
requires_fs ext4
tmpdir
# shellcheck disable=SC2034  # for volume.sh
cache_file_size=16M
. "${0%/*}/volume.sh"
support=$abs_top_srcdir/tests/support
fs=$T/fs
mkdir "$fs"
loop_slot

# Each object with all that changes when it is touched; seen.list grows, and must stay true.
: >"$T/seen.list"
look() {
  (cd "$store" && find . -path './.tmp+' -prune -o -type f -printf '%p %i %s %T@ ' -exec sha256sum {} \;) |
    sed 's/ [^ ]*$//' | sort >"$T/now.list"
  comm -23 "$T/seen.list" "$T/now.list" >"$T/gone.list"
  [ ! -s "$T/gone.list" ] || fail "changed or gone: $(head -n 5 "$T/gone.list")"
  cp "$T/now.list" "$T/seen.list"
}
start_watch() {
  : >"$T/watch.log"
  "$support/watch-store" "$store" "$T/watch.log" &
  watcher=$!
  track $watcher
  wait_until 10 grep -q ready "$T/watch.log" || fail "nothing watches"
}
# stop_watch N: it saw no fault and at least N new objects.
stop_watch() {
  # It has come to the end of the events when it has seen this one.
  : >"$store/last"
  wait_until 10 grep -q "created $store/last" "$T/watch.log" || fail "the watcher saw nothing"
  kill $watcher
  rm "$store/last"
  if grep FAULT "$T/watch.log"; then fail "the store was not written once"; fi
  [ "$(grep -c created "$T/watch.log")" -gt "$1" ] || fail "fewer than $1 new objects"
}
seen() { wc -l <"$T/seen.list"; }

say "an empty disk: discards send nothing"
new_volume 1T
look
start_watch
mount_volume --upload-delay 100ms
look
before=$(seen) written=$(stat_value journal written_bytes)
dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
blkdiscard "$dev"
detach_loop "$dev"
fallocate --punch-hole --offset 0 --length 1T "$m/disk" || true
"$S3CRATE" sync "$m" >"$T/sync.out"
[ "$(stat_value discards count)" -gt 0 ] || fail "no discard came"
look
[ "$(seen)" = "$before" ] || fail "discarding an empty disk made $(($(seen) - before)) objects"
[ "$(stat_value journal written_bytes)" -le $((written + 65536)) ] || fail "discarding an empty disk filled the journal"
[ "$(stat_value map delta_runs)" -le 4 ] || fail "discarding an empty disk left $(stat_value map delta_runs) runs"
umount_volume
stop_watch 2

say "writes, commits and an idle disk"
new_volume 512M
: >"$T/seen.list"
look
start_watch
mount_volume --upload-delay 100ms
dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
mkfs.ext4 -q "$dev"
mount "$dev" "$fs"
for i in 1 2 3 4 5; do
  rm -rf "$fs/include"
  cp -r /usr/include/linux "$fs/include"
  head -c 3000000 /dev/urandom >"$fs/random"
  sync -f "$fs"
  fstrim "$fs"
  look
done
umount "$fs"
detach_loop "$dev"
"$S3CRATE" sync "$m" >"$T/sync.out"
look
[ "$(stat_value upload commits)" -ge 2 ] || fail "there were no commits"
# Many times the upload delay, with reads and fsyncs of nothing.
commits=$(stat_value upload commits) before=$(seen) syncs=$(stat_value journal syncs)
for i in 1 2 3 4; do
  sleep 0.5
  dd if="$m/disk" of=/dev/null bs=1M count=8 skip=$((i * 8)) status=none
  sync "$m/disk"
done
[ "$(stat_value upload commits)" = "$commits" ] || fail "an idle disk made commits"
[ "$(stat_value journal syncs)" -le $((syncs + 4)) ] || fail "fsync of nothing syncs the journal"
look
[ "$(seen)" = "$before" ] || fail "an idle disk made objects"

say "a kill, a recovery, a take-over"
dd if=/dev/urandom of="$m/disk" bs=64K count=100 conv=notrunc,fsync status=none
kill -KILL "$daemon"
bury_volume
look
mount_volume --upload-delay 100ms
dd if=/dev/urandom of="$m/disk" bs=64K count=100 seek=50 conv=notrunc,fsync status=none
kill -KILL "$daemon"
bury_volume
rm -rf "$state"
expect_status 3 "${try_mount[@]}"
look
mount_volume --take-over --upload-delay 100ms
dd if=/dev/zero of="$m/disk" bs=64K count=100 conv=notrunc,fsync status=none
umount_volume
look
"$S3CRATE" info "$url" --key-file "$T/key" >"$T/info"
"$S3CRATE" history "$url" --key-file "$T/key" >"$T/history"
mount_volume --read-only
dd if="$m/disk" of=/dev/null bs=1M count=16 status=none
umount_volume
check_volume
look
stop_watch 20
say "$(seen) objects, none of them touched again"
