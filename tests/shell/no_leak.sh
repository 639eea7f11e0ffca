#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What must stay secret stays so: no content, no block number, no key and no passphrase in the store, in
# the state directory, in arguments, environment, output or logs; and no core dump.
# In a mount namespace of its own, where /dev/fuse can be given to another user.
. "${0%/*}/lib.sh"
requires_fuse
requires python3 pgrep
private_mounts
tmpdir
# shellcheck disable=SC2034  # for volume.sh
cache_file_size=16M
. "${0%/*}/volume.sh"
support=$abs_top_srcdir/tests/support

# Content that compresses well and content that does not; block numbers that look like nothing else.
head -c 24 /dev/urandom >"$T/marker"
head -c 32 /dev/urandom | base64 -w 0 >"$T/passphrase"
passphrase=$(cat "$T/passphrase")
"$S3CRATE" key new "$T/key" >"$T/key.out"
blocks=(3405692141 2880125633 4276994270 2596069117 3141592653)
hex() { od -An -v -tx1 "$@" | tr -d ' \n'; }
{
  echo "content $(hex "$T/marker")"
  echo "plaintext $(printf 'SECRET-WORDS-OF-THE-TEST' | hex)"
  echo "key $(hex "$T/key")"
  # Parts of it as well.
  echo "half-a-key $(head -c 16 "$T/key" | hex)"
  echo "passphrase $(hex "$T/passphrase")"
  for block in "${blocks[@]}"; do
    echo "block-number $(python3 -c "print((${block}).to_bytes(8, 'little').hex())")"
    echo "block-number-in-decimal $(printf '%s' "$block" | hex)"
    echo "byte-offset $(python3 -c "print((${block} * 4096).to_bytes(8, 'little').hex())")"
  done
} >"$T/secrets"

# The search itself finds what is there, in every form.
mkdir "$T/planted"
{ head -c 1001 /dev/urandom; cat "$T/marker"; } >"$T/planted/raw"
{ echo x; base64 -w 0 <(cat <(printf 'ab') "$T/key"); } >"$T/planted/base64"
hex "$T/passphrase" >"$T/planted/hex"
python3 -c "import sys; sys.stdout.buffer.write((${blocks[0]}).to_bytes(8, 'big'))" >"$T/planted/big-endian"
for planted in raw base64 hex big-endian; do
  if "$support/find-secrets" "$T/secrets" "$T/planted/$planted" >"$T/found" 2>&1; then
    fail "the search does not find what was planted in $planted"
  fi
done

# look WHAT PATH...
look() {
  local what=$1
  shift
  "$support/find-secrets" "$T/secrets" "$@" >"$T/found" 2>"$T/searched" || fail "$what: $(cat "$T/found")"
}

write_markers() {
  python3 - "$m/disk" "$T/marker" "${blocks[@]}" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
marker = open(sys.argv[2], "rb").read()
for number in map(int, sys.argv[3:]):
    at = number * 4096
    os.pwrite(fd, (marker + b"SECRET-WORDS-OF-THE-TEST") * 200, at)
    os.pwrite(fd, os.urandom(5000) + marker + os.urandom(3000), at + 16384)
    os.pwrite(fd, marker, at + 65536 + 100)  # a part of a block
    os.fsync(fd)
END
}

say "store, state directory, output and logs, during a mount and after it"
rm -rf "$store"
expect_status 0 "$S3CRATE" format "$url" --size 16T --key-file "$T/key" --passphrase-file "$T/passphrase"
look "what format prints" "$T/stdout" "$T/stderr"
mkdir "$m"
mount_volume --log-level debug --upload-delay 100ms
write_markers
look "state directory" "$state"
"$S3CRATE" sync "$m" >"$T/sync.out"
write_markers
kill -KILL "$daemon"
bury_volume
look "state directory after a kill" "$state"
look "store after a kill" "$store"
mount_volume --log-level debug --upload-delay 30s
write_markers
for word in status "status --json" "info --json --key-file $T/key" "history --json --key-file $T/key"; do
  read -r -a words <<<"$word"
  case $word in
    status*) "$S3CRATE" "${words[@]}" "$m" ;;
    *) "$S3CRATE" "${words[0]}" "$url" "${words[@]:1}" ;;
  esac >>"$T/printed" 2>&1
