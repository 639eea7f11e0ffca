#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# An ordinary user formats, mounts, writes, kills, mounts again and unmounts, with nobody's help but
# fusermount3's; and root can neither be asked for nor be needed.
. "${0%/*}/lib.sh"
requires_fuse
requires setpriv fusermount3 mknod
# A /dev/fuse for everybody, as distributions have it, whatever this machine has: in a mount namespace
# of its own.
private_mounts
tmpdir
mknod -m 666 "$T/fuse" c 10 229
mount --bind "$T/fuse" /dev/fuse
chmod 755 "$T"
[ -u "$(command -v fusermount3)" ] || skip "needs fusermount3 with its setuid bit"
mkdir "$T/u" "$T/u/m"
chown -R nobody "$T/u" "$HOME" "$XDG_RUNTIME_DIR"
chmod 700 "$T/u"
cp "$S3CRATE" "$T/s3crate-blk"
chmod 755 "$T/s3crate-blk"
cd "$T/u"

as_user() { setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups --inh-caps=-all "$@"; }
crate() { as_user "$T/s3crate-blk" "$@"; }

url=file://$T/u/store m=$T/u/m
crate key new "$T/u/key" >/dev/null
crate format "$url" --size 64M --key-file "$T/u/key" >/dev/null
mount=(mount "$url" "$m" --key-file "$T/u/key" --journal-size 64M)
crate "${mount[@]}" >"$T/out" 2>"$T/err" || fail "mount: status $? $(cat "$T/err")"
grep -q " $m fuse.s3crate-blk " /proc/self/mounts || fail "not mounted"
as_user dd if=/dev/urandom of="$T/u/data" bs=1M count=8 status=none
as_user dd if="$T/u/data" of="$m/disk" bs=64K seek=16 conv=notrunc,fsync status=none
crate status "$m" >"$T/status" || fail "status: $?"
grep -q 'unsent\|sent' "$T/status" || fail "status says nothing: $(cat "$T/status")"
# Not root's, and not another user's.
if setpriv --reuid=daemon --regid=daemon --clear-groups cat "$m/stats" >/dev/null 2>&1; then
  fail "another user can read the disk"
fi

daemon=$(pgrep -f "^[^ ]*s3crate-blk mount .*$m( |\$)")
[ "$(stat -c %U "/proc/$daemon")" = nobody ] || fail "the process is not the user's"
kill -KILL "$daemon"
wait_until 20 eval "! kill -0 $daemon 2>/dev/null"
as_user fusermount3 -u "$m"
crate "${mount[@]}" >"$T/out" 2>"$T/err" || fail "mount after the kill: status $? $(cat "$T/err")"
as_user dd if="$m/disk" bs=64K skip=16 count=128 status=none | cmp - "$T/u/data" || fail "the data differ"
crate umount "$m" >"$T/out" || fail "umount: status $?"
grep -q 'the store has everything' "$T/out" || fail "$(cat "$T/out")"
crate check "$url" --key-file "$T/u/key" --read-data >"$T/out" 2>&1 || fail "check: $(tail -n 5 "$T/out")"
