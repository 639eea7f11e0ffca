#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Time travel: the filesystem of then, from history/ by a loop device, beside that of now, both right; a mount of URL@POINT; a reader
# that follows a writer; and what is refused.
. "${0%/*}/lib.sh"
requires_fuse
requires_loop
requires python3 pgrep mkfs.ext4 fsfreeze
requires_fs ext4
tmpdir
. "${0%/*}/volume.sh"
loop_slot
mkdir "$T/now" "$T/then" "$T/m2"

# commit: sets $generation to what the disk holds now.
commit() {
  "$S3CRATE" sync "$m" --json >"$T/sync" || fail "sync: status $?"
  generation=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["generation"])' "$T/sync")
}
commit_frozen() {
  fsfreeze -f "$T/now"
  commit
  fsfreeze -u "$T/now"
}
# mount_then NAME: that file of history/, read-only.
mount_then() {
  then_dev=$(attach_loop "$m/history/$1" --read-only --direct-io=on --sector-size 4096)
  mount -o ro,noload "$then_dev" "$T/then"
}
umount_then() {
  umount "$T/then"
  detach_loop "$then_dev"
}

new_volume 64M
mount_volume
dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
mkfs.ext4 -q "$dev"
mount "$dev" "$T/now"
head -c 8M /dev/urandom >"$T/old"
cp "$T/old" "$T/now/file"
commit_frozen
yesterday=$generation
sleep 1.1  # a time of whole seconds, not before the commit
moment=$(date -u +%Y-%m-%dT%H:%M:%SZ)
head -c 8M /dev/urandom >"$T/new"
cp "$T/new" "$T/now/file"
cp "$T/new" "$T/now/more"
commit_frozen
today=$generation

say "then and now, side by side"
mount_then "$yesterday"
cmp "$T/then/file" "$T/old" || fail "not the file of then"
[ ! -e "$T/then/more" ] || fail "a file of later"
cmp "$T/now/file" "$T/new"
rm "$T/now/more"
head -c 4M /dev/urandom >"$T/now/other"
commit_frozen
"$S3CRATE" resize "$m" 96M >/dev/null
echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || true
cmp "$T/then/file" "$T/old" || fail "what is open changed"
[ ! -e "$T/then/other" ] || fail "what is open changed"
[ "$(blockdev --getsize64 "$then_dev")" = $((64 << 20)) ] || fail "what is open changed its size"
umount_then
mount_then "$moment"
cmp "$T/then/file" "$T/old" || fail "not the file of that time"
umount_then
mount_then "0s ago"
[ -e "$T/then/other" ] || fail "not the newest"
umount_then

say "as files"
[ "$(stat -c '%s %A' "$m/history/$yesterday")" = "$((64 << 20)) -r--------" ] || fail "$(stat "$m/history/$yesterday")"
cp --sparse=always "$m/history/$yesterday" "$T/image"
[ "$(stat -c %i "$m/history/$yesterday")" = "$(stat -c %i "$m/history/$moment")" ] || fail "one generation, two inodes"
used=$(du -B1 "$m/history/$yesterday" | cut -f1)
[ "$used" -ge $((8 << 20)) ] && [ "$used" -le $((16 << 20)) ] || fail "du: $used"
python3 - "$m/history/$yesterday" "$used" <<'END'
import os, sys
f = os.open(sys.argv[1], os.O_RDONLY)
data, at = 0, 0
while True:
    try:
        at = os.lseek(f, at, os.SEEK_DATA)
    except OSError:
        break
    end = os.lseek(f, at, os.SEEK_HOLE)
    data, at = data + end - at, end
assert data == int(sys.argv[2]), (data, sys.argv[2])
END
ls "$m/history" >"$T/ls"
[ "$(wc -l <"$T/ls")" -le 16 ] && grep -qx "$today" "$T/ls" || fail "$(cat "$T/ls")"
for name in 0 99999 nosuch 1999-01-01 nosuch/x; do
  ! stat "$m/history/$name" 2>"$T/err" && grep -q 'No such file' "$T/err" || fail "$name: $(cat "$T/err")"
done
! dd if=/dev/zero of="$m/history/$yesterday" bs=4K count=1 conv=notrunc 2>"$T/err" || fail "the past was written to"
grep -q 'Read-only file system' "$T/err" || fail "$(cat "$T/err")"
! touch "$m/history/new" 2>/dev/null || fail "a file was made in history/"

say "too many at a time"
for ((i = generation; i < 17; i++)); do
  dd if=/dev/urandom of="$T/now/other" bs=4K count=1 conv=notrunc,fsync status=none
  commit
done
python3 - "$m/history" <<'END'
import errno, os, sys, time
fds = [os.open(f"{sys.argv[1]}/{g}", os.O_RDONLY) for g in range(1, 17)]
try:
    os.open(f"{sys.argv[1]}/17", os.O_RDONLY)
    sys.exit("17 are open")
