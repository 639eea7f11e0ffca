#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# At 30 ms a request, connections are kept: once they stand, at most 1.1 new ones for 1,000 requests, of
# cold random reads by 16 at a time beside fsyncs that each wait for their generation to be in the store.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires curl python3 pgrep fio
tmpdir
. "${0%/*}/strict.sh"
. "${0%/*}/volume.sh"
serve
new_volume 256M --segment-size 1M
mount_volume
dd if=/dev/urandom of="$m/disk" bs=1M count=128 conv=notrunc,fsync status=none
umount_volume
mount_volume --durability store --block-cache-size 1M
set_strict latency_us=30000

# load READS FSYNCS: by each of 16 readers, and by the writer.
load() {
  fio --output="$T/fio" --filename="$m/disk" --bs=4k --ioengine=psync --randrepeat=0 \
    --name=read --rw=randread --size=128M --numjobs=16 --number_ios="$1" \
    --name=write --rw=randwrite --offset=128M --size=64M --fsync=1 --number_ios="$2" ||
    fail "fio: $(cat "$T/fio")"
}
# sample: requests and connects so far.
sample() {
  python3 -c 'import json, sys; s = json.load(open(sys.argv[1]))["store"]
print(sum(v["count"] for v in s["requests"].values()), s["connects"])' "$m/stats.json"
}
load 30 5
read -r requests connects < <(sample)
load 180 60
read -r requests_after connects_after < <(sample)
umount_volume
requests=$((requests_after - requests)) connects=$((connects_after - connects))
say "$connects connects for $requests requests; $connects_after for $requests_after with the first ones"
[ "$requests" -ge 2500 ] || fail "too few requests to tell"
[ $((connects * 10000)) -le $((requests * 11)) ] || fail "$connects connects for $requests requests"
[ "$(counter connections)" -ge "$connects_after" ] || fail "the server saw fewer connections"
