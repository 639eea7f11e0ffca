#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What goes wrong around a volume gets one clear sentence and the documented exit status, and costs no
# more than it has to: places that cannot be used, volumes that are open, journals of others, objects
# that are damaged, swapped, missing, older, of another format, and disks that are full. What is wrong
# on the command line itself is in cli_bad_input.sh.
. "${0%/*}/lib.sh"
requires_fuse
requires python3 pgrep
private_mounts
tmpdir
. "${0%/*}/volume.sh"

# bad STATUS MESSAGE CMD...: one line on stderr that matches, nothing on stdout, and nothing is mounted.
bad() {
  local status=$1 message=$2 got=0
  shift 2
  unlocked "$@" </dev/null >"$T/stdout" 2>"$T/stderr" || got=$?
  [ $got = "$status" ] || fail "status $got instead of $status: $* ($(cat "$T/stderr"))"
  [ ! -s "$T/stdout" ] || fail "an error belongs on stderr: $(cat "$T/stdout")"
  [ "$(wc -l <"$T/stderr")" = 1 ] || fail "not one line: $(cat "$T/stderr")"
  grep -Eq "^s3crate-blk: .*($message)" "$T/stderr" || fail "no \"$message\" in: $(cat "$T/stderr")"
}
# bad_mount STATUS MESSAGE STATE-DIRECTORY [mount options...]
bad_mount() {
  local status=$1 message=$2 state_dir=$3
  shift 3
  bad "$status" "$message" "$S3CRATE" mount "$url" "$m" --key-file "$T/key" --state-dir "$state_dir" "$@"
  if grep -q " $m fuse" /proc/self/mounts; then fail "it is mounted all the same"; fi
}
random() { head -c "$1" /dev/urandom; }

say "keys of a volume with a passphrase"
random 20 | base64 >"$T/passphrase"
random 20 | base64 >"$T/wrong"
mkdir "$m"
"$S3CRATE" format "file://$T/locked" --size 64M --passphrase-file "$T/passphrase" >"$T/format.out"
locked=("$S3CRATE" mount "file://$T/locked" "$m" --state-dir "$T/locked-state")
bad 5 'passphrase|key' "${locked[@]}" --passphrase-file "$T/wrong"
"$S3CRATE" key new "$T/other-key" >/dev/null
bad 5 'key' "${locked[@]}" --key-file "$T/other-key"
bad 5 'key' "${locked[@]}"

say "places"
new_volume 64M
mount -t tmpfs none "$m"
bad_mount 1 'something else is mounted' "$state"
umount "$m"
mkdir "$T/sealed"
mount -t tmpfs -o ro none "$T/sealed"
bad_mount 1 'state directory.*--state-dir' "$T/sealed/state"
bad_mount 1 'state directory.*--state-dir' "$T/sealed"
umount "$T/sealed"
mount -t tmpfs -o size=64k none "$T/sealed"
random 100000 >"$T/sealed/full" 2>/dev/null || true
bad_mount 1 'No space left|state directory' "$T/sealed/state"
bad_mount 1 'No space left|state directory' "$T/sealed"
umount "$T/sealed"
if mkdir "$T/dev" && mount -t tmpfs none "$T/dev" && mknod -m 666 "$T/dev/null" c 1 3 &&
  mknod -m 666 "$T/dev/urandom" c 1 9 && mount --move "$T/dev" /dev 2>/dev/null; then
  bad_mount 1 'no /dev/fuse' "$state"
  umount /dev
else
  say "/dev cannot be replaced: not tested without /dev/fuse"
fi

say "a volume that is open"
mount_volume
random 100000 | dd of="$m/disk" conv=notrunc,fsync status=none
mkdir "$T/m2"
again=("$S3CRATE" mount "$url" "$T/m2" --key-file "$T/key")
bad 1 'mounted on .* already' "${try_mount[@]}"
bad 3 'in use by another process on this machine' "${again[@]}" --state-dir "$state"
bad 3 'open since .* on .*last commit .* ago.*--take-over' "${again[@]}" --state-dir "$T/state2"
[ "$(stat_value journal failed_syncs)" = 0 ] || fail "the mount was disturbed"
random 100000 | dd of="$m/disk" conv=notrunc,fsync status=none

say "a copy of the directory beside a waiting journal"
kill -KILL "$daemon"
bury_volume
cp -r "$store" "$T/copy"
objects >"$T/objects"
bad 2 'is a copy.*--read-only.*--moved' "$S3CRATE" mount "file://$T/copy" "$m" --key-file "$T/key" --state-dir "$state"
(cd "$T/copy" && find . -path './.tmp+' -prune -o -type f -printf '%p %s\n' | sort) | cmp - "$T/objects" || fail "the copy was written to"
expect_status 0 unlocked "$S3CRATE" mount "file://$T/copy" "$m" --key-file "$T/key" --state-dir "$state" --read-only >"$T/mount.out" || true
umount_volume