except OSError as e:
    assert e.errno == errno.ENFILE, e
os.close(fds.pop())
for tries in range(100):  # the kernel tells of a close in its own time
    try:
        os.close(os.open(f"{sys.argv[1]}/17", os.O_RDONLY))
        break
    except OSError as e:
        assert e.errno == errno.ENFILE, e
        time.sleep(0.1)
else:
    sys.exit("a place that was left is not free")
END

say "a reader that follows"
commit_frozen
reader=("$S3CRATE" mount "$url" "$T/m2" --key-file "$T/key" --state-dir "$T/state2" --cache-file-size 0 --log-to "$T/reader.log")
unlocked "${reader[@]}" --read-only --follow-interval 100ms >"$T/mount2.out" || fail "the reader: status $?"
shown=$(sed -n 's/.*generation \([0-9]*\),.*/\1/p' "$T/mount2.out")
cmp "$T/m2/disk" "$m/history/$shown" || fail "the reader shows other bytes"
sum=$(sha256sum <"$T/m2/disk")
cp "$T/old" "$T/now/more"
commit_frozen
wait_until 10 test -e "$T/m2/history/$generation" || fail "generation $generation is not seen"
cmp "$T/m2/history/$generation" "$m/history/$generation" || fail "the reader shows other bytes"
[ "$(sha256sum <"$T/m2/disk")" = "$sum" ] || fail "an open file changed"
[ ! -e "$T/state2" ] || [ -z "$(find "$T/state2" -name journal)" ] || fail "a reader made a journal"
"$S3CRATE" umount "$T/m2" >/dev/null

say "URL@POINT, beside the writer"
reader[2]=$url@$yesterday
unlocked "${reader[@]}" >"$T/mount2.out" || fail "mount $url@$yesterday: status $?"
grep -q "generation $yesterday" "$T/mount2.out" && grep -q 'read-only' "$T/mount2.out" || fail "$(cat "$T/mount2.out")"
cmp "$T/m2/disk" "$T/image" || fail "not the disk of then"
! test -e "$T/m2/history/99999" || fail "a generation that is not there"
"$S3CRATE" umount "$T/m2" >/dev/null
# bad STATUS MESSAGE POINT [OPTION...]
bad() {
  reader[2]=$url@$3
  expect_status "$1" "${reader[@]}" "${@:4}"
  expect_message "$2"
}
bad 1 'there is no generation 99999: the newest is [0-9]+' 99999
bad 1 "$url: there is no tag nosuch" nosuch
bad 1 'no generation as old as 1999-01-01T00:00:00Z: the first was made at 20' 1999-01-01
bad 2 'too large a generation' 99999999999999999999
bad 2 'needs no --take-over' "$yesterday" --take-over
reader[2]=$url
expect_status 2 "${reader[@]}" --follow
expect_message '--follow is for a read-only mount'

say "O_TRUNC means nothing, as on a block device"
python3 - "$m/disk" <<'END' || fail "the disk was short for a moment"
import mmap, os, sys, threading
disk = sys.argv[1]
size = os.stat(disk).st_size
fd = os.open(disk, os.O_RDONLY | os.O_DIRECT)
short = []
def read():
    block = mmap.mmap(-1, 4096)
    while not done.is_set():
        if os.preadv(fd, [block], size - 4096) != 4096: short.append(1)
done = threading.Event()
reader = threading.Thread(target=read)
reader.start()
for _ in range(300): os.close(os.open(disk, os.O_WRONLY | os.O_TRUNC))
done.set()
reader.join()
assert os.stat(disk).st_size == size
assert not short, len(short)
END
expect_status 1 truncate -s 0 "$m/disk"

say "nothing in there can be changed, and what holds it is named"
for change in "rm $m/history/$yesterday" "mkdir $m/history/new" "mv $m/history/$yesterday $m/history/other" "touch $m/new"; do
  expect_status 1 $change
  expect_message 'Read-only file system'
done
umount "$T/now"
detach_loop "$dev"
then_dev=$(attach_loop "$m/history/$yesterday" --read-only)
expect_status 1 "$S3CRATE" umount "$m"
expect_message "$then_dev is on its disk: .* losetup -d $then_dev"
detach_loop "$then_dev"

say "history"
umount_volume
history=("$S3CRATE" history --key-file "$T/key")
expect_status 0 "${history[@]}" "$url@$yesterday" --limit 2 --json
python3 -c 'import json, sys; g = [x["generation"] for x in json.load(open(sys.argv[1]))["generations"]]; y = int(sys.argv[2]); assert g == [y, y - 1], g' \
  "$T/stdout" "$yesterday"
expect_status 1 "${history[@]}" "$url@nosuch"
expect_status 0 "${history[@]}" "$url" --tags --json
expect_message '"tags": \[\]'
check_volume
