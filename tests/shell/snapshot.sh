#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# snapshot of a mounted disk under load, with ext4 frozen meanwhile; tag and untag beside the writer; rollback; a snapshot that is
# killed leaves nothing frozen; and what is refused.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires_loop
requires python3 mkfs.ext4 e2fsck fsfreeze
requires_fs ext4
tmpdir
. "${0%/*}/volume.sh"
loop_slot
fs=$T/fs
mkdir "$fs"
named=(--key-file "$T/key" --state-dir "$state")
json() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1" <"$T/stdout"; }
# The filesystem takes writes.
is_thawed() { timeout 5 touch "$fs/thawed"; }

mkdir "$T/hooks"
cat >"$T/hooks/pre-snapshot" <<'END'
#!/bin/sh
[ "$S3CRATE_TAG" != forbidden ] || { echo "not today"; exit 1; }
[ "$S3CRATE_TAG" != frozen2 ] || seq 1 300000 # more than a pipe holds
END
cat >"$T/hooks/post-snapshot" <<END
#!/bin/sh
echo "\$S3CRATE_TAG \${S3CRATE_GENERATION:-failed}" >>"$T/told"
END
cat >"$T/hooks/pre-umount" <<END
#!/bin/sh
[ ! -e "$T/stay" ]
END
for event in post-mount post-commit post-umount; do printf '#!/bin/sh\ntouch "%s/%s"\n' "$T" $event >"$T/hooks/$event"; done
chmod 700 "$T/hooks" "$T"/hooks/*

new_volume 128M
mount_volume --upload-delay 1s --hook "$T/hooks"
dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
mkfs.ext4 -q "$dev"
mount "$dev" "$fs"

say "snapshots under load, with the filesystem frozen"
(while [ ! -e "$T/stop" ]; do dd if=/dev/urandom of="$fs/load" bs=64k count=64 conv=notrunc,fsync status=none || exit; done) &
load=$!
track "$load"
for i in 1 2 3; do
  echo "before $i" >"$fs/mark"
  expect_status 0 "$S3CRATE" snapshot "$m" --tag "frozen$i" --freeze "$fs" --json
  echo "after $i" >"$fs/mark"
  [ "$(json tag)" = "frozen$i" ] || fail "another tag"
  generation[i]=$(json generation)
done
say "hooks"
expect_status 1 "$S3CRATE" snapshot "$m" --tag forbidden --freeze "$fs"
expect_message 'pre-snapshot failed: status 1: not today'
is_thawed || fail "not thawed"
grep -qx "frozen2 ${generation[2]}" "$T/told" || fail "post-snapshot was not told"
! grep -q forbidden "$T/told" || fail "post-snapshot without a snapshot"
for event in post-mount post-commit; do [ -e "$T/$event" ] || fail "no $event"; done

say "tag and untag from another process: the writer goes on"
expect_status 0 "$S3CRATE" tag "$url@${generation[1]}" "first" "${named[@]}" --json
[ "$(json generation)" = "${generation[1]}" ] || fail "another generation"
expect_status 0 "$S3CRATE" tag "$url@frozen1" "first" "${named[@]}"
expect_message 'already'
expect_status 1 "$S3CRATE" tag "$url@${generation[2]}" "first" "${named[@]}"
expect_message "names generation ${generation[1]}: --force moves it"
expect_status 0 "$S3CRATE" tag "$url@frozen2" "first" "${named[@]}" --force
expect_message "is generation ${generation[2]} now, ${generation[1]} before"
expect_status 0 "$S3CRATE" untag "$url" "first" "${named[@]}"
expect_status 1 "$S3CRATE" untag "$url" "first" "${named[@]}"
expect_message 'there is no tag first'
expect_status 0 "$S3CRATE" tag "$url" "newest" "${named[@]}"
kill -0 "$load" || fail "the load has ended"

say "killed at any time, a snapshot leaves nothing frozen"
for delay in 0 0.02 0.05 0.1 0.2; do
  "$S3CRATE" snapshot "$m" --tag "killed$delay" --freeze "$fs" >"$T/killed" 2>&1 &
  victim=$!
  sleep "$delay"
  kill -KILL "$victim" 2>/dev/null || true
  wait "$victim" || true
  wait_until 10 is_thawed || fail "killed after $delay s: still frozen"
done
kill -0 "$load" || fail "the load has ended"

say "a mount that does not say that the generation is cut: no snapshot"
cat >"$T/fake" <<'END'
import hashlib, os, socket, sys
mountpoint, words = sys.argv[1], sys.argv[2:]
path = "/run/s3crate-blk/%s.sock" % hashlib.blake2b(mountpoint.encode(), digest_size=32).hexdigest()[:16]
os.rename(path, path + ".real")
try:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(5)
        listener.settimeout(60)
        open(sys.argv[0] + ".ready", "w").close()
        connection, _ = listener.accept()
    said = connection.makefile("rwb", buffering=0)
    for word in words:
        said.readline()
        said.write(word.encode() + b"\n")
    while line := said.readline():  # what is said after those
        print(line.decode())
finally:
    os.unlink(path)
    os.rename(path + ".real", path)
END
# played CODE TEXT WORDS... -- SNAPSHOT OPTIONS: the answers are WORDS.
played() {
  local status=$1 text=$2 words=()
  shift 2
  while [ "$1" != -- ]; do words+=("$1") && shift; done
  rm -f "$T/fake.ready"
  timeout 60 python3 "$T/fake" "$m" "${words[@]}" >"$T/heard" &
  local fake=$!
  wait_until 10 test -e "$T/fake.ready" || fail "no socket"
  expect_status "$status" "$S3CRATE" snapshot "$m" --tag played "${@:2}"
  expect_message "$text"
  wait $fake || fail "the other end failed"
  ! grep -q held "$T/heard" || fail "it was told that what was frozen was so until the cut"
  is_thawed || fail "not thawed"
}
played 6 'no snapshot: .* 3 s' '{"ready": true}' -- --freeze "$fs" --freeze-timeout 3s
played 1 'makes no sense' '{"ready": true}' '{"done": true, "generation": 1}' --
played 1 'makes no sense' '{"ready": true}' '{"cut": true}' '{"cut": true}' --

expect_status 2 "$S3CRATE" snapshot "$m" --tag x --freeze "$T/home"
expect_message 'is not on the disk in'
expect_status 2 "$S3CRATE" snapshot "$m" --tag x --freeze "$T/nowhere"
expect_status 2 "$S3CRATE" snapshot "$m"
expect_message 'tag is missing'
expect_status 1 "$S3CRATE" snapshot "$m" --tag frozen1 --freeze "$fs"
expect_message 'is there already'
expect_status 1 "$S3CRATE" snapshot "$T/nowhere" --tag x
for name in 42 2026-11-20 2026-02-30 9999-12-31T23:59:59Z '2h ago' '99999999999999999999d ago' $'a\xe2\x80\xaeb' a/b 'a@b' . .. -x ' x' $'a\nb' ''; do
  expect_status 2 "$S3CRATE" snapshot "$m" --tag "$name"
  expect_status 2 "$S3CRATE" tag "$url" "${named[@]}" -- "$name"
done
expect_status 1 "$S3CRATE" tag "$url@999999" x "${named[@]}"
expect_message 'there is no generation 999999'
expect_status 1 "$S3CRATE" tag "$url@nonesuch" x "${named[@]}"
expect_message 'there is no tag nonesuch'
"$S3CRATE" key new "$T/other.key"
expect_status 5 "$S3CRATE" tag "$url" x --key-file "$T/other.key" --state-dir "$state"
fsfreeze -f "$fs"
expect_status 1 "$S3CRATE" snapshot "$m" --tag x --freeze "$fs"
expect_message 'frozen already'
fsfreeze -u "$fs"
is_thawed || fail "not thawed"
expect_status 3 "$S3CRATE" rollback "$url@frozen1" "${named[@]}"
expect_message "is mounted on $m"

say "rollback: each frozen state comes back, sound and without a recovery"
touch "$T/stop"
wait "$load" || fail "the load has failed"
umount "$fs"
detach_loop "$dev"
touch "$T/stay"
expect_status 1 "$S3CRATE" umount "$m"
expect_message 'stays mounted: the hook .*/pre-umount failed'
rm "$T/stay"
umount_volume
[ -e "$T/post-umount" ] || fail "no post-umount"
expect_status 2 "$S3CRATE" rollback "$url" "${named[@]}"
expect_message 'which generation'
for i in 2 1 3; do
  expect_status 0 "$S3CRATE" rollback "$url@frozen$i" "${named[@]}" --json
  [ "$(json point)" = "${generation[i]}" ] || fail "another point"
  mount_volume
  dev=$(attach_loop "$m/disk" --direct-io=on --sector-size 4096)
  e2fsck -fn "$dev" >"$T/fsck" 2>&1 || fail "frozen$i: $(cat "$T/fsck")"
  mount "$dev" "$fs"
  [ "$(cat "$fs/mark")" = "before $i" ] || fail "frozen$i holds \"$(cat "$fs/mark")\""
  umount "$fs"
  detach_loop "$dev"
  umount_volume
done
expect_status 0 "$S3CRATE" rollback "$url@2099-01-01" "${named[@]}"
expect_message 'which is the newest: nothing was changed'
check_volume
"$S3CRATE" history "$url" "${named[@]:0:2}" >"$T/history"
grep -q 'frozen3' "$T/history" || fail "the history shows no frozen3"
grep -q ' rollback ' "$T/history" || fail "the history shows no rollback"