say "a journal of another volume"
"$S3CRATE" format "file://$T/second" --size 64M --key-file "$T/key" >"$T/format.out"
second=("$S3CRATE" mount "file://$T/second" "$m" --key-file "$T/key" --state-dir "$state")
expect_status 0 "${second[@]}" --journal-size 64M >"$T/mount.out"
umount_volume
# By the time of their directories: the second volume's is the newer one.
mapfile -t dirs < <(find "$state" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -n | cut -d' ' -f2)
[ ${#dirs[@]} = 2 ] || fail "${#dirs[@]} directories in $state"
vid2=$("$S3CRATE" info "file://$T/second" --key-file "$T/key" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["vid"])')
if [ "$(basename "${dirs[0]}")" = "$vid2" ]; then dirs=("${dirs[1]}" "${dirs[0]}"); fi
cp "${dirs[0]}/journal" "$T/journal.kept"
cp "${dirs[0]}/journal" "${dirs[1]}/journal"
bad 2 'journal .* is of another volume.*--state-dir' "${second[@]}"
cmp -s "$T/journal.kept" "${dirs[1]}/journal" || fail "the journal of another volume was touched"
# And the first one is played back without a question, as ever.
mount_volume
[ "$(stat_value journal recovered_batches)" -gt 0 ] || fail "nothing was played back"
umount_volume

say "damaged, truncated, swapped, missing and forged objects"
# Three generations of 1 MiB each that does not compress, at 0, 8 and 16 MiB.
new_volume 64M
mount_volume --upload-delay 100ms
for i in 0 1 2; do
  random 1048576 >"$T/data.$i"
  dd if="$T/data.$i" of="$m/disk" bs=1M seek=$((i * 8)) conv=notrunc,fsync status=none
  "$S3CRATE" sync "$m" >"$T/sync.out"
done
umount_volume
cp -a "$store" "$T/good"
restore() {
  rm -rf "$store"
  cp -a "$T/good" "$store"
}
# flip FILE [OFFSET]: changes one byte, by default the middle one.
flip() {
  python3 - "$1" "${2:-}" <<'END'
import os, sys
path, at = sys.argv[1], sys.argv[2]
with open(path, "r+b") as f:
    at = int(at) if at else os.path.getsize(path) // 2
    f.seek(at)
    old = f.read(1)[0]
    f.seek(at)
    f.write(bytes([old ^ 0x40]))
END
}
cut() { truncate -s $(($(stat -c %s "$1") / 2)) "$1"; }
mapfile -t commits < <(find "$store/commits" -type f | sort)
mapfile -t segments < <(find "$store/segments" -type f | sort)
[ ${#commits[@]} -ge 5 ] && [ ${#segments[@]} -ge 3 ] || fail "${#commits[@]} commits, ${#segments[@]} segments"
# A copy of a keys commit is called c and its number; a slot may begin with c as well.
slot=$(find "$store/keys" -type f | grep -vE '/c[0-9a-f]{16}$')
head=${commits[0]}

# damage WHAT STATUS MESSAGE: after the store was changed, info and both kinds of mount refuse.
damage() {
  say "  $1"
  bad "$2" "$3" "$S3CRATE" info "$url" --key-file "$T/key"
  bad_mount "$2" "$3" "$T/fresh" --read-only
  bad_mount "$2" "$3" "$state"
  rm -rf "$T/fresh"
  restore
}
for hurt in flip cut ': >'; do
  eval "$hurt '$store/volume'"
  damage "volume object: $hurt" 4 'volume'
  eval "$hurt '$slot'"
  damage "key slot: $hurt" 4 'slot|keys/'
  eval "$hurt '$head'"
  damage "newest commit: $hurt" 4 'commit|generation'
done
rm "$store/volume"
damage "no volume object" 1 'no volume|unfinished|interrupted'
rm "$slot"
damage "no key slot" 4 'no usable key slot'
cp "${commits[1]}" "$T/swap"
cp "$head" "${commits[1]}"
cp "$T/swap" "$head"
damage "two commits swapped" 4 'commit|generation'
"$S3CRATE" format "file://$T/forger" --size 64M --key-file "$T/key" >"$T/format.out"
expect_status 0 unlocked "$S3CRATE" mount "file://$T/forger" "$m" --key-file "$T/key" --state-dir "$T/forger-state" \
  --journal-size 64M --upload-delay 100ms >"$T/mount.out"
dd if="$T/data.0" of="$m/disk" conv=notrunc,fsync status=none
umount_volume
mapfile -t forged < <(find "$T/forger/commits" -type f | sort)
cp "${forged[0]}" "$head"
damage "a commit of another volume" 4 'commit|generation'
cp "$T/forger/volume" "$store/volume"
damage "the volume object of another volume" 4 'volume|commit|slot|keys/'
flip "$store/volume" 8
printf '\x63' | dd of="$store/volume" bs=1 seek=10 conv=notrunc status=none
damage "a format that is not known yet" 1 'format .*newer version'

say "  rolled back"
rm "${commits[0]}" "${commits[1]}"
bad_mount 4 'older state.*--accept-rollback' "$state"
mount_volume --accept-rollback --take-over
umount_volume
restore
rm -rf "$state"

# cmp_range FILE MIB: that MiB of the disk is what FILE says.
cmp_range() { dd if="$m/disk" bs=1M skip="$2" count=1 iflag=fullblock status=none 2>"$T/dd.err" | cmp -s - "$1"; }
# segment_damage WHAT: exactly one of the three is lost to reads, with EIO, and writes go on.
segment_damage() {
  local lost=0 i
  say "  $1"
  mount_volume --outage-timeout 2s
  for i in 0 1 2; do
    if ! cmp_range "$T/data.$i" $((i * 8)); then
      grep -q 'Input/output error' "$T/dd.err" || fail "other content was read: $(cat "$T/dd.err")"
      lost=$((lost + 1))
    fi
  done
  [ $lost = "$2" ] || fail "$lost of 3 ranges cannot be read"
  # What is written over the damage is well, and the rest of the disk as ever.
  for i in 0 1 2; do
    dd if="$T/data.$i" of="$m/disk" bs=1M seek=$((i * 8)) conv=notrunc,fsync status=none
    cmp_range "$T/data.$i" $((i * 8)) || fail "what was written over the damage cannot be read"
  done
  umount_volume
  restore
  rm -rf "$state"
}
flip "${segments[0]}"
segment_damage "a flipped bit in a segment" 1
cut "${segments[1]}"
segment_damage "a truncated segment" 1
rm "${segments[2]}"
segment_damage "a missing segment" 1
cp "${segments[0]}" "$T/swap"
cp "${segments[1]}" "${segments[0]}"
cp "$T/swap" "${segments[1]}"
segment_damage "two segments swapped" 2

say "no room for the journal, and none in the store: writers wait, and go on"
mkdir "$T/small" "$T/small-state"
mount -t tmpfs -o size=14m none "$T/small"
mount -t tmpfs -o size=20m none "$T/small-state"
"$S3CRATE" format "file://$T/small/store" --size 256M --key-file "$T/key" >"$T/format.out"
expect_status 0 unlocked "$S3CRATE" mount "file://$T/small/store" "$m" --key-file "$T/key" --state-dir "$T/small-state/state" \
  --journal-size 64M --dirty-max 16M --upload-delay 100ms --log-to "$T/small.log" >"$T/mount.out"
random 67108864 >"$T/random"
dd if="$T/random" of="$m/disk" bs=1M conv=notrunc,fsync status=none 2>"$T/dd.err" &
writer=$!
track $writer
wait_until 20 grep -q 'No space left on device' "$T/small.log" || fail "nothing is said: $(cat "$T/small.log")"
"$S3CRATE" status "$m" >"$T/status"
grep -Eq '^health +[^o]' "$T/status" || fail "status says all is well: $(cat "$T/status")"
# More than the journal and the memory may hold: it cannot be done, and must not have failed.
sleep 1
_alive $writer || fail "the writer did not wait: $(cat "$T/dd.err")"
# Nor can a snapshot; one that was given up is not in the way of the next.
if timeout --preserve-status -s INT 2 "$S3CRATE" snapshot "$m" --tag early >"$T/snapshot" 2>&1; then fail "a snapshot that was not stored"; fi
waits_alone() {
  timeout --preserve-status -s INT 2 "$S3CRATE" snapshot "$m" --tag early >"$T/snapshot" 2>&1
  ! grep -q 'another snapshot' "$T/snapshot"
}
wait_until 60 waits_alone || fail "$(cat "$T/snapshot")"
mount -o remount,size=300m "$T/small"
wait $writer || fail "the writer: $(cat "$T/dd.err")"
cmp -n 67108864 "$T/random" "$m/disk" || fail "what was written is not there"
umount_volume
