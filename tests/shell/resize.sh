#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# resize: of a mounted disk with ext4 and btrfs on a loop device, of a volume that nobody has mounted, and what is refused.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires_loop
requires python3 pgrep mkfs.ext4 e2fsck resize2fs mkfs.btrfs btrfs
requires_fs ext4 btrfs
tmpdir
. "${0%/*}/volume.sh"
loop_slot
fs=$T/fs
mkdir "$fs"
stored=("$S3CRATE" resize "$url" --key-file "$T/key" --state-dir "$state")

# loop_size BYTES: the device has this size.
loop_size() { [ "$(blockdev --getsize64 "$dev")" = "$1" ] || fail "$dev has $(blockdev --getsize64 "$dev") bytes, not $1"; }
mi=$((1 << 20))

say "of a mounted disk: ext4 grows online"
new_volume 64M
mount_volume
dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
mkfs.ext4 -q "$dev"
mount "$dev" "$fs"
head -c 4M /dev/urandom >"$fs/data"
sync -f "$fs"
expect_status 0 "$S3CRATE" resize "$m" 256M
expect_message "256 MiB now, 64.0 MiB before"
expect_message "losetup -c $dev"
losetup -c "$dev"
loop_size $((256 * mi))
if ! resize2fs "$dev" >"$T/resize2fs" 2>&1; then
  # Online it needs CAP_SYS_RESOURCE.
  grep -q 'Permission denied' "$T/resize2fs" || fail "$(cat "$T/resize2fs")"
  umount "$fs"
  e2fsck -fp "$dev" >"$T/fsck" 2>&1 || fail "$(cat "$T/fsck")"
  resize2fs "$dev" >"$T/resize2fs" 2>&1 || fail "$(cat "$T/resize2fs")"
  mount "$dev" "$fs"
fi
head -c 70M /dev/urandom >"$fs/more"
sync -f "$fs"
sha256sum <"$fs/data" >"$T/data.sum"
expect_status 0 "$S3CRATE" resize "$m" 256M --json
expect_message '"disk_bytes_before": 268435456'

say "ext4 shrinks offline"
umount "$fs"
rm -f "$T/refused"
expect_status 1 "$S3CRATE" resize "$m" 64M
expect_message 'there is data beyond 64.0 MiB.*--discard-tail'
[ "$(stat -c %s "$m/disk")" = $((256 * mi)) ] || fail "the refused resize changed the size"
mount "$dev" "$fs"
rm "$fs/more"
umount "$fs"
e2fsck -fp "$dev" >"$T/fsck" 2>&1 || fail "$(cat "$T/fsck")"
resize2fs "$dev" 64M >"$T/resize2fs" 2>&1 || fail "$(cat "$T/resize2fs")"
expect_status 0 "$S3CRATE" resize "$m" 64M --discard-tail
losetup -c "$dev"
loop_size $((64 * mi))
e2fsck -fn "$dev" >"$T/fsck" 2>&1 || fail "$(cat "$T/fsck")"
mount "$dev" "$fs"
sha256sum <"$fs/data" | cmp -s - "$T/data.sum" || fail "ext4: the data changed"
umount "$fs"
detach_loop "$dev"
dd if=/dev/zero of="$m/disk" bs=4096 seek=$((64 * mi / 4096)) count=1 conv=notrunc status=none 2>/dev/null && fail "a write beyond the new end"
umount_volume

say "of a volume that nobody has mounted: what was cut off is gone for good"
before=$(objects)
expect_status 0 "${stored[@]}" 64M
expect_message 'has 64.0 MiB already'
[ "$(objects)" = "$before" ] || fail "a commit for the size that it has"
expect_status 0 "${stored[@]}" 256M
expect_message '256 MiB now'
mount_volume
cmp -s -n $((192 * mi)) <(tail -c +$((64 * mi + 1)) "$m/disk") /dev/zero || fail "the tail came back"

say "btrfs grows and shrinks online"
dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
mkfs.btrfs -q -f "$dev"
mount "$dev" "$fs"
head -c 8M /dev/urandom >"$fs/data"
sync -f "$fs"
sha256sum <"$fs/data" >"$T/data.sum"
expect_status 0 "$S3CRATE" resize "$m" 512M
losetup -c "$dev"
loop_size $((512 * mi))
btrfs -q filesystem resize max "$fs"
sha256sum <"$fs/data" | cmp -s - "$T/data.sum" || fail "btrfs: the data changed"
btrfs -q filesystem resize 256M "$fs"
sync -f "$fs"
expect_status 0 "$S3CRATE" resize "$m" 256M --discard-tail
losetup -c "$dev"
umount "$fs"
detach_loop "$dev"
expect_status 3 "${stored[@]}" 1G
expect_message "is mounted on $m: s3crate-blk resize $m SIZE"
umount_volume
rm -rf "$state"
mount_volume
[ "$(stat -c %s "$m/disk")" = $((256 * mi)) ] || fail "another machine sees $(stat -c %s "$m/disk") bytes"
dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
btrfs check --readonly --check-data-csum "$dev" >"$T/fsck" 2>&1 || fail "$(tail "$T/fsck")"
detach_loop "$dev"
umount_volume
check_volume

say "a process that is killed leaves the old size or the new one"
mount_volume
head -c 1M /dev/urandom >"$T/tail"
dd if="$T/tail" of="$m/disk" bs=1M seek=255 conv=notrunc,fsync status=none
"$S3CRATE" resize "$m" 128M --discard-tail >"$T/resize.out" 2>&1 &
track $!
kill -KILL "$daemon"
wait $! || true
bury_volume
mount_volume
size=$(stat -c %s "$m/disk")
case $size in
  $((256 * mi))) dd if="$m/disk" bs=1M skip=255 status=none | cmp -s - "$T/tail" || fail "the old size without its data" ;;
  $((128 * mi))) ;;
  *) fail "$size bytes" ;;
esac
umount_volume
check_volume

say "what is no size, and where nothing is to be resized"
for size in 0 1000 -5 10X '' 1E1 999999999999T; do
  expect_status 2 "${stored[@]}" -- "$size"
done
expect_status 2 "$S3CRATE" resize "$url"
expect_status 1 "$S3CRATE" resize "$T/nowhere" 1G
expect_message 'no volume is mounted on'
expect_status 1 "$S3CRATE" resize "file://$T/nothing" 1G --key-file "$T/key" --state-dir "$state"
mount_volume --read-only
expect_status 1 "$S3CRATE" resize "$m" 1G
expect_message 'read-only'
umount_volume
"$S3CRATE" history "$url" --key-file "$T/key" >"$T/history"
grep -q ' resize ' "$T/history" || fail "the history shows no resize"
