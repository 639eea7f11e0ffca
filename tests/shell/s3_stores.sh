#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Stores that cannot decide between two writers, for real: Swift, s3rver, and a bucket of Ceph's that keeps
# versions. bucket check names the fault; a mount that would write is refused with the reason and the way
# out, and leaves all as it was; a volume for a single writer works there, also through kills. Part of
# scripts/soak and not of make check, since it installs servers.
#
#   S3CRATE_STORES   which ones (swift s3rver ceph)
. "${0%/*}/lib.sh"
. "${0%/*}/odd_stores.sh"
requires_root
requires_fuse
requires python3 pgrep
stores=${S3CRATE_STORES:-swift s3rver ceph}
case $stores in *swift*) install_swift ;; esac
case $stores in *s3rver*) install_s3rver ;; esac
tmpdir
. "${0%/*}/strict.sh"
. "${0%/*}/volume.sh"

# listing: what is stored, whatever its age.
listing() {
  ask GET "/$S3_BUCKET?list-type=2&max-keys=1000" | python3 -c '
import re, sys
text = sys.stdin.read()
assert "<IsTruncated>true" not in text
for item in re.findall(r"<Contents>.*?</Contents>", text, re.S):
    print(*(re.search(f"<{tag}>(.*?)</{tag}>", item).group(1) for tag in ("Key", "ETag", "Size")))'
}

# check_bucket ERE: bucket check says what is wrong, each time.
check_bucket() {
  for _ in 1 2; do
    expect_status 6 "$S3CRATE" bucket check "s3://$S3_BUCKET/checked"
    expect_message "^problem +conditional_put +.*$1.*format --single-writer"
    expect_message '^s3://.* is not fit for a volume that is written to$'
  done
}

# one_sentence ERE: that is all that was said.
one_sentence() {
  [ "$(wc -l <"$T/stderr")" = 1 ] || fail "not one sentence"
  expect_message "$1"
}

# refused ERE: whoever mounts $url to write is told so, and nothing comes of it.
refused() {
  local machine
  say "a mount without --single-writer is refused"
  listing >"$T/before"
  for machine in here there; do
    for _ in 1 2; do
      expect_status 6 "$S3CRATE" mount "$url" "$m" --key-file "$T/key" --state-dir "$T/state-$machine"
      one_sentence "$1"
      ! grep -q " $m " /proc/self/mounts || fail "it is mounted all the same"
    done
    [ -z "$(find "$T/state-$machine" -name journal)" ] || fail "a journal is left"
  done
  listing >"$T/after"
  expect_same "$T/before" "$T/after" "a mount that was refused changed what is stored"
  "$S3CRATE" list "s3://$S3_BUCKET" --key-file "$T/key" >"$T/list"
  grep -q "^$url .* never mounted$" "$T/list" || fail "it looks as if it had been mounted: $(cat "$T/list")"
  mount_volume --read-only
  umount_volume
}

# volume_from_elsewhere: at $url, made where conditions are enforced, and copied.
volume_from_elsewhere() {
  local name
  "$S3CRATE" format "file://$T/made" --size 64M --key-file "$T/key" >"$T/format.out"
  use_url "s3://$S3_BUCKET/copied"
  for name in $(cd "$T/made" && find . -path './.tmp+' -prune -o -type f -print); do
    ask PUT "/$S3_BUCKET/copied/${name#./}" "$T/made/${name#./}"
  done
}

# refused_elsewhere: while the volume is open here, another machine is told who has it.
refused_elsewhere() {
  expect_status 3 "$S3CRATE" mount "$url" "$T/elsewhere" --key-file "$T/key" --state-dir "$T/state-elsewhere"
  one_sentence "open since .* on $(hostname) .*add --take-over"
}

# write_at BLOCK: 64 blocks of 64 KiB, from $T/data, fsynced. holds_at BLOCK: they are there.
write_at() { dd if="$T/data" of="$m/disk" bs=64K seek="$1" conv=notrunc,fsync status=none; }
holds_at() { dd if="$m/disk" bs=64K skip="$1" count=64 status=none | cmp - "$T/data" || fail "the data at $1 differ"; }
killed() {
  kill -KILL "$daemon"
  bury_volume
}

