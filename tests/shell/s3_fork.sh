#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# fork where all volumes are in S3 (the strict server), and a fork of the fork: each reads what it shares from where that is, all live on
# beside each other, and an origin that is not in its place is named.
. "${0%/*}/lib.sh"
requires_fuse
requires curl python3 pgrep
tmpdir
. "${0%/*}/strict.sh"
. "${0%/*}/volume.sh"
serve
use_url "s3://bucket/origin"
fork=s3://bucket/fork second=s3://bucket/deep/second
key=(--key-file "$T/key") key2=(--key-file "$T/key2" --state-dir "$state")
"$S3CRATE" key new "$T/key" >/dev/null
"$S3CRATE" key new "$T/key2" >/dev/null
mkdir -p "$m" "$T/m2"
write_at() { dd if="$1" of="$2/disk" bs=64k seek="$3" conv=notrunc,fsync status=none; } # FILE MOUNTPOINT PLACE

"$S3CRATE" format "$url" --size 32M "${key[@]}" >/dev/null
mount_volume --upload-delay 1s
head -c 12M /dev/urandom >"$T/first"
head -c 1M /dev/urandom >"$T/more"
write_at "$T/first" "$m" 0
point=$("$S3CRATE" sync "$m")
cp --sparse=always "$m/disk" "$T/forked"
write_at "$T/more" "$m" 16

say "a fork beside the writer"
expect_status 0 "$S3CRATE" fork "$url@$point" "$fork" "${key[@]}" --state-dir "$state" --new-key-file "$T/key2" --json
python3 -c 'import json, sys; assert json.load(open(sys.argv[1]))["bytes_put"] < 200_000' "$T/stdout" || fail "data was copied"
expect_status 0 "$S3CRATE" compare "$T/forked" "$fork" --key-file "$T/key2"
"$S3CRATE" mount "$fork" "$T/m2" "${key2[@]}" --journal-size 64M --cache-file-size 0 --log-to "$T/fork.log" >"$T/out" 2>&1 || fail "mount: $(cat "$T/out")"
cmp "$T/m2/disk" "$T/forked" || fail "the fork does not hold what the disk held"
write_at "$T/more" "$T/m2" 100
write_at "$T/more" "$m" 120
expect_status 0 "$S3CRATE" umount "$T/m2"
cp --sparse=always "$m/disk" "$T/now"
umount_volume
dd if="$T/more" of="$T/forked" bs=64k seek=100 conv=notrunc status=none
expect_status 0 "$S3CRATE" compare "$T/forked" "$fork" --key-file "$T/key2"
expect_status 0 "$S3CRATE" compare "$T/now" "$url" "${key[@]}"
expect_status 0 "$S3CRATE" check "$fork" "${key2[@]}" --read-data
expect_status 0 "$S3CRATE" check "$url" "${key[@]}" --read-data

say "a fork of the fork"
expect_status 0 "$S3CRATE" fork "$fork" "$second" "${key2[@]}"
expect_status 0 "$S3CRATE" compare "$T/forked" "$second" --key-file "$T/key2"
expect_status 0 "$S3CRATE" check "$second" "${key2[@]}" --read-data
expect_status 0 "$S3CRATE" info "$second" --key-file "$T/key2"
expect_message "^origin .* $url"
expect_message "^origin .* $fork"
expect_status 1 "$S3CRATE" fork "$fork" "$second" "${key2[@]}"
expect_message 'there is a volume at'

say "an origin that is not where the fork was told"
fingerprint=$("$S3CRATE" info "$url" "${key[@]}" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["fingerprint"])')
expect_status 4 "$S3CRATE" compare "$T/forked" "$fork" --key-file "$T/key2" --origin-url "$fingerprint=s3://bucket/deep/nothing"
expect_message 'there is no volume'