done
cat "$m/stats" "$m/stats.json" "$m/metrics" >>"$T/printed"
look "what commands print" "$T/printed" "$T/mount.out" "$T/mount.err"
umount_volume
look "store" "$store"
look "state directory" "$state"
look "log" "$T/daemon.log"
[ -s "$T/daemon.log" ] || fail "there is no log to look at"
[ "$(find "$store" -type f | wc -l)" -ge 8 ] || fail "there is no store to look at"

say "arguments and environment"
head -c 32 /dev/urandom | base64 -w 0 >"$T/second"
# A passphrase comes through a file, a command or standard input; what the process shows is none of them.
S3CRATE_PASSPHRASE_FILE=$T/passphrase mount_as=$(
  unlocked "$S3CRATE" mount "$url" "$m" --state-dir "$state" --journal-size 256M \
    --passphrase-command "cat $T/passphrase" --log-to "$T/daemon.log" 2>&1
)
find_daemon
look "process" "/proc/$daemon/cmdline" "/proc/$daemon/environ" "/proc/$daemon/comm" "/proc/$daemon/status"
printf '%s' "$mount_as" >"$T/printed"
look "what mount prints" "$T/printed"
umount_volume
printf '%s\n' "$passphrase" | unlocked "$S3CRATE" mount "$url" "$m" --state-dir "$state" --journal-size 256M \
  --passphrase-file - --log-to "$T/daemon.log" >"$T/printed" 2>&1
find_daemon
look "process" "/proc/$daemon/cmdline" "/proc/$daemon/environ"
write_markers

say "no core dump, and no look from outside"
grep -q '^Max core file size *0 *0 ' "/proc/$daemon/limits" || fail "$(grep core "/proc/$daemon/limits")"
locked=$(awk '/^VmLck/ { print $2 }' "/proc/$daemon/status")
[ "$locked" -gt 0 ] || fail "no memory is locked for keys"
# The owner of /proc/PID is root, whoever the process belongs to, if it cannot be dumped.
if command -v setpriv >/dev/null && command -v fusermount3 >/dev/null && [ -u "$(command -v fusermount3)" ]; then
  chmod 755 "$T"
  mknod -m 666 "$T/fuse" c 10 229
  mount --bind "$T/fuse" /dev/fuse
  mkdir -m 700 "$T/user"
  cp "$T/key" "$T/user/key"
  mkdir "$T/user/m" "$T/user/run"
  chown -R 65534:65534 "$T/user"
  as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$T/user" XDG_RUNTIME_DIR="$T/user/run" "$@"; }
  as_user "$S3CRATE" format "file://$T/user/store" --size 64M --key-file "$T/user/key" >"$T/printed"
  as_user "$S3CRATE" mount "file://$T/user/store" "$T/user/m" --key-file "$T/user/key" \
    --state-dir "$T/user/state" --journal-size 64M >"$T/printed" 2>&1 || fail "$(cat "$T/printed")"
  theirs=$(pgrep -u 65534 -f "s3crate-blk mount .*$T/user/m ") || fail "no process of the user"
  [ "$(stat -c %u "/proc/$theirs/mem")" = 0 ] || fail "the process can be dumped by its user"
  if as_user cat "/proc/$theirs/environ" >/dev/null 2>&1; then fail "its user can look into the process"; fi
  as_user "$S3CRATE" umount "$T/user/m" >"$T/printed"
  umount /dev/fuse
else
  say "needs setpriv and a setuid fusermount3: not tested as another user"
fi

# cores: files that a crash may have left where the kernel puts them.
pattern=$(cat /proc/sys/kernel/core_pattern)
cores() {
  local dir
  for dir in / "$T" "$PWD" "$(dirname "${pattern#|}")"; do
    find "$dir" -maxdepth 1 -type f \( -name 'core*' -o -name '*.core' -o -newer "$T/before" -name '*core*' \) 2>/dev/null
  done | sort -u
}
touch "$T/before"
cores >"$T/dumped.before"
kill -ABRT "$daemon"
wait_until 10 eval "! kill -0 $daemon 2>/dev/null" || fail "the process survived SIGABRT"
bury_volume
cores >"$T/dumped.after"
expect_same "$T/dumped.before" "$T/dumped.after" "a core was dumped"
mount_volume
umount_volume
look "store" "$store"
look "state directory" "$state"
