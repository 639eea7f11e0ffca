#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A store that does not answer, and somebody who waits for it: within a few seconds one sentence says what is waited
# for and for how long; Ctrl-C ends it at once, with nothing half made; in the end the status is 6; and if the
# store comes back, all is well.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires_loop
requires curl python3 pgrep mkfs.ext4
tmpdir
. "${0%/*}/strict.sh"
serve
. "${0%/*}/volume.sh"
new_volume 64M

notices() { grep -c 'waiting for' "$1" || true; }
nothing_made() {
  ! grep -q " $m " /proc/self/mounts || fail "it is mounted"
  [ -z "$(daemon_pids mount)" ] || fail "a process goes on"
  [ ! -e "$state" ] || [ -z "$(find "$state" -name journal)" ] || fail "there is a journal"
}

# In the background; what the mount before it said is gone before anybody looks.
start_mount() {
  : >"$T/mount.err"
  "${try_mount[@]}" >"$T/mount.out" 2>"$T/mount.err" &
  mount=$!
  track $mount
}

say "every command gives up after a while, and says before why it waits"
stop_serving
mkdir -p "$m"
commands="format info history check list bucket"
patient() {
  local got=0
  case $1 in
    format) set -- "$S3CRATE" format "$url-new" --size 64M --key-file "$T/key" ;;
    bucket) set -- "$S3CRATE" bucket check "$url" ;;
    *) set -- "$S3CRATE" "$1" "$url" --key-file "$T/key" ;;
  esac
  "$@" >"$T/out.$command" 2>"$T/err.$command" || got=$?
  echo $got >"$T/status.$command"
}
begin=$SECONDS waiting=()
for command in $commands; do
  patient $command &
  waiting+=($!)
done
all_say() { for command in $commands; do grep -qs 'waiting for' "$T/err.$command" || return 1; done; }
wait_until 8 all_say || fail "not all say what they wait for: $(head "$T"/err.*)"
wait "${waiting[@]}"
[ $((SECONDS - begin)) -lt 60 ] || fail "giving up took $((SECONDS - begin)) s"
for command in $commands; do
  [ "$(cat "$T/status.$command")" = 6 ] || fail "$command: status $(cat "$T/status.$command"): $(cat "$T/err.$command")"
  grep -Eq "^s3crate-blk: waiting for $url(-new)?: .*\(Connection refused\); giving up in 1[0-9] s; Ctrl-C ends\$" \
    "$T/err.$command" || fail "$command says: $(cat "$T/err.$command")"
  [ "$(notices "$T/err.$command")" = 1 ] || fail "$command repeats itself: $(cat "$T/err.$command")"
done

say "Ctrl-C at a mount that waits"
# Signals that bash ignores in the background are not ignored here.
cat >"$T/interrupt.py" <<'E2'
import os, signal, subprocess, sys, time

how, err, *command = sys.argv[1:]
def reset():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
p = subprocess.Popen(command, start_new_session=True, preexec_fn=reset, stderr=open(err, "wb"))
while b"waiting for" not in open(err, "rb").read() and p.poll() is None:
    time.sleep(0.1)
begin = time.monotonic()
os.killpg(p.pid, signal.SIGINT) if how == "group" else os.kill(p.pid, signal.SIGTERM)
p.wait(10)
def any_left():  # that runs: who collects the dead ones may take his time
    states = subprocess.run(["ps", "-o", "stat=", "--sid", str(p.pid)], capture_output=True, text=True).stdout.split()
    return any(not state.startswith("Z") for state in states)
while any_left() and time.monotonic() - begin < 10:
    time.sleep(0.02)
sys.exit(any_left())
E2
python3 "$T/interrupt.py" group "$T/mount.err" "${try_mount[@]}" || fail "it does not end"
nothing_made
python3 "$T/interrupt.py" group "$T/mount.err" "${try_mount[@]}" --foreground || fail "in front it does not end"
nothing_made
say "the process in front of it is ended alone"
python3 "$T/interrupt.py" front "$T/mount.err" "${try_mount[@]}" || fail "the process behind goes on"
nothing_made

