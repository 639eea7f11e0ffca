#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The store decides who writes, in Ceph: of two mounts started at once one wins, and the other exits 3
# and names the holder; a writer that was stopped while another took over stops writing, goes on
# reading, and keeps its journal.
#
#   S3CRATE_RACES   how many pairs of mounts (40)
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires python3 pgrep
tmpdir
S3CRATE_TEST_S3=yes
. "${0%/*}/volume.sh"
races=${S3CRATE_RACES:-40}
mkdir "$T/a" "$T/b"

# mount_at NAME [options...]: on $T/NAME, with a state directory of its own.
mount_at() {
  local name=$1
  shift
  "$S3CRATE" mount "$url" "$T/$name" --key-file "$T/key" --state-dir "$T/state-$name" --journal-size 64M \
    --log-to "$T/$name.log" "$@" >"$T/$name.out" 2>"$T/$name.err"
}
process_of() { pgrep -f "^[^ ]*s3crate-blk mount .*$T/$1( |\$)" || fail "no process behind $1"; }

new_volume 64M
won=0
for ((i = 0; i < races; i++)); do
  # Whoever is started first has a few milliseconds' lead.
  order=(a b)
  [ $((i % 2)) = 0 ] || order=(b a)
  mount_at "${order[0]}" &
  first=$!
  mount_at "${order[1]}" &
  second=$!
  status_a=0 status_b=0
  wait $first || eval "status_${order[0]}=$?"
  wait $second || eval "status_${order[1]}=$?"
  case $status_a-$status_b in
    0-3) winner=a loser=b ;;
    3-0) winner=b loser=a ;;
    *) fail "race $i: status $status_a and $status_b: $(cat "$T/a.err" "$T/b.err")" ;;
  esac
  [ $winner = "${order[0]}" ] || won=$((won + 1))
  grep -Eq "(open since .* on $(hostname)|took the volume at the same moment)" "$T/$loser.err" ||
    fail "race $i: the loser does not name the holder: $(cat "$T/$loser.err")"
  "$S3CRATE" umount "$T/$winner" >"$T/umount.out" || fail "race $i: umount: status $?"
done
say "$races races, one winner each, $won times the one started second"

mount_at a --upload-delay 1s
dd if=/dev/urandom of="$T/data" bs=1M count=4 status=none
dd if="$T/data" of="$T/a/disk" bs=64K conv=notrunc,fsync status=none
"$S3CRATE" sync "$T/a" >"$T/sync.out"
old=$(process_of a)
kill -STOP "$old"
expect_status 3 "$S3CRATE" mount "$url" "$T/b" --key-file "$T/key" --state-dir "$T/state-b"
expect_message 'open since .* add --take-over'
mount_at b --take-over || fail "take-over: $(cat "$T/b.err")"
printf new | dd of="$T/b/disk" bs=1 seek=8192 conv=notrunc,fsync status=none
"$S3CRATE" sync "$T/b" >"$T/sync.out"
kill -CONT "$old"
# The old one may take a write or two into its journal before it hears of it.
lost=no
for ((i = 0; i < 100; i++)); do
  printf old | dd of="$T/a/disk" bs=1 seek=$((i * 4096)) conv=notrunc,fsync status=none 2>"$T/dd.err" || { lost=yes && break; }
  sleep 0.1
done
[ $lost = yes ] || fail "the old writer still acknowledges"
cmp -n 65536 -i $((2 << 20)) "$T/data" "$T/a/disk" || fail "the old writer does not read any more"
"$S3CRATE" status "$T/a" >"$T/status" || true
grep -q 'took the volume over\|fenced\|another writer' "$T/status" || fail "status of the old writer: $(cat "$T/status")"
"$S3CRATE" umount "$T/a" >"$T/umount.out" 2>"$T/umount.err" && fail "the fenced writer ends as if all were well"
"$S3CRATE" journal list --state-dir "$T/state-a" >"$T/journals" || fail "journal list: status $?"
grep -q . "$T/journals" || fail "its journal is gone"
"$S3CRATE" umount "$T/b" >"$T/umount.out" || fail "umount of the new writer: status $?"
mount_at b || fail "mount: $(cat "$T/b.err")"
[ "$(dd if="$T/b/disk" bs=1 skip=8192 count=3 status=none)" = new ] || fail "the new writer's data are not there"
"$S3CRATE" umount "$T/b" >"$T/umount.out"
check_volume
