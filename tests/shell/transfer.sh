#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# export, compare and diff through the whole program: beside a mounted disk, to files, pipes and a block device; damage; and what is
# refused.
. "${0%/*}/lib.sh"
requires_fuse
requires python3
tmpdir
. "${0%/*}/volume.sh"
key=(--key-file "$T/key")

new_volume 24M --segment-size 64K
mount_volume
for at in 1 9; do
  dd if=/dev/urandom of="$m/disk" bs=1M count=2 seek=$at conv=notrunc,fsync status=none
done
first=$("$S3CRATE" sync "$m")
cp --sparse=always "$m/disk" "$T/first"
dd if=/dev/urandom of="$m/disk" bs=64K count=3 seek=150 conv=notrunc,fsync status=none
second=$("$S3CRATE" sync "$m")
cp --sparse=always "$m/disk" "$T/second"

say "two generations beside the mounted disk"
expect_status 0 "$S3CRATE" export "$url@$first" "$T/out" "${key[@]}"
cmp "$T/first" "$T/out" || fail "another image"
[ "$(stat -c %a "$T/out")" = 600 ] || fail "others may read the image"
[ "$(stat -c %b "$T/out")" -lt 12000 ] || fail "the image has $(stat -c %b "$T/out") sectors: it is not sparse"
expect_status 0 "$S3CRATE" export "$url" "$T/out" "${key[@]}" --json
expect_message '"written": true'
cmp "$T/second" "$T/out" || fail "the file was not replaced"
"$S3CRATE" export "$url@$first" - "${key[@]}" 2>"$T/stderr" | cmp - "$T/first" || fail "another stream"
expect_status 0 "$S3CRATE" compare "$T/second" "$url" "${key[@]}"
expect_status 4 "$S3CRATE" compare "$T/first" "$url" "${key[@]}"
expect_message "^  $((150 << 16)) $((3 << 16))$"
"$S3CRATE" diff "$url@$first" "$url@$second" "${key[@]}" --json >"$T/diff"
python3 -c 'import json, sys; assert json.load(open(sys.argv[1])) == [[150 << 16, 3 << 16]]' "$T/diff" || fail "$(cat "$T/diff")"
expect_status 0 "$S3CRATE" diff "$url@$second" "$url@$second" "${key[@]}" --json
expect_message '^\[\]$'
umount_volume

say "one object is lost: the ranges, and no file but on request"
rm "$(find "$store/segments" -type f | sort | sed -n 3p)"
rm "$T/out"
expect_status 4 "$S3CRATE" export "$url" "$T/out" "${key[@]}"
expect_message 'cannot be read \(offset and length\)'
[ -z "$(find "$T" -name '*out*' -newer "$T/diff" ! -name stdout ! -name '*.out')" ] || fail "something was left: $(ls -A "$T")"
expect_status 4 "$S3CRATE" export "$url" "$T/out" "${key[@]}" --zero-damaged --json
cp "$T/stdout" "$T/report"
expect_status 4 "$S3CRATE" compare "$T/second" "$url" "${key[@]}"
python3 - "$T/report" "$T/out" "$T/second" <<'END' || fail "the ranges are not those that differ"
import json, sys
report = json.load(open(sys.argv[1]))
out, whole = open(sys.argv[2], "rb").read(), bytearray(open(sys.argv[3], "rb").read())
assert report["damaged_bytes"] > 0 and report["complete"]
for offset, length in report["damaged_ranges"]:
    whole[offset:offset + length] = bytes(length)
assert out == whole
END
status=0
"$S3CRATE" export "$url" - "${key[@]}" >"$T/stream" 2>"$T/stderr" || status=$?
[ $status = 4 ] || fail "a stream over damage: status $status"
[ "$(stat -c %s "$T/stream")" -lt $((24 << 20)) ] || fail "a stream went on over damage"

