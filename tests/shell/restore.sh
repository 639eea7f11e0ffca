#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# restore: files with all attributes, beside the live disk; links that lead out of it; all or nothing; what is left of what is damaged.
. "${0%/*}/lib.sh"
requires_fuse
requires_loop
requires python3 mkfs.ext4 setfattr getfattr
requires_fs ext4
tmpdir
. "${0%/*}/volume.sh"
loop_slot
d=$T/d
mkdir "$d" "$T/to" "$T/bin"

# What is outside $T goes first.
end() {
  local status=$?
  trap '' INT TERM HUP
  umount "$T/full" 2>/dev/null || true
  umount -l "$d" 2>/dev/null || true
  unlocked timeout 60 "$S3CRATE" detach "$d" --no-wait >/dev/null 2>&1 || true
  _cleanup $status
}
trap end EXIT

options=(--key-file "$T/key" --cache-file-size 0 --log-to "$T/daemon.log")
nothing_left() {
  ! grep -q 's3crate-blk/restore' /proc/self/mounts || fail "$1: something is still mounted"
  [ -z "$(ls -d /run/s3crate-blk/restore.* /run/s3crate-blk/attach/run-* 2>/dev/null)" ] || fail "$1: something is left in /run"
  [ "$(ls -A "$T/to")" = "${2:-}" ] || fail "$1: there is something in the target: $(ls -A "$T/to")"
}

