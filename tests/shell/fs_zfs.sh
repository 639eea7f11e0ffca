#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A zpool of zfs-fuse on the disk file itself: copy, snapshot, export, import from the store alone, scrub.
# In a mount namespace of its own, so that no other zfs-fuse on the machine is met or disturbed.
. "${0%/*}/lib.sh"
requires_fuse
requires python3 pgrep zfs-fuse zpool zfs
private_mounts
tmpdir
. "${0%/*}/volume.sh"
support=$abs_top_srcdir/tests/support

# zfs-fuse keeps its socket and its list of pools at fixed places: ours are our own.
mkdir -p /var/run/zfs
for place in /var/run/zfs /var/lib/zfs /etc/zfs; do
  if [ -d "$place" ]; then mount -t tmpfs none "$place"; fi
done
zfs_fuse() {
  zfs-fuse --no-daemon --no-kstat-mount >"$T/zfs-fuse.log" 2>&1 &
  zfs_pid=$!
  track $zfs_pid
  wait_until 20 eval "zpool list >'$T/zpool.out' 2>&1" || fail "zfs-fuse: $(cat "$T/zfs-fuse.log" "$T/zpool.out")"
}
pool=crate$$
list() { "$support/list-tree" "$1" | sed 's/ \(sparse\|full\) / /' >"$2"; }

# The bytes and what all filesystems have; of ACLs and times zfs-fuse is left to its own ways.
mkdir "$T/tree"
"$support/make-tree" "$T/made" 5 12 || skip "needs a temporary directory with ACLs and extended attributes"
cp -r --preserve=links --no-preserve=all "$T/made/." "$T/tree/" 2>/dev/null || true
find "$T/tree" -type p -delete
find "$T/tree" ! -type l -exec chmod u=rwX,go=rX {} + -exec touch -d @1500000000 {} +

say "a pool on the disk file"
new_volume 1G
mount_volume
zfs_fuse
zpool create -O atime=off -m "$T/pool" "$pool" "$m/disk"
zfs create "$pool/data"
cp -a "$T/tree/." "$T/pool/data/"
list "$T/tree" "$T/tree.list"
list "$T/pool/data" "$T/copy.list"
expect_same <(cut -d' ' -f1 "$T/tree.list") <(cut -d' ' -f1 "$T/copy.list") "the copy has other names"
(cd "$T/tree" && find . -type f -exec sha256sum {} + | sort) >"$T/tree.sums"
(cd "$T/pool/data" && find . -type f -exec sha256sum {} + | sort) >"$T/copy.sums"
expect_same "$T/tree.sums" "$T/copy.sums" "the copy differs"
zfs snapshot "$pool/data@before"
rm -r "$T/pool/data/many"
for i in 1 2 3; do
  head -c 300000 /dev/urandom >"$T/pool/data/new $i"
  sync "$T/pool/data/new $i"
done
[ "$(stat_value flushes count)" -gt 0 ] || fail "zfs never flushed"
list "$T/pool/data" "$T/data.list"

say "from the store alone"
zpool export "$pool"
kill "$zfs_pid"
wait "$zfs_pid" || true
umount_volume
rm -rf "$state"
mount_volume
zfs_fuse
zpool import -d "$m" "$pool"
list "$T/pool/data" "$T/found.list"
expect_same "$T/data.list" "$T/found.list" "the pool differs"
zpool scrub "$pool"
wait_until 60 eval "zpool status '$pool' | grep -Eq 'scrub (repaired|completed)'" || fail "no scrub: $(zpool status "$pool")"
zpool status "$pool" >"$T/status"
grep -q 'errors: No known data errors' "$T/status" || fail "$(cat "$T/status")"
zfs rollback "$pool/data@before"
(cd "$T/pool/data" && find . -type f -exec sha256sum {} + | sort) >"$T/found.sums"
expect_same "$T/tree.sums" "$T/found.sums" "the snapshot differs"
zpool export "$pool"
kill "$zfs_pid"
wait "$zfs_pid" || true
umount_volume
