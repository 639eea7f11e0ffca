#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# attach and detach: ext4, xfs and btrfs with all their steps; what is in use; each state in which the one or the other was cut off; and a
# past generation beside the live disk, with what only the log of its filesystem holds.
. "${0%/*}/lib.sh"
requires_fuse
requires_loop
requires python3 pgrep mkfs.ext4 mkfs.xfs mkfs.btrfs findmnt
requires_fs ext4 xfs btrfs
tmpdir
. "${0%/*}/volume.sh"
loop_slot
d=$T/d place=/run/s3crate-blk/attach/$(sed 's,^/,,; s,-,%2d,g; s,/,-,g' <<<"$T/d")
mkdir "$d" "$T/bin"

# What is outside $T goes first.
end() {
  local status=$? dir
  trap '' INT TERM HUP
  for dir in "$d" "$T/old"; do
    umount -l "$dir" 2>/dev/null || true
    unlocked timeout 60 "$S3CRATE" detach "$dir" --no-wait >/dev/null 2>&1 || true
  done
  _cleanup $status
}
trap end EXIT

options=(--key-file "$T/key" --journal-size 64M --cache-file-size 0 --log-to "$T/daemon.log")
attach=("$S3CRATE" attach "$url" "$d" "${options[@]}" --state-dir "$state")
detach=("$S3CRATE" detach "$d")

