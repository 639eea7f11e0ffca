#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The FUSE layer over a disk that is plain memory: what the kernel, losetup and mkfs need of the file.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires_loop
requires_fs ext4
requires python3 fallocate mkfs.ext4 e2fsck stat dd cmp
memory_disk=$abs_top_builddir/tests/support/fuse_memory_disk
[ -x "$memory_disk" ] || skip "needs $memory_disk"
tmpdir
loop_slot
mib=1048576
size=$((64 * mib))
mkdir "$T/m" "$T/fs"

# start [options...]: mounts a fresh memory disk at $T/m.
start() {
  unlocked "$memory_disk" $size "$T/m" "$@" 2>"$T/daemon.log" &
  track $!
  wait_until 10 test -e "$T/m/disk" || fail "not mounted: $(cat "$T/daemon.log")"
}
stop() {
  umount "$T/m"
  wait "$!" || fail "the server ended with $?: $(cat "$T/daemon.log")"
}
count() { awk -v n="$1" '$1 == n { print $2 }' "$T/m/stats"; }

say "the file, its name in the mount table, and its times"
start
grep -q "^memory:///a,b\\\\134c $T/m fuse\.s3crate-blk " /proc/self/mounts || fail "$(grep "$T/m" /proc/self/mounts)"
[ "$(stat -c '%s %b %a' "$T/m/disk")" = "$size 0 600" ] || fail "$(stat "$T/m/disk")"
[ "$(find "$T/m" -mindepth 1 -printf '%f\n' | sort | tr '\n' ' ')" = "disk stats " ] || fail "$(ls -la "$T/m")"

say "512-byte writes, buffered and direct, and what is read back"
head -c 4096 /dev/urandom >"$T/block"
for i in 0 1 2 3 4 5 6 7; do
  dd if="$T/block" of="$T/m/disk" bs=512 count=1 skip=$i seek=$((2048 + i)) conv=notrunc status=none
  dd if="$T/block" of="$T/m/disk" bs=512 count=1 skip=$i seek=$((4096 + i)) conv=notrunc oflag=direct status=none
done
for at in $mib $((2 * mib)); do
  dd if="$T/m/disk" bs=4096 skip=$((at / 4096)) count=1 iflag=direct status=none | cmp - "$T/block"
  dd if="$T/m/disk" bs=4096 skip=$((at / 4096)) count=1 status=none | cmp - "$T/block"
done
[ "$(count writes)" = 16 ] || fail "16 writes became $(count writes)"

say "close flushes what was written, and nothing else; fsync always does"
flushes=$(count flushes)
[ "$flushes" = 16 ] || fail "16 closes after writes made $flushes flushes"
dd if="$T/m/disk" of=/dev/null bs=1M status=none
[ "$(count flushes)" = 16 ] || fail "closing after reading flushed"
dd if=/dev/zero of="$T/m/disk" bs=4096 count=1 conv=notrunc,fsync status=none
[ "$(count flushes)" = 17 ] || fail "write, fsync and close made $(($(count flushes) - 16)) flushes"

say "requests of 1 MiB"
reads=$(count reads)
dd if="$T/m/disk" of=/dev/null bs=1M count=8 iflag=direct status=none
[ $(($(count reads) - reads)) = 8 ] || fail "8 direct reads of 1 MiB became $(($(count reads) - reads))"
writes=$(count writes)
dd if=/dev/zero of="$T/m/disk" bs=1M count=8 seek=8 oflag=direct conv=notrunc status=none
[ $(($(count writes) - writes)) = 8 ] || fail "8 direct writes of 1 MiB became $(($(count writes) - writes))"

say "punched holes, zeroed ranges, the end of the disk"
fallocate --punch-hole --offset $mib --length 4096 "$T/m/disk"
fallocate --zero-range --offset $((2 * mib)) --length 4096 "$T/m/disk"
for at in $mib $((2 * mib)); do
  dd if="$T/m/disk" bs=4096 skip=$((at / 4096)) count=1 status=none | cmp - <(head -c 4096 /dev/zero)
done
python3 - "$T/m/disk" $size <<'END' || fail "see above"
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
path, size = sys.argv[1], int(sys.argv[2])
fd = os.open(path, os.O_RDWR)

def fallocate(mode, offset, length):
    r = libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length))
    return 0 if r == 0 else ctypes.get_errno()

def code(call, *args):
    try:
        return call(*args)
    except OSError as e:
        return -e.errno

def expect(what, got, want):
    assert got == want, f"{what}: {got} instead of {want}"

