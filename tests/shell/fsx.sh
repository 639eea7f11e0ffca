#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# fsx (tests/support/fsx.cc) on the disk's file, and on a file of ext4 upon the disk, side by side: every byte is what a copy in
# memory says, and still is when the state directory is gone. And fsx notices a byte that is not.
#
#   S3CRATE_TEST_SEED        of the operations
#   S3CRATE_FSX_OPERATIONS   how many on each file (100000)
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires_loop
requires pgrep mkfs.ext4
requires_fs ext4
tmpdir
. "${0%/*}/volume.sh"
fsx=$abs_top_builddir/tests/support/fsx
seed=${S3CRATE_TEST_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
operations=${S3CRATE_FSX_OPERATIONS:-100000}
length=$((1 << 20)) offset=$((64 << 20))
fs=$T/fs
mkdir "$fs"
say "seed $seed, $operations operations on each file"
loop_slot

mount_fs() {
  dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096 --offset $offset)
  mount "$dev" "$fs"
}

say "a byte that was spoiled is noticed"
new_volume 256M
mount_volume --upload-delay 1s --block-cache-size 16M
expect_status 1 "$fsx" --fixed --seed "$seed" --length $length --operations 2000 --spoil 1000 "$m/disk" >"$T/spoiled"
at=$(sed -n 's/^fsx: spoiled the byte at //p' "$T/stdout")
expect_message "^fsx: operation [0-9]+, seed $seed: the byte at $at is .. instead of .., 1 of "

say "on the disk's file and on ext4"
dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096 --offset $offset)
mkfs.ext4 -q "$dev" >"$T/mkfs" 2>&1 || fail "mkfs.ext4: $(cat "$T/mkfs")"
detach_loop "$dev"
mount_fs
"$fsx" --fixed --seed "$seed" --length $length --operations "$operations" "$m/disk" >"$T/on-disk" &
on_disk=$!
track $on_disk
"$fsx" --seed "$seed" --operations "$operations" "$fs/file" >"$T/on-ext4" || fail "on ext4: $(cat "$T/on-ext4")"
wait $on_disk || fail "on the disk's file: $(cat "$T/on-disk")"
_pids=()  # it is gone: its number may be given to another
cat "$T/on-disk" "$T/on-ext4" >&2
! grep -q ' no ' "$T/on-disk" || fail "the disk's file lacks an operation"
cp "$fs/file" "$T/file"
head -c $length "$m/disk" >"$T/disk"
umount "$fs"
detach_loop "$dev"
umount_volume

say "without the state directory"
rm -rf "$state"
mount_volume
head -c $length "$m/disk" | cmp - "$T/disk" || fail "the disk's file differs"
mount_fs
cmp "$fs/file" "$T/file" || fail "the file on ext4 differs"
umount "$fs"
detach_loop "$dev"
umount_volume
check_volume
