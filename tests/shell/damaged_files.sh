#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# scripts/damaged-files on btrfs, ext4 and xfs: where a file is on the disk is found by what is in it, and the file by where that is.
. "${0%/*}/lib.sh"
requires_root
requires_loop
requires filefrag lsblk findmnt mkfs.btrfs mkfs.ext4 mkfs.xfs python3
requires_fs btrfs
requires_fs ext4
requires_fs xfs
tmpdir
script=$abs_top_srcdir/scripts/damaged-files
image=$T/image fs="$T/fs [1]"
mkdir "$fs"
loop_slot

# place FILE: where the first 4 KiB of it are on the disk, which nothing else looks like.
place() {
  python3 - "$1" "$image" "$offset" <<'PY'
import mmap, sys
with open(sys.argv[1], "rb") as f: wanted = f.read(4096)
with open(sys.argv[2], "rb") as f:
    at = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ).find(wanted)
assert at >= 0, "not on the disk"
print(at)
PY
}

for type in btrfs ext4 xfs; do
  say "$type"
  offset=$((1 << 20)) # as with a partition, or losetup --offset
  rm -f "$image"
  truncate -s 401M "$image"
  dev=$(attach_loop "$image" --offset $offset)
  "mkfs.$type" -q "$dev" >"$T/mkfs" 2>&1 || fail "mkfs.$type: $(cat "$T/mkfs")"
  mount "$dev" "$fs"
  head -c 1M /dev/urandom >"$fs/a"
  if [ $type = btrfs ]; then btrfs -q subvolume create "$fs/sub"; else mkdir "$fs/sub"; fi
  head -c 100000 /dev/urandom >"$fs/sub/b is 12 (c)"
  truncate -s 1M "$fs/sub/d"
  head -c 8192 /dev/urandom | dd of="$fs/sub/d" bs=4096 seek=100 conv=notrunc status=none
  dd if="$fs/sub/d" of="$T/d" bs=4096 skip=100 count=2 status=none
  odd=$fs/sub/e$'\n'"f"
  head -c 8192 /dev/urandom >"$odd"
  # Another filesystem below it is not looked at.
  mkdir "$fs/other dir"
  mount -t tmpfs none "$fs/other dir"
  cp "$fs/a" "$fs/other dir/a"
  sync -f "$fs"
  e=$(place "$odd") a=$(place "$fs/a") b=$(place "$fs/sub/b is 12 (c)") d=$(place "$T/d")
  end=$((401 * 1024 * 1024 - 65536))
  cat >"$T/check" <<END
damaged: segments/0000010000000003.00: of 5 extents, 3 cannot be read
these bytes of the disk cannot be read (offset and length):
  $((a + 65536)) 4096
  $((b - 0)) 16384
  $((d + 4096)) 4096
  $((e + 4096)) 4096
  $end 8192
generation 7: 12 commits, 3 segments are sound
END
  "$script" "$fs" <"$T/check" >"$T/found" || fail "status $?"
  cat >"$T/expected" <<END
$(printf '%q' "$odd")
  4096 bytes from 4096 on
$fs/a
  4096 bytes from 65536 on
$fs/sub/b is 12 (c)
  16384 bytes from 0 on
$fs/sub/d
  4096 bytes from 413696 on
END
  head -n -2 "$T/found" | paste -d '|' - - | sort | tr '|' '\n' >"$T/sorted"
  diff "$T/expected" "$T/sorted" >&2 || fail "$type: other files"
  tail -n 2 "$T/found" >"$T/rest"
  printf 'in no file: 8192 bytes of the disk (offset and length), which are metadata of %s or free\n  %s 8192\n' $type $end >"$T/expected"
  diff "$T/expected" "$T/rest" >&2 || fail "$type: the rest"
  umount "$fs/other dir"
  umount "$fs"
  losetup -d "$dev"
done

say "wrong input"
expect_status 2 "$script"
expect_status 2 "$script" "$T" /nowhere
expect_status 2 "$script" /nowhere
echo "nothing of the kind" >"$T/empty"
mount -t tmpfs none "$fs"
expect_status 1 "$script" "$fs" "$T/empty"
expect_message "tmpfs"
umount "$fs"
"$script" --help >"$T/help"
grep -q "which files" "$T/help" || fail "--help says nothing"
