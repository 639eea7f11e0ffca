#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# fork of a point of the past while the volume is mounted and written to: both disks live on, each by itself; the fork has a key of
# its own; a fork of the fork; an origin that has moved; and what is refused.
. "${0%/*}/lib.sh"
requires_fuse
requires python3
tmpdir
. "${0%/*}/volume.sh"
[ -z "${S3_BUCKET:-}" ] || skip "moves directories"
fork=$T/fork m2=$T/m2
mkdir "$m2"
opened=(--key-file "$T/key" --state-dir "$state")
fork_opened=(--key-file "$T/key2" --state-dir "$state")
"$S3CRATE" key new "$T/key2" >/dev/null
mount_fork() { # [options...]
  "$S3CRATE" mount "file://$fork" "$m2" "${fork_opened[@]}" --journal-size 64M --cache-file-size 0 --log-to "$T/fork.log" "$@" >"$T/fork.out" 2>&1 ||
    fail "mount: status $? $(cat "$T/fork.out")"
}
write_at() { dd if="$1" of="$2/disk" bs=64k seek="$3" conv=notrunc,fsync status=none; } # FILE MOUNTPOINT PLACE

new_volume 64M
mount_volume --upload-delay 1s
head -c 24M /dev/urandom >"$T/first"
head -c 1M /dev/urandom >"$T/second"
write_at "$T/first" "$m" 0
"$S3CRATE" sync "$m" --json >"$T/sync.json"
point=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["generation"])' <"$T/sync.json")
cp --sparse=always "$m/disk" "$T/then"
write_at "$T/second" "$m" 16

say "a fork of the past, beside the writer"
expect_status 0 "$S3CRATE" fork "$url@$point" "file://$fork" "${opened[@]}" --new-key-file "$T/key2" --json
python3 -c 'import json, sys
facts = json.load(open(sys.argv[1]))
assert facts["origin_generation"] == int(sys.argv[2]) and facts["disk_bytes"] == 64 << 20, facts' "$T/stdout" "$point"
[ "$(du -s --apparent-size --block-size=1K "$fork" | cut -f1)" -lt 200 ] || fail "data was copied"
expect_status 5 "$S3CRATE" info "file://$fork" --key-file "$T/key"
mount_fork
cmp "$m2/disk" "$T/then" || fail "the fork does not hold what the disk held"
write_at "$T/second" "$m2" 100
write_at "$T/second" "$m" 200
cp --sparse=always "$T/then" "$T/forked"
dd if="$T/second" of="$T/forked" bs=64k seek=100 conv=notrunc status=none
cp --sparse=always "$T/then" "$T/now"
for place in 16 200; do dd if="$T/second" of="$T/now" bs=64k seek=$place conv=notrunc status=none; done
cmp "$m2/disk" "$T/forked" || fail "the fork after a write"
cmp "$m/disk" "$T/now" || fail "the origin after the fork"
expect_status 0 "$S3CRATE" umount "$m2"
umount_volume
check_volume
expect_status 0 "$S3CRATE" check "file://$fork" "${fork_opened[@]}" --read-data
expect_status 0 "$S3CRATE" compare "$T/forked" "file://$fork" --key-file "$T/key2"
expect_status 0 "$S3CRATE" history "$url" --key-file "$T/key"
expect_message ' pin '

say "a fork of the fork"
expect_status 0 "$S3CRATE" fork "file://$fork" "file://$T/fork2" "${fork_opened[@]}"
expect_status 0 "$S3CRATE" compare "$T/forked" "file://$T/fork2" --key-file "$T/key2"
expect_status 0 "$S3CRATE" info "file://$T/fork2" --key-file "$T/key2"
expect_message "^origin .* $url"

say "an origin that has moved"
fingerprint=$("$S3CRATE" info "$url" --key-file "$T/key" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["fingerprint"])')
mv "$store" "$T/elsewhere"
mount_fork
grep -q "warning: origin $fingerprint at $url: there is no volume" "$T/fork.out" || fail "nobody says that the origin is gone: $(cat "$T/fork.out")"
! cat "$m2/disk" >"$T/read" 2>"$T/err" || fail "what is gone can be read"
expect_status 0 "$S3CRATE" umount "$m2"
expect_status 4 "$S3CRATE" check "file://$fork" "${fork_opened[@]}"
expect_message "there is no volume"
expect_status 0 "$S3CRATE" compare "$T/forked" "file://$fork" --key-file "$T/key2" --origin-url "$fingerprint=file://$T/elsewhere"
mount_fork --origin-url "$fingerprint=file://$T/elsewhere"
cmp "$m2/disk" "$T/forked" || fail "the fork with its origin elsewhere"
expect_status 0 "$S3CRATE" umount "$m2"
mv "$T/elsewhere" "$store"

say "what is refused"
before=$(cd "$store" && find . -type f | sort)
refused() { # STATUS MESSAGE ARGUMENT...
  local status=$1 message=$2
  shift 2
  expect_status "$status" "$S3CRATE" fork "$@" "${opened[@]}"
  expect_message "$message"
  [ "$(cd "$store" && find . -type f | sort)" = "$before" ] || fail "the origin was changed: $*"
}
refused 2 "a place of its own" "$url" "file://$T/./store"
refused 2 "a place of its own" "$url" "file://$T/store/segments/inner"
refused 1 "there is a volume at file://$fork already" "$url" "file://$fork"
refused 1 "there is no tag nobody" "$url@nobody" "file://$T/other"
refused 2 "takes no point" "$url" "file://$T/other@5"
refused 5 "does not open" "file://$fork" "file://$T/other"
opened=("${fork_opened[@]}")
refused 2 "does not come from" "file://$fork" "file://$T/other" --origin-url "0123456789abcdef=$url"
[ ! -e "$T/other/volume" ] || fail "a fork was made all the same"
