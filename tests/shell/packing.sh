#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# How data is packed: format --extent-size and mount --compression do what they say, and what was packed in one way is read and
# written on in another.
. "${0%/*}/lib.sh"
requires_fuse
requires python3
tmpdir
. "${0%/*}/volume.sh"

for i in 1 2 3 4 5 6; do cat "$abs_top_srcdir"/src/*/*.cc; done >"$T/text"
[ "$(stat -c %s "$T/text")" -ge 4194304 ] || fail "too little text"
truncate -s 4M "$T/text"
new_volume 16M --extent-size 16K
expect_status 0 "$S3CRATE" info "$url" --key-file "$T/key"
expect_message 'extent size *16'
expect_status 0 "$S3CRATE" info "$url" --key-file "$T/key" --json
expect_message '"extent_bytes": 16384'

write_text() {
  dd if="$T/text" of="$m/disk" bs=1M seek="$1" conv=notrunc,fsync status=none
  "$S3CRATE" sync "$m" >/dev/null
}

say "level 0 compresses nothing; extents are of 16 KiB"
mount_volume --compression 0
write_text 0
[ "$(stat_value encoder extents)" = 256 ] || fail "$(stat_value encoder extents) extents of 16 KiB"
[ "$(stat_value encoder after_compression_bytes)" -ge 4194304 ] || fail "level 0 makes $(stat_value encoder after_compression_bytes) of 4 MiB"
umount_volume

say "a higher level makes it smaller"
mount_volume
write_text 4
usual=$(stat_value encoder after_compression_bytes)
umount_volume
mount_volume -o compression=19
write_text 8
small=$(stat_value encoder after_compression_bytes)
[ "$usual" -lt 2500000 ] || fail "4 MiB of text are $usual bytes"
[ "$small" -lt "$usual" ] || fail "level 19 makes $small of it, level 1 $usual"
umount_volume

say "all of it is read"
mount_volume --read-only
for at in 0 4 8; do
  dd if="$m/disk" bs=1M skip=$at count=4 status=none | cmp - "$T/text" || fail "what is at $at MiB differs"
done
umount_volume
check_volume

say "an image in extents of another size"
cat "$T/text" "$T/text" "$T/text" "$T/text" >"$T/image"
new_volume 16M --extent-size 16K
expect_status 0 "$S3CRATE" import "$T/image" "$url" --compression 9 --key-file "$T/key" --state-dir "$state"
stored=$(du -sb "$store" | cut -f1)
[ "$stored" -lt $((4 * usual)) ] || fail "$stored bytes in the store, level 1 makes $usual of a quarter of it"
expect_status 0 "$S3CRATE" export "$url" "$T/out" --key-file "$T/key"
cmp "$T/image" "$T/out" || fail "another image came back"