say "wrong input"
expect_status 1 "$S3CRATE" export "$url@999" "$T/none" "${key[@]}"
expect_message 'there is no generation 999: the newest is'
expect_status 2 "$S3CRATE" export "$url" "$T" "${key[@]}"
expect_message 'is a directory'
expect_status 1 "$S3CRATE" export "$url@$first" "$T/no/where" "${key[@]}"
expect_message "cannot make $T/no/where"
expect_status 1 "$S3CRATE" export "$url@$first" /dev/full "${key[@]}" --zero-damaged
expect_message 'no room for the image'
expect_status 2 "$S3CRATE" export "$url" - "${key[@]}" --json
expect_status 1 "$S3CRATE" compare "$T/nothing" "$url" "${key[@]}"
expect_status 2 "$S3CRATE" compare /dev/zero "$url" "${key[@]}"
expect_message 'neither a file nor a block device'
expect_status 2 "$S3CRATE" diff "$url" "file://$T/other" "${key[@]}"
expect_message 'two generations of one volume'
expect_status 1 "$S3CRATE" diff "$url@0" "$url" "${key[@]}"
[ -z "$(find "$T" -name '.*.partial')" ] || fail "half an image was left"

say "import: all of it, what has changed, and nothing"
new_volume 24M --segment-size 64K
import() { expect_status "$1" "$S3CRATE" import "${@:2}" "$url" "${key[@]}" --state-dir "$state"; }
import 0 "$T/first"
expect_message 'holds'
expect_status 0 "$S3CRATE" compare "$T/first" "$url" "${key[@]}"
import 0 "$T/second" --json
python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); assert r["changed_bytes"] == 3 << 16 and r["sent_bytes"] < 4 << 16, r' "$T/stdout"
mount_volume
cmp "$m/disk" "$T/second" || fail "the disk is not the image"
import 3 "$T/first"
expect_message "is mounted on $m"
umount_volume

say "an import that is killed has changed nothing, and the next one goes on"
head -c 24M /dev/urandom >"$T/third"
before=$(objects | wc -l)
"$S3CRATE" import "$T/third" "$url" "${key[@]}" --state-dir "$state" >"$T/killed" 2>&1 &
importer=$!
track $importer
wait_until 60 eval '[ "$(objects | wc -l)" -gt $((before + 20)) ]'
kill -KILL $importer
if wait $importer; then
  say "it was faster than the kill"
else
  expect_status 0 "$S3CRATE" compare "$T/second" "$url" "${key[@]}"
  import 0 "$T/third" --json
  python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); assert r["found_bytes"] > 0 and r["found_bytes"] + r["sent_bytes"] < 25 << 20, r' "$T/stdout"
fi
expect_status 0 "$S3CRATE" compare "$T/third" "$url" "${key[@]}"
check_volume

say "what does not fit, and what is no image"
truncate -s 30M "$T/third"
before=$(objects)
import 2 "$T/third"
expect_message 'add --resize'
import 2 "$T"
import 1 "$T/nothing"
[ "$(objects)" = "$before" ] || fail "a refused import left something"
expect_status 2 "$S3CRATE" import "$T/first" "$url@1" "${key[@]}"
: >"$T/empty"
expect_status 2 "$S3CRATE" import "$T/empty" "$url" "${key[@]}" --state-dir "$state"
expect_message 'is empty, and would make all of the disk zeros'
import 0 "$T/third" --resize
expect_message '30.0 MiB now, 24.0 MiB before'

say "the image is stored where its fingerprints cannot be, and it is said"
other_url=file://$T/other
"$S3CRATE" format "$other_url" --size 1M "${key[@]}" >/dev/null
touch "$T/other/map"  # where no pages can be put then
head -c 1M /dev/urandom >"$T/fourth"
expect_status 0 "$S3CRATE" import "$T/fourth" "$other_url" "${key[@]}" --state-dir "$state"
expect_message 'but not its fingerprints'
rm "$T/other/map"
expect_status 0 "$S3CRATE" compare "$T/fourth" "$other_url" "${key[@]}"
