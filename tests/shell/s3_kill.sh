#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 at random moments with the volume in Ceph: see kill.sh. Databases there are for scripts/soak.
S3CRATE_TEST_S3=yes S3CRATE_LOADS=${S3CRATE_LOADS:-raw=7 lost=4 file:btrfs=4 file:ext4=4} . "${0%/*}/kill.sh"