single_writer() {
  say "a volume for a single writer"
  new_volume 64M --single-writer
  mount_volume --upload-delay 1h
  write_at 0
  "$S3CRATE" sync "$m" >"$T/sync.out"
  write_at 100
  printf part | dd of="$m/disk" bs=1 seek=$((100 * 65536 + 1000)) conv=notrunc,fsync status=none
  printf part | dd of="$T/data" bs=1 seek=1000 conv=notrunc status=none
  refused_elsewhere
  killed
  refused_elsewhere
  mount_volume --upload-delay 1h
  grep -q 'played [1-9][0-9]* batches back' "$T/mount.out" || fail "nothing was played back: $(cat "$T/mount.out")"
  holds_at 100
  write_at 200
  umount_volume
  grep -q 'the store has everything' "$T/umount.out" || fail "$(cat "$T/umount.out")"
  check_volume
  rm -rf "$state"
  mount_volume
  holds_at 100
  holds_at 200
  say "and when the machine is lost"
  write_at 300
  "$S3CRATE" sync "$m" >"$T/sync.out"
  killed
  rm -rf "$state"
  refused_elsewhere
  mount_volume --take-over
  holds_at 200
  holds_at 300
  write_at 0
  umount_volume
  check_volume
}

# losing_replies: what was put is found again, and not put twice.
losing_replies() {
  local i
  say "a line that loses replies"
  serve_faulty 7
  new_volume 64M --single-writer
  mount_volume --upload-delay 100ms
  set_strict 'lost_reply=0.15&error_after=0.15&error_500=0.1'
  for i in 0 1 2 3 4 5; do
    dd if="$T/data" of="$m/disk" bs=64K seek=$((i * 70)) conv=notrunc,fsync status=none
    "$S3CRATE" sync "$m" >"$T/sync.out"
  done
  umount_volume
  set_strict 'lost_reply=0&error_after=0&error_500=0'
  [ "$(counter fault.lost_reply)" -gt 0 ] || fail "no reply was lost: $(control '')"
  check_volume
  rm -rf "$state"
  mount_volume
  for i in 0 2 5; do holds_at $((i * 70)); done
  umount_volume
}

# one_version: of each object below the volume's prefix, and none is deleted.
one_version() {
  ask GET "/$S3_BUCKET?max-keys=1000&versions=" >"$T/versions.xml"
  python3 - "${url#s3://"$S3_BUCKET"/}/" "$T/versions.xml" <<'END'
import collections, re, sys
prefix, text = sys.argv[1], open(sys.argv[2]).read()
assert "<IsTruncated>true" not in text and "<DeleteMarker>" not in text
keys = collections.Counter(re.findall(r"<Version>.*?<Key>(.*?)</Key>", text, re.S))
ours = {key: count for key, count in keys.items() if key.startswith(prefix)}
assert len(ours) > 10 and set(ours.values()) == {1}, ours
# What is not for a single writer shows that this can see two.
assert max(keys.values()) > 1
print(f"--- {len(ours)} objects, one version each", file=sys.stderr)
END
}

reason=', so two writers could destroy each other.s data: use another store, or a volume made with --single-writer$'
not_offered="501 NotImplemented.*$reason" ignored="does not refuse to overwrite an object$reason"
dd if=/dev/urandom of="$T/data" bs=64K count=64 status=none
mkdir -p "$m" "$T/elsewhere"
"$S3CRATE" key new "$T/key" >"$T/key.out"
for store_name in $stores; do
  begun=$SECONDS
  say "==== $store_name"
  case $store_name in
    swift)
      start_swift
      check_bucket '501 NotImplemented'
      use_url "s3://$S3_BUCKET/refused"
      listing >"$T/before"
      for _ in 1 2; do
        expect_status 6 "$S3CRATE" format "$url" --size 64M --key-file "$T/key"
        one_sentence "$not_offered"
      done
      listing >"$T/after"
      expect_same "$T/before" "$T/after" "a format that was refused left something behind"
      volume_from_elsewhere
      refused "$not_offered" ;;
    s3rver | ceph)
      if [ "$store_name" = ceph ]; then start_versioned_ceph; else start_s3rver; fi
      check_bucket 'ignored: an object was replaced'
      new_volume 64M
      refused "$ignored" ;;
    *) fail "no store $store_name" ;;
  esac
  single_writer
  if [ "$store_name" = ceph ]; then
    one_version
    losing_replies
    one_version
  fi
  say "$store_name: $((SECONDS - begun)) s"
done
say "$SECONDS s in all"
