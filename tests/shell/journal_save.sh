#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The recipe of the man page for a journal that another writer has overtaken, through the whole program: a machine goes down with writes
# that the store lacks, another one takes the volume over, and what the first one has is saved in a fork.
. "${0%/*}/lib.sh"
requires_fuse
requires pgrep python3
tmpdir
. "${0%/*}/volume.sh"
key=(--key-file "$T/key")

new_volume 32M
expect_status 1 "$S3CRATE" journal save "$url" "file://$T/saved" "${key[@]}" --state-dir "$state"
expect_message 'there is no journal of'
mount_volume --upload-delay 1h
dd if=/dev/urandom of="$m/disk" bs=64K count=9 seek=20 conv=notrunc,fsync status=none
"$S3CRATE" sync "$m" >/dev/null
dd if=/dev/urandom of="$m/disk" bs=64K count=20 seek=25 conv=notrunc,fsync status=none
cp "$m/disk" "$T/own"
expect_status 3 "$S3CRATE" journal save "$url" "file://$T/saved" "${key[@]}" --state-dir "$state"
expect_message 'in use by a mount'
kill -KILL "$daemon"
wait_until 20 eval "! kill -0 $daemon 2>/dev/null"
bury_volume
expect_status 1 "$S3CRATE" journal save "$url" "file://$T/saved" "${key[@]}" --state-dir "$state"
expect_message 'nobody else has written to .* since: mount it'

say "another machine takes over"
first=$state state=$T/elsewhere
use_url "$url"
mount_volume --take-over
dd if=/dev/urandom of="$m/disk" bs=64K count=30 conv=notrunc,fsync status=none
cp "$m/disk" "$T/theirs"
umount_volume
state=$first
use_url "$url"
expect_status 3 "${try_mount[@]}"
expect_message 'journal save'

say "a save that is killed goes on, unless somebody has used what it left"
kill_a_save() { # PLACE
  (
    ulimit -f 400 -c 0  # longer files are the end of it: no page of a fork is, the data is
    exec "$S3CRATE" journal save "$url" "file://$1" "${key[@]}" --state-dir "$state" >"$T/killed" 2>&1
  ) && fail "it was not stopped: $(cat "$T/killed")"
  [ -e "$1/volume" ] || fail "it was stopped before there was a fork: $(cat "$T/killed")"
  expect_status 4 "$S3CRATE" compare "$T/own" "file://$1" "${key[@]}"
}
kill_a_save "$T/saved"
kill_a_save "$T/used"
expect_status 1 "$S3CRATE" journal save "$url" "file://$T/saved" "${key[@]}" --state-dir "$T/elsewhere"
head -c 1M /dev/urandom >"$T/image"
expect_status 0 "$S3CRATE" import "$T/image" "file://$T/used" "${key[@]}" --state-dir "$state" --take-over
expect_status 1 "$S3CRATE" journal save "$url" "file://$T/used" "${key[@]}" --state-dir "$state"
expect_message 'not as an earlier save from this machine left it: nothing was changed'
mkdir -p "$T/begun/commits"
touch "$T/begun/commits/0"
expect_status 1 "$S3CRATE" journal save "$url" "file://$T/begun" "${key[@]}" --state-dir "$state"
expect_message 'is not empty .* delete what'
expect_status 0 "$S3CRATE" journal save "$url" "file://$T/saved" "${key[@]}" --state-dir "$state" --json
python3 - "$T/stdout" <<'END' || fail "another report: $(cat "$T/stdout")"
import json, sys
report = json.load(open(sys.argv[1]))
assert report["batches"] >= 1 and report["bytes"] == 20 * 65536, report
END
expect_status 0 "$S3CRATE" compare "$T/own" "file://$T/saved" "${key[@]}"
expect_status 0 "$S3CRATE" compare "$T/theirs" "$url" "${key[@]}"
expect_status 3 "${try_mount[@]}"
expect_status 1 "$S3CRATE" journal save "$url" "file://$T/saved" "${key[@]}" --state-dir "$state"
expect_message 'there is a volume at'

say "the journal is discarded, with what saves that were stopped have left"
expect_status 0 "$S3CRATE" journal list --state-dir "$state" --json
vid=$(python3 -c '
import json, sys
(journal,) = [j for j in json.load(open(sys.argv[1]))["journals"] if j["stopped_saves"]]
assert journal["stopped_saves"] == 1, journal
print(journal["vid"])' "$T/stdout")
discard=("$S3CRATE" journal discard "$vid" --state-dir "$state")
expect_status 2 setsid -w "${discard[@]}"
expect_message 'has to ask, and there is no terminal'
expect_status 1 "$abs_top_srcdir/tests/support/at-terminal" yes -- "${discard[@]}"
expect_message 'a journal save of it was stopped'
expect_message 'nothing was deleted'
expect_status 1 "$abs_top_srcdir/tests/support/at-terminal" "${vid:0:16}" no -- "${discard[@]}"
[ -e "$state/$vid/journal" ] && [ -n "$(echo "$state/$vid"/save-*/*/journal)" ] || fail "it was deleted"
expect_status 0 "$abs_top_srcdir/tests/support/at-terminal" "${vid:0:16}" yes -- "${discard[@]}"
[ ! -e "$state/$vid/journal" ] && [ -z "$(ls -d "$state/$vid"/save-* 2>/dev/null)" ] || fail "something is left: $(ls "$state/$vid")"
mount_volume
cmp "$T/theirs" "$m/disk" || fail "the volume is another"
umount_volume

say "what the store has is told from what it lacks"
list_journal() { # ERE
  expect_status 0 "$S3CRATE" journal list --state-dir "$state"
  expect_message "^${vid:0:16}  $1"
}
list_journal 'file://.*  the store has all of it$'
expect_status 0 "$S3CRATE" mount "$url" "$m" --read-only "${key[@]}" --state-dir "$state"
if grep -q 'a journal waits' "$T/stderr"; then fail "it warns for nothing"; fi
umount_volume
mount_volume --upload-delay 1h
dd if=/dev/urandom of="$m/disk" bs=64K count=3 conv=notrunc,fsync status=none
list_journal 'in use by a mount$'
kill -KILL "$daemon"
wait_until 20 eval "! kill -0 $daemon 2>/dev/null"
bury_volume
list_journal 'file://.*  [0-9.]+ KiB that the store may lack'
expect_status 0 "$S3CRATE" mount "$url" "$m" --read-only "${key[@]}" --state-dir "$state"
expect_message 'a journal waits'
umount_volume
