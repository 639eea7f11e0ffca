#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# repair through the whole program: a volume that has lost all objects of its map reads as it did, and is mounted and written to
# again; and what is refused. The volume is a golden one, as small as it is and with checkpoints all the same.
. "${0%/*}/lib.sh"
requires_fuse
requires python3
tmpdir
. "${0%/*}/volume.sh"

mkdir -p "$store" "$m"
tar -xzf "${0%/*}/../golden/mixed.tar.gz" -C "$store"
printf '\007%.0s' {1..32} >"$T/key"
chmod 600 "$T/key"
key=(--key-file "$T/key") writer=(--key-file "$T/key" --state-dir "$state" --moved)
"$S3CRATE" export "$url" "$T/before" "${key[@]}" >"$T/export"

say "nothing to repair, and what is refused"
expect_status 2 "$S3CRATE" repair "$url" "${key[@]}" --state-dir "$state"
expect_message 'is a copy: the volume was last written in another place'
expect_status 2 "$S3CRATE" repair "$url@5" "${writer[@]}"
expect_status 5 "$S3CRATE" repair "$url" --key-file /dev/null --state-dir "$state"
commits=$(find "$store/commits" -type f | wc -l)
expect_status 0 "$S3CRATE" repair "$url" "${writer[@]}"
expect_message 'there is nothing to repair'
[ "$(find "$store/commits" -type f | wc -l)" = "$commits" ] || fail "it wrote, though there was nothing to repair"
mount_volume --moved
expect_status 3 "$S3CRATE" repair "$url" "${writer[@]}"
expect_message "is mounted on $m: unmount it first"
umount_volume

say "all objects of the map are lost"
for generation in 20 30 40; do "$S3CRATE" export "$url@$generation" "$T/at-$generation" "${key[@]}" >>"$T/export"; done
find "$store" -type f ! -path "$store/map/*" -exec sha256sum {} + >"$T/objects"
rm -r "$store/map"
expect_status 4 "$S3CRATE" export "$url" "$T/none" "${key[@]}"
expect_status 0 "$S3CRATE" repair "$url" "${writer[@]}" --json
python3 - "$T/stdout" <<'END' || fail "another report: $(cat "$T/stdout")"
import json, sys
report = json.load(open(sys.argv[1]))
assert report["repaired"] and report["from_generation"] == 0 and report["runs"] > 100
assert len(report["damages"]) >= 3 and report["unreadable"] == [] and report["lost_generations"] == []
first, last = report["past_unreadable"]
assert first < last == report["generation"] - 1
END
sha256sum -c --quiet "$T/objects" || fail "something was deleted or changed"
expect_status 0 "$S3CRATE" compare "$T/before" "$url" "${key[@]}"
expect_status 0 "$S3CRATE" repair "$url" "${writer[@]}"
expect_message 'there is nothing to repair'
mount_volume
cmp "$T/before" "$m/disk" || fail "the mounted disk is another"
dd if=/dev/urandom of="$m/disk" bs=64K count=3 seek=20 conv=notrunc,fsync status=none
cp "$m/disk" "$T/after"
umount_volume
expect_status 0 "$S3CRATE" compare "$T/after" "$url" "${key[@]}"

say "and those of older generations come back as volumes of their own"
for generation in 20 30 40; do
  expect_status 4 "$S3CRATE" export "$url@$generation" "$T/none" "${key[@]}"
  expect_status 0 "$S3CRATE" repair "$url@$generation" --into "file://$T/past-$generation" "${writer[@]}"
  expect_message "generation $generation of .* has a map again"
  expect_status 0 "$S3CRATE" compare "$T/at-$generation" "file://$T/past-$generation" "${key[@]}"
done
expect_status 1 "$S3CRATE" repair "$url@0s ago" --into "file://$T/none" "${writer[@]}"
expect_message "has a whole map: s3crate-blk fork $url@0s ago"
expect_status 2 "$S3CRATE" repair "$url@20" --into "file://$T/none" --through-gaps "${writer[@]}"
expect_status 0 "$S3CRATE" check "file://$T/past-30" --read-data "${key[@]}"

say "all commits are lost, and then a segment"
new_volume 64M
mount_volume
dd if=/dev/urandom of="$m/disk" bs=1M count=3 seek=2 conv=notrunc,fsync status=none
"$S3CRATE" sync "$m" >/dev/null
cp "$m/disk" "$T/early"
dd if=/dev/zero of="$m/disk" bs=1M count=1 seek=3 conv=notrunc,fsync status=none
"$S3CRATE" sync "$m" >/dev/null
dd if=/dev/urandom of="$m/disk" bs=64K count=3 seek=300 conv=notrunc,fsync status=none
cp "$m/disk" "$T/before"
umount_volume
expect_status 1 "$S3CRATE" repair "$url" --into "file://$T/new" "${key[@]}"
expect_message 'the commits of .* tell all that its segments do'
rm -r "$store/commits"
find "$store" -type f -exec sha256sum {} + | sort >"$T/objects"
expect_status 4 "$S3CRATE" repair "$url" "${key[@]}" --state-dir "$state"
expect_message "repair $url --into NEWURL"
expect_status 2 "$S3CRATE" repair "$url" --through-gaps "${key[@]}"
expect_message 'for the new volume of --into'
expect_status 2 "$S3CRATE" repair "$url" --into "$url/inside" "${key[@]}"
expect_message 'a fork needs a place of its own'
expect_status 0 "$S3CRATE" repair "$url" --into "file://$T/new" "${key[@]}"
expect_message 'not restored: older generations, tags'
expect_status 0 "$S3CRATE" compare "$T/before" "file://$T/new" "${key[@]}"
expect_status 1 "$S3CRATE" repair "$url" --into "file://$T/new" "${key[@]}"
expect_message 'there is a volume at .* already'
use_url "file://$T/new"
mount_volume
cmp "$T/before" "$m/disk" || fail "the restored disk is another"
dd if=/dev/urandom of="$m/disk" bs=64K count=3 seek=20 conv=notrunc,fsync status=none
cp "$m/disk" "$T/after"
umount_volume
expect_status 0 "$S3CRATE" compare "$T/after" "$url" "${key[@]}"
use_url "file://$store"
last=$(find "$store/segments" -type f | sort | sed -n 2p)
mv "$last" "$T/segment"
expect_status 4 "$S3CRATE" repair "$url" --into "file://$T/new2" "${key[@]}" --json
python3 - "$T/stdout" <<'END' || fail "another report: $(cat "$T/stdout")"
import json, sys
report = json.load(open(sys.argv[1]))
assert report["from_generation"] is None and report["generations"] == 1 and report["gap"], report
assert report["not_restored"]["segments"] >= 1 and report["unvouched"] == [], report
END
expect_status 0 "$S3CRATE" compare "$T/early" "file://$T/new2" "${key[@]}"
expect_status 4 "$S3CRATE" repair "$url" --into "file://$T/new3" "${key[@]}" --through-gaps
expect_message 'of the disk were not written after the last one'
mv "$T/segment" "$last"
find "$store" -type f -exec sha256sum {} + | sort >"$T/objects-after"
expect_same "$T/objects" "$T/objects-after" "something at the lost volume was changed"