for mode, inside, beyond in [(0, 0, errno.EFBIG), (1, 0, 0), (3, 0, 0), (0x10, 0, errno.EFBIG), (0x11, 0, 0)]:
    expect(f"mode {mode:#x}", fallocate(mode, 8192, 4096), inside)
    expect(f"mode {mode:#x} past the end", fallocate(mode, size - 4096, 8192), beyond)
for mode in (0x08, 0x20, 0x40 | 1):  # collapse, insert, unshare
    expect(f"mode {mode:#x}", fallocate(mode, 0, 4096), errno.EOPNOTSUPP)
expect("write at the end", code(os.pwrite, fd, b"x", size), -errno.ENOSPC)
expect("write across the end", code(os.pwrite, fd, b"x" * 100, size - 10), 10)
expect("read at the end", os.pread(fd, 10, size), b"")
expect("shrink", code(os.ftruncate, fd, 4096), -errno.EPERM)
expect("grow", code(os.ftruncate, fd, size + 1), -errno.EPERM)
expect("same size", code(os.ftruncate, fd, size), None)
expect("chmod", code(os.chmod, path, 0o666), -errno.EPERM)
os.utime(path)

fallocate(3, 0, size)
expect("SEEK_DATA on an empty disk", code(os.lseek, fd, 0, os.SEEK_DATA), -errno.ENXIO)
expect("SEEK_HOLE on an empty disk", os.lseek(fd, 5, os.SEEK_HOLE), 5)
os.pwrite(fd, b"x" * 8192, 16384)
expect("SEEK_DATA", os.lseek(fd, 0, os.SEEK_DATA), 16384)
expect("SEEK_DATA in data", os.lseek(fd, 20000, os.SEEK_DATA), 20000)
expect("SEEK_HOLE", os.lseek(fd, 16384, os.SEEK_HOLE), 24576)
expect("SEEK_DATA behind", code(os.lseek, fd, 24576, os.SEEK_DATA), -errno.ENXIO)
expect("SEEK_HOLE past the end", code(os.lseek, fd, size, os.SEEK_HOLE), -errno.ENXIO)
for flags, want in [(os.O_WRONLY, -errno.EACCES), (os.O_RDWR, -errno.EACCES)]:
    expect("writing stats", code(os.open, os.path.dirname(path) + "/stats", flags), want)
END
wait_until 5 test "$(stat -c %b "$T/m/disk")" = 16 || fail "8 KiB of data are $(stat -c %b "$T/m/disk") sectors"
if (: >"$T/m/new") 2>/dev/null; then fail "a file was created"; fi
stop

# filesystem [losetup options...]: ext4 on a loop device on the disk, with discard; fsck is content.
filesystem() {
  local dev
  start
  dev=$(attach_loop "$T/m/disk" "$@")
  mkfs.ext4 -q -E nodiscard "$dev"
  mount "$dev" "$T/fs"
  cp -r /usr/include/linux "$T/fs/"
  sync -f "$T/fs"
  [ "$(count flushes)" -gt 0 ] || fail "sync of the filesystem flushed nothing"
  rm -r "$T/fs/linux"
  cp -r /usr/include/asm-generic "$T/fs/"
  local before
  before=$(count discards)
  fstrim "$T/fs"
  [ "$(count discards)" -gt "$before" ] || fail "fstrim discarded nothing"
  echo 3 >/proc/sys/vm/drop_caches
  diff -r /usr/include/asm-generic "$T/fs/asm-generic"
  umount "$T/fs"
  e2fsck -fn "$dev" >"$T/fsck" 2>&1 || fail "$(cat "$T/fsck")"
  losetup -d "$dev"
  stop
}

say "ext4 on losetup with direct I/O, which stays on"
start
dev=$(attach_loop "$T/m/disk" --direct-io=on --sector-size 4096)
[ "$(cat "/sys/block/${dev#/dev/}/loop/dio")" = 1 ] || fail "direct I/O is off"
losetup -d "$dev"
stop
filesystem --direct-io=on --sector-size 4096

say "ext4 on plain losetup"
filesystem

say "a read-only disk"
start --read-only
if dd if=/dev/zero of="$T/m/disk" bs=4096 count=1 conv=notrunc status=none 2>"$T/error"; then fail "written"; fi
grep -q 'Read-only\|Permission denied' "$T/error" || fail "$(cat "$T/error")"
dev=$(attach_loop "$T/m/disk")
[ "$(cat "/sys/block/${dev#/dev/}/ro")" = 1 ] || fail "the loop device is writable"
losetup -d "$dev"
stop
