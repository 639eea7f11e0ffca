#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A line that fails: a disk under load, written, fsynced and read cold, with a store that throttles, loses
# replies, breaks off and flips what it sends, resets connections and answers late, and then is gone for
# a while. No error reaches anybody, nothing is lost, no generation comes twice, and the statistics
# know of it. Past --outage-timeout a read gives EIO, and a later one succeeds.
#
#   S3CRATE_OUTAGE_S     how long the store is gone (10; on Ceph 60; the soak: 600)
#   S3CRATE_LOAD_S       how long the load goes on before and after that (6)
#   S3CRATE_TEST_SEED    of the faults and of the load
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires curl python3 pgrep
tmpdir
. "${0%/*}/strict.sh"
. "${0%/*}/volume.sh"
support=$abs_top_srcdir/tests/support
seed=${S3CRATE_TEST_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
outage_s=${S3CRATE_OUTAGE_S:-10} load_s=${S3CRATE_LOAD_S:-6}
say "seed $seed"
if [ "${S3CRATE_TEST_S3:-}" = yes ]; then serve_faulty "$seed"; else serve seed="$seed"; fi
faults="slow_down=0.2&lost_reply=0.02&truncate=0.01&corrupt=0.005&reset=0.01&error_500=0.01&error_after=0.01&tail=0.02"
no_faults=$(echo "$faults" | sed 's/=[0-9.]*/=0/g')

# Cold data beyond what the writer uses: 48 MiB of it from 16 MiB on.
new_volume 256M
mount_volume
dd if=/dev/urandom of="$T/cold" bs=1M count=48 status=none
dd if="$T/cold" of="$m/disk" bs=1M seek=16 conv=notrunc,fsync status=none
umount_volume

reader() {
  local at
  RANDOM=$((seed % 32768))
  while [ ! -e "$T/enough" ]; do
    at=$((RANDOM % 768 * 65536))
    cmp -n 65536 -i $at:$((at + 16777216)) "$T/cold" "$m/disk" || return 1
    echo $at >>"$T/reads"
  done
}
lines() { wc -l <"$1"; }

# Once no more faults come: the program counted each of them. A tail is only late; a byte that flips is an
# error of the store's only where the store's own words are concerned.
counted() {
  set_strict ''
  python3 - "$m/stats.json" "$T/counters" <<'END'
import json
import sys

store = json.load(open(sys.argv[1]))["store"]
errors = sum(verb["errors"] for verb in store["requests"].values())
counters = dict(line.strip().split("=") for line in open(sys.argv[2]))
faults = {name[6:]: int(n) for name, n in counters.items() if name.startswith("fault.")}
flipped = faults.get("corrupt", 0)
met = sum(n for name, n in faults.items() if name not in ("tail", "corrupt"))
print(f"{met} faults that fail a request: {errors} errors, {store['retries']} retries; {flipped} flipped bytes")
assert min(faults.get(name, 0) for name in ("slow_down", "lost_reply", "reset")) > 0, faults
assert met <= errors <= met + flipped and met <= store["retries"] + store["given_up_ahead"] and store["given_up"] == 0
END
}

mount_volume --upload-delay 200ms --block-cache-size 1M
set_strict "$faults&retry_after_s=1"
"$support/stamp-writer" run "$m/disk" "$T/raw.base" "$T/raw.log" "$seed" &
writer=$!
track $writer
reader &
reader=$!
track $reader
sleep "$load_s"
set_strict retry_after_s=0
sleep "$load_s"
set_strict "$no_faults"
wait_until 20 counted || fail "not every fault is counted: $(counted 2>&1)"
counted >&2
set_strict "$faults"
say "the store is gone for $outage_s s"
stop_serving
acknowledged() { grep -c ^f "$T/raw.log"; }
before=$(acknowledged)
sleep "$outage_s"
[ "$(acknowledged)" -gt "$before" ] || fail "no fsync while the store is gone"
"$S3CRATE" status "$m" >"$T/status" 2>&1 || true
grep -Eq '^health +(store away|trouble)' "$T/status" || fail "status does not tell: $(cat "$T/status")"
start_serving
sleep "$load_s"
kill -0 $writer || fail "the writer met an error: $(tail -n 3 "$T/daemon.log")"
kill $writer
wait $writer || fail "the writer: status $?"
touch "$T/enough"
wait $reader || fail "a read failed, or gave other data: $(tail -n 3 "$T/daemon.log")"
[ "$(lines "$T/reads")" -gt 20 ] || fail "$(lines "$T/reads") reads only: that shows nothing"
say "$(acknowledged) fsyncs, $(lines "$T/reads") cold reads"


# The faults go on while the rest is sent, and while what is there is read without the journal.
umount_volume
rm -rf "$state"
mount_volume
umount_volume
set_strict "$no_faults"
mount_volume
"$support/stamp-writer" check "$m/disk" "$T/raw.base" "$T/raw.log" "$seed" >"$T/checked" || fail "seed $seed"
cmp -n 50331648 -i 0:16777216 "$T/cold" "$m/disk" || fail "the cold data are not what was written"

say "generations without a gap, each once"
"$S3CRATE" history "$url" --key-file "$T/key" --json >"$T/history"
python3 - "$T/history" <<'END'
import json
import sys

numbers = [g["generation"] for g in json.load(open(sys.argv[1]))["generations"]]
assert len(numbers) > 20 and sorted(numbers) == list(range(1, len(numbers) + 1)), numbers
END

say "past --outage-timeout"
umount_volume
mount_volume --outage-timeout 1s --block-cache-size 1M
stop_serving
if cmp -n 65536 -i 0:16777216 "$T/cold" "$m/disk" 2>"$T/cmp.err"; then fail "read without a store"; fi
grep -q 'Input/output error' "$T/cmp.err" || fail "another error than EIO: $(cat "$T/cmp.err")"
start_serving
back() { cmp -s -n 65536 -i 0:16777216 "$T/cold" "$m/disk"; }
wait_until 20 back || fail "EIO stays though the store is back"
umount_volume
check_volume