say "a mount gives up in the end"
expect_status 6 "${try_mount[@]}" --outage-timeout 5s
expect_message "waiting for $url: .*giving up in [12] s; Ctrl-C ends"
nothing_made

say "a mount waits until the store is there"
start_mount
wait_until 8 grep -q "waiting for $url: .*; giving up in 10 min; Ctrl-C ends" "$T/mount.err" || fail "it says: $(cat "$T/mount.err")"
start_serving
wait $mount || fail "mount: $(cat "$T/mount.err")"
[ "$(notices "$T/mount.err")" = 1 ] || fail "it says: $(cat "$T/mount.err")"

say "umount while the store is away"
find_daemon
dd if=/dev/urandom of="$m/disk" bs=64K count=4 conv=notrunc,fsync status=none
stop_serving
"$S3CRATE" umount "$m" >"$T/umount.out" 2>"$T/umount.err" &
umount=$!
track $umount
wait_until 12 grep -q 'waiting for the store: .*Connection refused' "$T/umount.err" || fail "umount says: $(cat "$T/umount.err")"
start_serving
wait $umount || fail "umount: $(cat "$T/umount.err")"

say "a restore from a store that goes away puts nothing in place: that is no damage"
loop_slot
mkdir "$T/fs" "$T/to"
"$S3CRATE" format "$url-fs" --size 128M --key-file "$T/key" >"$T/format.out"
expect_status 0 "$S3CRATE" attach "$url-fs" "$T/fs" --mkfs ext4 --key-file "$T/key" --state-dir "$state"
for i in 1 2 3 4 5 6 7 8 9 10; do head -c 4M /dev/urandom >"$T/fs/$i"; done
expect_status 0 "$S3CRATE" detach "$T/fs"
"$S3CRATE" restore "$url-fs" / --to "$T/to" --key-file "$T/key" --state-dir "$T/other" --outage-timeout 2s --max-download-rate 8M \
  --read-ahead 0 --cache-file-size 0 >"$T/restore.out" 2>"$T/restore.err" &
restore=$!
track $restore
copies() { ls "$T"/to/.s3crate-restore.*/[0-9]* >"$T/copies" 2>&1; }
wait_until 20 copies || fail "nothing is copied: $(cat "$T/restore.err")"
stop_serving
got=0
wait $restore || got=$?
[ $got = 6 ] || fail "status $got: $(cat "$T/restore.out" "$T/restore.err")"
grep -q 'nothing was restored: ' "$T/restore.err" || fail "it says: $(cat "$T/restore.err")"
[ -z "$(ls -A "$T/to")" ] || fail "something is there: $(ls -A "$T/to")"
start_serving
wait_until 20 eval '! _refused'

say "a server that says nothing"
kill -STOP "$STRICT_S3_PID"
start_mount
wait_until 12 grep -q "waiting for $url: no answer yet; Ctrl-C ends" "$T/mount.err" || fail "it says: $(cat "$T/mount.err")"
kill -CONT "$STRICT_S3_PID"
wait $mount || fail "mount: $(cat "$T/mount.err")"
umount_volume

say "a store that can be read and takes nothing"
set_strict 'inject=error_500,PutObject,,1000000'
expect_status 6 "${try_mount[@]}" --outage-timeout 5s
expect_message 'PUT .*500 InternalError'
[ -z "$(daemon_pids mount)" ] || fail "a process goes on"
grep -q "waiting for $url: PUT .*giving up in [12] s" "$T/stderr" || fail "it does not say what it waits for"

say "a store that asks to stay away for long"
serve slow_down=1 retry_after_s=100000
begin=$SECONDS
expect_status 6 "$S3CRATE" info "$url" --key-file "$T/key"
expect_message 'waiting for .*slow down.*giving up in'
[ $((SECONDS - begin)) -lt 50 ] || fail "it took $((SECONDS - begin)) s"
