#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Commands that write, on a store that has no more room: each says so, gives up soon with status 6, ends at once by Ctrl-C, and has changed nothing;
# with room it does what it should.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires pgrep
tmpdir
. "${0%/*}/volume.sh"
key=(--key-file "$T/key")
end() {
  local status=$?
  trap '' INT TERM HUP
  for place in "$T"/full-*; do umount -l "$place" 2>/dev/null || true; done
  _cleanup $status
}
trap end EXIT

new_volume 16M
for generation in 1 2; do
  mount_volume
  head -c 1M /dev/urandom | dd of="$m/disk" bs=1M conv=notrunc,fsync status=none
  umount_volume
done
head -c 4M /dev/urandom >"$T/image"

# A journal that another writer has overtaken.
mount_volume --upload-delay 1h
dd if=/dev/urandom of="$m/disk" bs=64K count=40 conv=notrunc,fsync status=none
kill -KILL "$daemon"
wait_until 20 eval "! kill -0 $daemon 2>/dev/null"
bury_volume
first=$state state=$T/elsewhere
use_url "$url"
mount_volume --take-over
umount_volume
state=$first
use_url "$url"

# on_full NAME ROOM COMMAND...: with so many KiB left where the volume, or the fork of it, is. @ stands for the URL there.
on_full() {
  local name=$1 room=$2 place=$T/full-$1 there=file://$T/full-$1/v status=0 word words=()
  shift 2
  mkdir "$place"
  mount -t tmpfs -o size=24m none "$place"
  if [ "$name" != save ]; then cp -a "$store" "$place/v"; else mkdir "$place/v"; fi
  dd if=/dev/zero of="$place/filled" bs=4k count=$((($(stat -f -c %a "$place") * 4 - room) / 4)) status=none
  for word; do words+=("${word/@/$there}"); done
  timeout 90 "$S3CRATE" "${words[@]}" "${key[@]}" >"$T/$name.out" 2>&1 || status=$?
  [ $status = 6 ] || fail "$name: status $status: $(cat "$T/$name.out")"
  grep -q 'waiting for .*No space left.*giving up in .*Ctrl-C ends' "$T/$name.out" || fail "$name does not say what it waits for: $(cat "$T/$name.out")"
  status=0
  timeout -s INT -k 10 5 "$S3CRATE" "${words[@]}" "${key[@]}" >"$T/$name.out" 2>&1 || status=$?
  [ $status = 124 ] || fail "$name did not end by Ctrl-C: status $status: $(cat "$T/$name.out")"
  rm "$place/filled"
  if [ "$name" != save ]; then
    "$S3CRATE" compare "$T/stored" "$there" "${key[@]}" >"$T/$name.out" 2>&1 || fail "$name changed something: $(cat "$T/$name.out")"
  fi
  "$S3CRATE" "${words[@]}" "${key[@]}" >"$T/$name.out" 2>&1 || fail "$name with room: status $?: $(cat "$T/$name.out")"
  "$S3CRATE" check "$there" "${key[@]}" --read-data >"$T/$name.out" 2>&1 || fail "$name: $(cat "$T/$name.out")"
}

expect_status 0 "$S3CRATE" export "$url" "$T/stored" "${key[@]}"
pids=()
background() {
  on_full "$@" &
  pids+=($!)
}
background rollback 0 rollback @@2 --moved --state-dir "$T/state-rollback"
background resize 0 resize @ 32M --moved --state-dir "$T/state-resize"
background repair 0 repair @ --moved --state-dir "$T/state-repair"
background import 1500 import "$T/image" @ --moved --state-dir "$T/state-import"
background save 1500 journal save "$url" @ --state-dir "$state"
for pid in "${pids[@]}"; do wait "$pid" || exit 1; done
