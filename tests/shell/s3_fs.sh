#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# btrfs on a volume in Ceph: copies, snapshots, fsync, fstrim, remounts.
S3CRATE_TEST_S3=yes
. "${0%/*}/lib.sh"
. "${0%/*}/fs.sh"
fs_test btrfs