new_volume 256M
expect_status 0 "$S3CRATE" attach "$url" "$d" --mkfs ext4 "${options[@]}" --state-dir "$state" --journal-size 64M
mkdir -p "$d/home/user"
(
  cd "$d/home/user"
  head -c 300000 /dev/urandom >data
  chown 12:34 data
  chmod 4640 data
  ln data again
  truncate -s 40M sparse
  printf x | dd of=sparse bs=1 seek=20M conv=notrunc status=none
  setfattr -n user.note -v kept data
  touch -d 2001-02-03T04:05:06.789Z data
  ln -s /etc/hostname outside
  ln -s data inside
  mkfifo pipe
)
ln -s /home/user "$d/short"
ln -s / "$d/up"
sync -f "$d"
place=$(echo /run/s3crate-blk/attach/*"$(basename "$T" | sed s,-,%2d,)-d")
"$S3CRATE" sync "$place" >"$T/generation"
"$abs_top_srcdir/tests/support/list-tree" "$d/home" >"$T/before.list"
rm -r "$d/home"
sync -f "$d"
"$S3CRATE" sync "$place" >/dev/null
restore=("$S3CRATE" restore "$url@$(cat "$T/generation")" "${options[@]}" --state-dir "$T/state-old")

say "a tree, with all its attributes"
expect_status 0 "${restore[@]}" home --to "$T/to"
expect_message '1 path is restored'
"$abs_top_srcdir/tests/support/list-tree" "$T/to/home" >"$T/after.list"
expect_same "$T/before.list" "$T/after.list" "the tree is another"
[ "$(stat -c %h:%a:%u:%g "$T/to/home/user/again")" = 2:4640:12:34 ] || fail "links, mode or owner differ"
[ "$(getfattr --only-values -n user.note "$T/to/home/user/data")" = kept ] || fail "an attribute is lost"
[ "$(stat -c %b "$T/to/home/user/sparse")" -lt 100 ] || fail "holes are filled"
nothing_left "restore" home

say "nothing is overwritten"
echo mine >"$T/to/home/user/data"
expect_status 1 "${restore[@]}" /home --to "$T/to"
expect_message 'home is there already'
[ "$(cat "$T/to/home/user/data")" = mine ] || fail "it was overwritten"
nothing_left "refused" home
expect_status 0 "${restore[@]}" /home --to "$T/to" --overwrite
"$abs_top_srcdir/tests/support/list-tree" "$T/to/home" >"$T/after.list"
expect_same "$T/before.list" "$T/after.list" "overwritten, the tree is another"
say "overwritten, what is not of that point stays"
mkdir "$T/to/home/user/sub"
echo new >"$T/to/home/user/new today"
chmod 700 "$T/to/home/user"
rm "$T/to/home/user/again"
expect_status 0 "${restore[@]}" /home --to "$T/to" --overwrite
[ "$(cat "$T/to/home/user/new today")" = new ] && [ -d "$T/to/home/user/sub" ] || fail "what was beside it is gone"
rm -r "$T/to/home/user/new today" "$T/to/home/user/sub"
"$abs_top_srcdir/tests/support/list-tree" "$T/to/home" >"$T/after.list"
# But for the time of the directory, in which something was deleted just now.
diff <(grep -v "^'user' " "$T/before.list") <(grep -v "^'user' " "$T/after.list") >"$T/diff" || fail "overwritten once more, the tree is another: $(cat "$T/diff")"
[ "$(stat -c %a "$T/to/home/user")" != 700 ] || fail "the directory's mode is not that of then"
rm -r "$T/to/home"
mkdir -p "$T/to/home/user/data"
expect_status 1 "${restore[@]}" /home --to "$T/to" --overwrite
expect_message 'home/user/data is now a directory, and was none at that point: move it away first'
[ "$(find "$T/to/home" | wc -l)" = 3 ] || fail "something was changed"
rm -r "$T/to/home"

say "links"
# As in there: /home of that filesystem, not of this machine; and the last one is what is restored.
expect_status 0 "${restore[@]}" short/data up/home/user/again short --to "$T/to"
expect_message '3 paths are restored'
[ "$(stat -c %h "$T/to/data")" = 2 ] || fail "paths that are one file are two now"
[ "$(readlink "$T/to/short")" = /home/user ] || fail "a link was followed"
rm "$T/to"/*
expect_status 1 "${restore[@]}" home/user/outside/x --to "$T/to"
expect_message 'there is no home/user/outside/x'
expect_status 1 "${restore[@]}" up/etc/hostname --to "$T/to"
nothing_left "a link that leads out"

say "what cannot be read is left out, and said"
mkdir -p "$d/lost/sub"
for name in a "sub/it's c"; do head -c 300000 /dev/urandom >"$d/lost/$name"; done
touch -d 2002-02-02 "$d/lost/a"
sync -f "$d"
"$S3CRATE" sync "$place" >/dev/null
find "$store/segments" -type f | sort >"$T/segments"
head -c 5M /dev/urandom >"$d/lost/sub/b"
ln "$d/lost/sub/b" "$d/lost/b again"
sync -f "$d"
"$S3CRATE" sync "$place" >"$T/generation"
damaged=("$S3CRATE" restore "$url@$(cat "$T/generation")" "${options[@]}" --state-dir "$T/state-old" --to "$T/to")
# Most of what is new is that file, so the middle of the largest object is in it.
segment=$(find "$store/segments" -type f | sort | comm -13 "$T/segments" - | xargs -d '\n' ls -S | head -n 1)
python3 -c '
import os, sys
with open(sys.argv[1], "r+b") as f:
    f.seek(os.path.getsize(sys.argv[1]) // 2)
    byte = f.read(1)
    f.seek(-1, 1)
    f.write(bytes([byte[0] ^ 1]))' "$segment"
expect_status 4 "${damaged[@]}" lost short --overwrite
expect_message '2 paths are restored'
expect_message 'not all of it can be read at that point; these are missing'
expect_message '^  /lost/b again$'
expect_message '^  /lost/sub/b$'
[ "$(cd "$T/to/lost" && find . -type f | sort)" = "./a
./sub/it's c" ] || fail "other files are there: $(find "$T/to/lost")"
cmp "$d/lost/a" "$T/to/lost/a"
cmp "$d/lost/sub/it's c" "$T/to/lost/sub/it's c"
[ "$(stat -c %Y "$T/to/lost/a")" = "$(stat -c %Y "$d/lost/a")" ] || fail "another time"
rm -r "$T/to/lost"
mkdir -p "$T/to/lost/sub"
echo mine >"$T/to/lost/sub/b"
expect_status 4 "${damaged[@]}" lost --overwrite
[ "$(cat "$T/to/lost/sub/b")" = mine ] || fail "what cannot be read replaced what was there"
rm -r "$T/to/lost"
expect_status 4 "${damaged[@]}" lost/sub --json
python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); assert r["paths"] == 1 and r["missing"] == ["/lost/sub/b"] and r["missing_count"] == 1, r' "$T/stdout"
rm -r "$T/to/sub"
expect_status 4 "${damaged[@]}" lost/sub/b
expect_message 'nothing was restored: /lost/sub/b cannot be read'
rm "$T/to/short"
nothing_left "damage"

say "several at once"
for round in 1 2 3; do
  mkdir "$T/several"
  for i in 1 2 3; do
    mkdir "$T/several/$i"
    "${restore[@]}" home --to "$T/several/$i" >"$T/several/$i.out" 2>&1 &
    track $!
    pids[i]=$!
  done
  for i in 1 2 3; do wait "${pids[i]}" || fail "restore $i: $(cat "$T/several/$i.out")"; done
  rm -r "$T/several"
done
nothing_left "several at once"

say "overwriting never lets in more than was let in before or after, and changes nothing if it cannot be done"
acl() { # WHAT PATH: "has", or "set" it: rwx for user 1000, nothing for the group
  python3 - "$1" "$2" <<'END'
import os, struct, sys
entries = [(1, 7, -1), (2, 7, 1000), (4, 0, -1), (16, 7, -1), (32, 0, -1)]
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *e) for e in entries)
if sys.argv[1] == "set": os.setxattr(sys.argv[2], "system.posix_acl_access", acl)
else: assert os.getxattr(sys.argv[2], "system.posix_acl_access") == acl
END
}
mkdir -p "$d/with" "$d/without" "$d/other/inner"
chmod 700 "$d/with"
acl set "$d/with"
chmod 770 "$d/without"
touch "$d/other/inner/x" "$d/other/y"
sync -f "$d"
"$S3CRATE" sync "$place" >"$T/generation"
lists=("$S3CRATE" restore "$url@$(cat "$T/generation")" "${options[@]}" --state-dir "$T/state-old" --to "$T/to" --overwrite)
mkdir -p "$T/to/with" "$T/to/without" "$T/to/other/inner"
chmod 700 "$T/to/with" "$T/to/without"
acl set "$T/to/without"
chmod 700 "$T/to/without"
expect_status 0 "${lists[@]}" with without
acl has "$T/to/with" || fail "the access list was lost"
if acl has "$T/to/without" 2>/dev/null; then fail "another access list"; fi
[ "$(stat -c %a "$T/to/without")" = 770 ] || fail "mode $(stat -c %a "$T/to/without")"
mount -t tmpfs none "$T/to/other/inner"
expect_status 1 "${lists[@]}" other
expect_message 'another filesystem, or subvolume, stands at .*/other/inner'
[ ! -e "$T/to/other/y" ] || fail "half of it was put in place"
umount "$T/to/other/inner"
rm -r "$T/to/with" "$T/to/without" "$T/to/other"
nothing_left "access lists"

say "a filesystem of which nothing can be read"
cp -a "$store" "$T/ruin"
find "$T/ruin/segments" -type f -exec truncate -s 1 {} +
expect_status 4 "$S3CRATE" restore "file://$T/ruin@$(cat "$T/generation")" "${options[@]}" --state-dir "$T/state-ruin" --to "$T/to" lost
expect_message 'The volume is damaged: a read of the disk at [0-9]+ met damage'
rm -r "$T/ruin"
nothing_left "a ruin"

say "wrong input, and no room"
head -c 32 /dev/urandom >"$T/wrong-key"
expect_status 5 "$S3CRATE" restore "$url" home --key-file "$T/wrong-key" --state-dir "$T/state-old" --to "$T/to" --json
python3 -c 'import json, sys; assert json.load(open(sys.argv[1]))["error"]["code"] == "bad_key"' "$T/stdout" || fail "no JSON"
expect_status 1 "${restore[@]}" home nowhere --to "$T/to"
expect_message 'there is no nowhere'
expect_status 2 "${restore[@]}" home
expect_message 'Add --to'
expect_status 1 "${restore[@]}" home --to "$T/missing"
expect_status 2 "${restore[@]}" home/user/data short/data --to "$T/to"
expect_message 'two of the paths'
nothing_left "wrong input"
mkdir "$T/full"
mount -t tmpfs -o size=64k none "$T/full"
expect_status 1 "${restore[@]}" home/user/again --to "$T/full"
expect_message 'nothing was restored: .*No space left'
[ -z "$(ls -A "$T/full")" ] || fail "something is left of what had no room"
nothing_left "no room"

say "ended from outside"
cat >"$T/bin/cp" <<END
#!/bin/sh
head -c 12345 /dev/zero >$T/written
echo \$PPID >$T/started
echo \$\$ >$T/sleeper
exec sleep 600
END
chmod +x "$T/bin/cp"
for signal in INT KILL; do
  rm -f "$T/started"
  unlocked env "PATH=$T/bin:$PATH" "${restore[@]}" home --to "$T/to" --progress=json 2>"$T/stderr" &
  running=$!
  wait_until 60 test -s "$T/started" || fail "cp is not run: $(cat "$T/stderr")"
  wait_until 60 grep -q '"phase":"copying"' "$T/stderr" || fail "no progress: $(cat "$T/stderr")"
  kill -$signal "$(cat "$T/started")"
  status=0
  wait $running || status=$?
  [ $signal = KILL ] || { [ $status = 1 ] && nothing_left "interrupted"; } || fail "interrupted: status $status"
done
kill "$(cat "$T/sleeper")" || true
[ -n "$(ls -A "$T/to")" ] || fail "the killed one has left nothing, so this test shows nothing"
expect_status 0 "${restore[@]}" home/user/again --to "$T/to"
nothing_left "after a restore that was killed" again
[ ! -e "$d/home" ] && [ -L "$d/short" ] || fail "the live disk is another"
expect_status 0 "$S3CRATE" detach "$d"
