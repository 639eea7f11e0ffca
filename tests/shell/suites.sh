#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What others wrote to find wrong data: fio --verify with io_uring on the disk's file and through a loop device, again after
# the state directory is gone, with a kill between; btrfs scrub and balance while files are written.
#
#   S3CRATE_TEST_SEED   repeats fio's choices
#   S3CRATE_FIO_SIZE    how much each of fio's jobs covers (96M)
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires_loop
requires fio python3 pgrep mkfs.btrfs btrfs
requires_fs btrfs
tmpdir
. "${0%/*}/volume.sh"
support=$abs_top_srcdir/tests/support
seed=${S3CRATE_TEST_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
size=${S3CRATE_FIO_SIZE:-96M}
say "seed $seed"
loop_slot

# verified NAME FILE OFFSET [OPTION...]: what fio writes there, it finds. (Some writes overlap others of its own: one at a time
# on a place.)
verified() {
  local name=$1 file=$2 offset=$3
  shift 3
  fio --name="$name" --filename="$file" --offset="$offset" --size="$size" --rw=randwrite --bsrange=4k-128k --ioengine=io_uring \
    --iodepth=16 --serialize_overlap=1 --direct=1 --verify=crc32c --verify_fatal=1 --randseed="$seed" --allrandrepeat=1 --aux-path="$T" \
    --minimal "$@" >"$T/fio.$name" 2>&1 || fail "fio, $name: $(tail -n 5 "$T/fio.$name")"
}

say "fio --verify on the file, and through a loop device"
new_volume 1G
mount_volume --upload-delay 1s --block-cache-size 16M
dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
verified file "$m/disk" 0 --fsync=32 &
file=$!
track $file
verified loop "$dev" 512M --fdatasync=64
wait $file || fail "on the file"
verified again "$dev" 512M --do_verify=1 --fsync=200

say "the same after a kill, and without the state directory"
sync "$m/disk"
kill -KILL "$daemon"
detach_loop "$dev"
bury_volume
mount_volume --block-cache-size 16M
verified killed "$m/disk" 512M --verify_only
umount_volume
rm -rf "$state"
mount_volume --block-cache-size 16M
verified stored "$m/disk" 512M --verify_only
verified stored-file "$m/disk" 0 --verify_only
umount_volume

say "btrfs: scrub and balance while files are written"
fs=$T/fs
mkdir "$fs"
new_volume 1G
mount_volume --upload-delay 1s --block-cache-size 16M
dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
mkfs.btrfs -q "$dev" >"$T/mkfs" 2>&1 || fail "mkfs.btrfs: $(cat "$T/mkfs")"
mount "$dev" "$fs"
"$support/make-tree" "$fs/data" 1
"$support/list-tree" "$fs/data" >"$T/before.list"
mkdir "$fs/written"
: >"$T/written.log"
"$support/file-writer" run "$fs/written" "$T/written.log" 1 "$m" &
writer=$!
track $writer
wait_until 20 grep -q '^d' "$T/written.log" || fail "the writer does not get on"
btrfs balance start --full-balance "$fs" >"$T/balance" 2>&1 || fail "balance: $(cat "$T/balance")"
btrfs scrub start -B "$fs" >"$T/scrub" 2>&1 || fail "scrub: $(cat "$T/scrub")"
grep -q 'no errors found' "$T/scrub" || fail "scrub: $(cat "$T/scrub")"
kill -TERM $writer
wait $writer || fail "the writer: status $?"
"$support/file-writer" check "$fs/written" "$T/written.log" 1 >"$T/acknowledged"
say "$(cat "$T/acknowledged") fsyncs beside balance and scrub"
umount "$fs"
detach_loop "$dev"
umount_volume
rm -rf "$state"
mount_volume
dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
btrfs check --readonly --check-data-csum "$dev" >"$T/fsck" 2>&1 || fail "btrfs is damaged: $(tail -n 20 "$T/fsck")"
mount "$dev" "$fs"
"$support/list-tree" "$fs/data" >"$T/after.list"
expect_same "$T/before.list" "$T/after.list" "the tree differs"
umount "$fs"
detach_loop "$dev"
umount_volume
