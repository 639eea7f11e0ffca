#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# check names exactly the bytes of the disk that cannot be read, with exit status 4; history tells
# every generation.
. "${0%/*}/lib.sh"
requires_fuse
tmpdir
. "${0%/*}/volume.sh"

new_volume 16M --segment-size 64K
mount_volume
for at in 1 4 7; do
  dd if=/dev/urandom of="$m/disk" bs=1M count=1 seek=$at conv=notrunc,fsync status=none
  "$S3CRATE" sync "$m" >/dev/null
done
cp "$m/disk" "$T/image"
umount_volume
check() { expect_status "$1" "$S3CRATE" check "$url" --key-file "$T/key" --state-dir "$state" "${@:2}"; }

say "a sound volume"
check 0
check 0 --read-data
check 0 --read-data=10%
[ "$("$S3CRATE" history "$url" --key-file "$T/key" | grep -c ' data ')" = 3 ] || fail "three generations with data"
[ "$("$S3CRATE" history "$url" --key-file "$T/key" --since 1d --limit 2 | wc -l)" = 3 ] || fail "two lines and their head"

say "one segment damaged: the ranges that check names are those that cannot be read"
segment=$(find "$store/segments" -type f | sort | sed -n 2p)
chmod u+w "$segment"
python3 - "$segment" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(5000)
    byte = f.read(1)
    f.seek(5000)
    f.write(bytes([byte[0] ^ 1]))
END
check 4 --read-data --json
mount_volume --read-only
python3 - "$T/stdout" "$m/disk" "$T/image" <<'END'
import json, os, sys
report = json.load(open(sys.argv[1]))
disk, image = os.open(sys.argv[2], os.O_RDONLY), os.open(sys.argv[3], os.O_RDONLY)
failed = []
for at in range(0, os.fstat(image).st_size, 4096):
    try:
        assert os.pread(disk, 4096, at) == os.pread(image, 4096, at), at
    except OSError:
        if failed and sum(failed[-1]) == at:
            failed[-1][1] += 4096
        else:
            failed.append([at, 4096])
assert failed and failed == report["damaged_ranges"], (failed, report)
assert len(report["damages"]) == 1 and not report["clean"] and not report["disk_lost"]
END
"$S3CRATE" umount "$m" >/dev/null

say "the newest commit taken away: known by what this machine has seen"
rm "$(find "$store/commits" -type f | sort | head -n 1)"
check 4
grep -q 'older state' "$T/stdout" || fail "no word about the older state: $(cat "$T/stdout")"