# device: of the disk behind $place.
device() {
  local sys
  for sys in /sys/block/loop*/loop/backing_file; do
    [ "$(cat "$sys" 2>/dev/null)" != "${1:-$place}/disk" ] || { sys=${sys#/sys/block/} && echo "/dev/${sys%%/*}"; }
  done
}

nothing_left() {
  ! grep -q " $d " /proc/self/mounts || fail "$1: a filesystem is still mounted"
  ! grep -q " $place " /proc/self/mounts || fail "$1: the volume is still mounted"
  [ -z "$(device)" ] || fail "$1: $(device) is left"
  [ ! -e "$place" ] || fail "$1: $place is left"
}

# fake NAME: what follows "${faked[@]}" finds the script on standard input instead.
fake() {
  cat >"$T/bin/$1"
  chmod +x "$T/bin/$1"
}
faked=(env "PATH=$T/bin:$PATH")

old=("$S3CRATE" attach "$url" "$T/old" "${options[@]}" --state-dir "$T/state-old" --read-only)
mkdir "$T/old"
for type in ext4 xfs btrfs; do
  say "$type"
  new_volume 1G
  expect_status 0 "${attach[@]}" --mkfs $type
  expect_message "attached on $d: $type on /dev/loop"
  dev=$(device)
  [ "$(cat "/sys/block/${dev#/dev/}/loop/dio")" = 1 ] || fail "direct I/O is off"
  [ "$(cat "/sys/block/${dev#/dev/}/queue/logical_block_size")" = 4096 ] || fail "sectors are not of 4096 bytes"
  findmnt -no OPTIONS "$d" | grep discard >/dev/null || fail "$type is mounted without discard"
  [ "$(stat -c %a:%u "$place/..")" = 700:0 ] || fail "others can enter where volumes are mounted"
  echo one >"$d/one"
  sync -f "$d"
  echo two >"$d/two"
  sync "$d/two"
  "$S3CRATE" sync "$d" >"$T/generation"

  expect_status 3 "$S3CRATE" rollback "$url@$(cat "$T/generation")" --key-file "$T/key" --state-dir "$state"
  expect_message "is attached on $d: detach it first"

  say "$type: that generation beside it, after it has changed"
  echo changed >"$d/one"
  rm "$d/two"
  sync -f "$d"
  "$S3CRATE" sync "$place" >/dev/null
  past=("$S3CRATE" attach "$url@$(cat "$T/generation")" "$T/old" "${options[@]}" --state-dir "$T/state-old")
  expect_status 0 "${past[@]}"
  expect_message "read-only"
  [ "$(cat "$T/old/one" "$T/old/two")" = $'one\ntwo' ] || fail "$type: what was fsynced is not there"
  ! : 2>/dev/null >"$T/old/three" || fail "the past can be written"
  [ "$(cat "$d/one")" = changed ] && [ ! -e "$d/two" ] || fail "$type: the live one is not what it was"
  echo two >"$d/two"
  expect_status 0 "$S3CRATE" detach "$T/old"
  expect_status 0 "${past[@]}" --scratch-size 0
  findmnt -no OPTIONS "$T/old" | grep -E 'norecovery|nologreplay' >/dev/null || fail "$type plays its log back"
  expect_status 0 "$S3CRATE" detach "$T/old"

  # Older kernels take no btrfs of the id of another one.
  if [ $type != btrfs ]; then
    say "$type: a fork beside it, both written to"
    expect_status 0 "$S3CRATE" fork "$url" "file://$T/fork-$type" --key-file "$T/key" --state-dir "$state"
    expect_status 0 "$S3CRATE" attach "file://$T/fork-$type" "$T/old" "${options[@]}" --state-dir "$T/state-old"
    echo fork >"$T/old/one"
    sync -f "$T/old"
    [ "$(cat "$d/one")" = changed ] || fail "what is written to the fork came to its origin"
    expect_status 0 "$S3CRATE" detach "$T/old"
  fi

  expect_status 0 "${detach[@]}"
  expect_message "$d is detached; the store has everything"
  nothing_left detach
  expect_status 1 "${attach[@]}" --mkfs $type
  expect_message 'there is data on the disk'
  nothing_left "refused --mkfs"
  expect_status 0 "${attach[@]}"
  [ "$(cat "$d/one" "$d/two")" = $'changed\ntwo' ] || fail "$type, attached again: another content"
  expect_status 1 "${attach[@]}"
  expect_message 'is attached on .* already'
  expect_status 0 "${detach[@]}"
  nothing_left "the second detach"
done
expect_status 1 "${detach[@]}"
expect_message "nothing is attached on $d"

say "in use"
new_volume 256M
expect_status 1 "${attach[@]}"
expect_message 'the volume is empty: --mkfs'
nothing_left "an empty volume"
expect_status 0 "${attach[@]}" --mkfs ext4
echo kept >"$d/file"
sync "$d/file"
(cd "$d" && exec sleep 600) &
sleeper=$!
track $sleeper
wait_until 10 eval '[ "$(readlink /proc/'$sleeper'/cwd)" = "$d" ] && grep -q sleep /proc/'$sleeper'/comm'
expect_status 1 "${detach[@]}"
expect_message "$d is in use: by sleep \($sleeper\)"
[ "$(cat "$d/file")" = kept ] || fail "the busy filesystem is gone"
kill $sleeper
wait $sleeper || true
mkdir "$T/second"
mount "$(device)" "$T/second"
expect_status 1 "${detach[@]}"
expect_message "mounted on $T/second too"
[ "$(cat "$d/file")" = kept ] || fail "it was unmounted although the disk is in use"
umount "$T/second"
"$S3CRATE" sync "$place" >"$T/generation"
expect_status 0 "$S3CRATE" status "$d" --json
grep -q "\"mountpoint\": \"$place\"" "$T/stdout" || fail "status of $d is that of another mount"
expect_status 2 "${old[@]}" --mkfs ext4
expect_message '--mkfs writes'
expect_status 1 "${old[@]}" --scratch-size 4K
expect_message '--scratch-size says how much'
[ -z "$(device "${place%-d}-old")" ] || fail "a failed mount leaves its loop device"
mount -t tmpfs none "$d"
expect_status 1 "${detach[@]}"
[ "$(findmnt -rno FSTYPE "$d" | tail -n 1)" = tmpfs ] || fail "what is not ours was unmounted"
umount "$d"
[ "$(cat "$d/file")" = kept ] || fail "what lay below was unmounted"

say "the process behind it is killed"
echo synced >"$d/synced"
sync "$d/synced"
kill -KILL "$(pgrep -f "^[^ ]*s3crate-blk attach $url $d ")"
expect_status 0 "${detach[@]}"
expect_message 'was dead'
nothing_left "a dead process"
expect_status 0 "${attach[@]}"
[ "$(cat "$d/synced")" = synced ] || fail "what was fsynced is lost"

say "half undone, half done"
umount "$d"
expect_status 0 "${attach[@]}"
umount "$d"
expect_status 0 "${detach[@]}"
nothing_left "a filesystem that was unmounted by hand"
echo 'kill -KILL $PPID' | fake mount
for next in attach detach; do
  expect_status 137 "${faked[@]}" "${attach[@]}"
  grep -q " $place " /proc/self/mounts || fail "the volume is not mounted: nothing is half done"
  [ -z "$(device)" ] || fail "the loop device outlives who was to use it"
  if [ $next = attach ]; then
    expect_status 0 "${attach[@]}"
    [ "$(cat "$d/synced")" = synced ] || fail "another content"
  fi
  expect_status 0 "${detach[@]}"
  nothing_left "killed before mount, then $next"
  mkdir -m 700 "$place"
  if [ $next = attach ]; then expect_status 0 "${attach[@]}" && expect_status 0 "${detach[@]}"; fi
  [ $next = attach ] || expect_status 1 "${detach[@]}"
  nothing_left "killed before the volume was mounted, then $next"
done
rm "$T/bin/mount"

say "a filesystem that could not be made"
new_volume 256M
fake mkfs.ext4 <<'END'
for dev; do :; done
dd if=/dev/urandom of="$dev" bs=64K count=1 oflag=direct 2>/dev/null
echo no luck
echo usage
exit 1
END
expect_status 1 "${faked[@]}" "${attach[@]}" --mkfs ext4
expect_message 'mkfs.ext4 failed: no luck'
nothing_left "a failed mkfs"
fake mkfs.ext4 <<END
echo \$PPID >$T/started
exec sleep 600
END
unlocked "${faked[@]}" "${attach[@]}" --mkfs ext4 2>"$T/stderr" &
interrupted=$!
wait_until 60 test -s "$T/started" || fail "mkfs is not run"
kill -INT "$(cat "$T/started")"
status=0
wait $interrupted || status=$?
[ $status = 1 ] || fail "interrupted: status $status: $(cat "$T/stderr")"
nothing_left "an interrupted mkfs"
rm "$T/bin/mkfs.ext4"

say "as mount(8) calls it for fstab"
ln -s "$S3CRATE" "$T/bin/mount.s3crate-blk"
expect_status 0 "$T/bin/mount.s3crate-blk" "$url" "$m" -s -o \
  "rw,_netdev,noauto,key-file=$T/key,state-dir=$state,journal-size=64M,cache-file-size=0,log-to=$T/daemon.log"
[ -f "$m/disk" ] || fail "it is not mounted"
expect_status 2 "$T/bin/mount.s3crate-blk" "$url" "$m" -o "key-fiel=$T/key"
expect_message 'did you mean "key-file"'
umount_volume

say "no filesystem"
expect_status 0 "${attach[@]}" --fs none
dev=$(cat "$T/stdout")
[ -b "$dev" ] && [ "$(device "$d")" = "$dev" ] || fail "what it prints is not the device: $dev"
mkfs.ext4 -q "$dev"
exec 9<"$dev"
expect_status 1 "${detach[@]}"
expect_message "$dev is in use: by bash \($$\)"
exec 9<&-
expect_status 0 "${detach[@]}"
[ -z "$(device "$d")" ] || fail "$dev is left"
expect_status 0 "${attach[@]}" --json
python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); assert (j["filesystem"], j["directory"]) == ("ext4", sys.argv[2]), j' "$T/stdout" "$d"
expect_status 0 "${detach[@]}" --no-wait
expect_message 'is detached; .*(nothing is left to send|exist only on this machine|still being sent|store has everything)'
expect_status 0 "${attach[@]}"
expect_status 0 "${detach[@]}"

say "another mount namespace has a copy of what was mounted"
expect_status 0 "${attach[@]}"
unshare --mount --propagation private sleep 600 &
sleeper=$!
track $sleeper
wait_until 10 grep -q sleep /proc/$sleeper/comm
expect_status 1 "${detach[@]}"
expect_message "has one that does not show here"
kill $sleeper
wait $sleeper || true
expect_status 0 "${detach[@]}"
nothing_left "what another namespace had"
check_volume
