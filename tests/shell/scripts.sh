#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# backup-tree, btrfs-snapshot and file-versions on a subvolume of btrfs: trees with all attributes, tags, versions of a file in them;
# what fails leaves no tag and no snapshot.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires_loop
requires rsync btrfs mkfs.btrfs setfattr getfattr python3
requires_fs btrfs
tmpdir
. "${0%/*}/volume.sh"
loop_slot
scripts=$abs_top_srcdir/scripts d=$T/d src=$T/src
mkdir "$d" "$src"
export S3CRATE

# What is outside $T goes first.
end() {
  local status=$?
  trap '' INT TERM HUP
  umount "$T/sub" 2>/dev/null || true
  umount -l "$d" 2>/dev/null || true
  unlocked timeout 60 "$S3CRATE" detach "$d" --no-wait >/dev/null 2>&1 || true
  _cleanup $status
}
trap end EXIT

options=(--key-file "$T/key" --cache-file-size 0 --log-to "$T/daemon.log")
new_volume 256M
expect_status 0 "$S3CRATE" attach "$url" "$d" --mkfs btrfs "${options[@]}" --state-dir "$state" --journal-size 64M
place=$(sed 's/.* is mounted on //' "$T/stdout")
tags() { "$S3CRATE" history "$url" --tags --key-file "$T/key" | awk 'NR > 1 { print $NF }' | sort | tr '\n' ' '; }
btrfs -q subvolume create "$d/data" >/dev/null

say "backup-tree"
mkdir -p "$src/sub" "$src/cache"
echo one >"$src/letter"
ln "$src/letter" "$src/sub/again"
setfattr -n user.note -v kept "$src/sub"
touch -d 2001-02-03T04:05:06.789Z "$src/letter"
echo left out >"$src/cache/x"
expect_status 0 "$scripts/backup-tree" "$src" "$d/data/tree" --exclude /cache --tag first
rm "$src/sub/again"
echo two >"$src/letter"
expect_status 0 "$scripts/backup-tree" "$src" "$d/data/tree" --exclude /cache --tag second
rm "$src/letter"
expect_status 0 "$scripts/backup-tree" "$src" "$d/data/tree" --exclude /cache --tag third
[ "$(tags)" = 'first second third ' ] || fail "tags: $(tags)"
[ "$(getfattr --absolute-names --only-values -n user.note "$d/data/tree/sub")" = kept ] || fail "an attribute is lost"
[ -z "$(ls "$d/data/tree/sub")" ] && [ ! -e "$d/data/tree/cache" ] || fail "deleted and excluded files are there"

expect_status 1 "$scripts/backup-tree" "$d/data/tree" "$d/data"
expect_message 'would become a copy'
expect_status 1 "$scripts/backup-tree" "$d/data" "$d/data/tree"
expect_message 'copied into itself'
expect_status 1 "$scripts/backup-tree" "$src" "$T/elsewhere"
expect_message 'on no loop device'
expect_status 1 "$scripts/backup-tree" "$src" "$d/data/tree" --mountpoint "$T"
expect_message 'and not in'
[ -d "$d/data/tree/sub" ] || fail "what was refused has changed something"

say "btrfs-snapshot"
for i in 1 2 3; do
  echo "$i" >"$d/data/count"
  expect_status 0 "$scripts/btrfs-snapshot" "$d/data" "$place" "daily$i" --keep 2
done
[ "$(ls "$d/data/.snapshots" | tr '\n' ' ')" = 'daily2 daily3 ' ] || fail "kept: $(ls "$d/data/.snapshots")"
expect_status 1 "$scripts/btrfs-snapshot" "$d/data" "$place" first
expect_message "the tag first is there already"
[ ! -e "$d/data/.snapshots/first" ] || fail "a snapshot is left of what failed"
expect_status 1 "$scripts/btrfs-snapshot" "$d/data" "$d" daily3
expect_status 2 "$scripts/btrfs-snapshot" "$d/data" "$d" .made-by-btrfs-snapshot
expect_status 1 "$scripts/btrfs-snapshot" "$d/data" "$d" elsewhere --into "$T"
expect_status 0 "$scripts/btrfs-snapshot" "$d/data" "$d" beside --into "$d/kept"
[ -e "$d/kept/beside/count" ] || fail "it is not where it was to be"
"$S3CRATE" untag "$url" beside --key-file "$T/key" --state-dir "$state" >/dev/null
expect_status 1 "$scripts/btrfs-snapshot" "$d" "$T" x
expect_status 2 "$scripts/btrfs-snapshot" "$d/data" "$place"
[ "$(tags)" = 'daily1 daily2 daily3 first second third ' ] || fail "tags: $(tags)"

say "file-versions"
# Mounted by its subvolume, below a directory that is not in the volume.
mkdir "$T/sub"
mount -o subvol=data "$(findmnt -n -o SOURCE "$d" | sed 's/\[.*//')" "$T/sub"
versions() {
  expect_status "$1" "$scripts/file-versions" "$2" "$url" "${@:3}" -- --key-file "$T/key"
  awk '{ print $3 "=" $1 }' "$T/stdout" | sort | tr '\n' ' ' >"$T/versions"
}
echo two >"$T/sub/tree/letter"
versions 0 "$T/sub/tree/letter"
[ "$(cat "$T/versions")" = 'daily1=absent daily2=absent daily3=absent first=changed second=same third=absent ' ] || fail "$(cat "$T/stdout")"
grep -q '  first  4 bytes, of 2001-02-03T04:05:06Z$' "$T/stdout" || fail "$(cat "$T/stdout")"
versions 0 "$T/sub/count" --newest 2
[ "$(cat "$T/versions")" = 'daily2=changed daily3=same ' ] || fail "$(cat "$T/stdout")"
expect_status 0 "$scripts/file-versions" --path data/.snapshots/daily2/count "$url" --newest 3 -- --key-file "$T/key"
[ "$(awk '{ print $1 }' "$T/stdout" | tr '\n' ' ')" = 'same same absent ' ] || fail "$(cat "$T/stdout")"
expect_status 2 "$scripts/file-versions" "$T/sub/count"
expect_status 2 "$scripts/file-versions" "$T/nowhere/count" "$url"
expect_status 5 "$scripts/file-versions" "$T/sub/count" "$url" -- --key-file /dev/null
umount "$T/sub"
expect_status 0 "$S3CRATE" detach "$d"
[ -z "$(ls -A /run/s3crate-blk/attach 2>/dev/null | grep "$(basename "$T")")" ] || fail "something is left in /run"
