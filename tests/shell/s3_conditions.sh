#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A store that ignores If-None-Match, or does not know it, is refused with the reason; a volume made
# for a single writer works there.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires curl pgrep
tmpdir
. "${0%/*}/strict.sh"
. "${0%/*}/volume.sh"
dd if=/dev/urandom of="$T/data" bs=64K count=8 status=none

single_writer() {
  local i
  new_volume 64M --single-writer
  for i in 0 1; do
    rm -rf "$state"
    mount_volume
    [ $i = 0 ] || cmp -n 524288 "$T/data" "$m/disk" || fail "what was written is not there"
    dd if="$T/data" of="$m/disk" bs=64K seek=$((i * 8)) conv=notrunc,fsync status=none
    umount_volume
    check_volume
  done
}

serve conditions=ignored
new_volume 64M
expect_status 6 "${try_mount[@]}"
expect_message 'does not refuse to overwrite an object, so two writers could destroy .*--single-writer'
single_writer

serve conditions=501
mkdir -p "$m"
expect_status 6 "$S3CRATE" format "$url-new" --size 64M --key-file "$T/key"
expect_message '501 NotImplemented.*, so two writers could destroy .*: use another store, or a volume made with --single-writer$'
single_writer

say "a store that forgets its conditions after the volume was made"
set_strict conditions=enforced
new_volume 64M
for conditions in ignored 501; do
  set_strict conditions=$conditions
  expect_status 6 "${try_mount[@]}"
  expect_message '--single-writer'
done
set_strict conditions=enforced
mount_volume
umount_volume
check_volume

say "a store that looks at no checksum, with the ETags of MD5 and with others"
for etag in md5 opaque; do
  serve checksums=ignored etag=$etag
  new_volume 64M
  mount_volume
  dd if="$T/data" of="$m/disk" bs=64K conv=notrunc,fsync status=none
  umount_volume
  check_volume
  mount_volume
  cmp -n 524288 "$T/data" "$m/disk" || fail "what was written is not there"
  umount_volume
done
