#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# btrfs on a volume: copies, snapshots, fsync, fstrim, remounts, and a process that is stopped for a while.
. "${0%/*}/lib.sh"
. "${0%/*}/fs.sh"
fs_test btrfs
