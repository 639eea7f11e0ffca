#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 at random moments with the volume in Ceph: see kill.sh.
S3CRATE_TEST_S3=yes S3CRATE_LOADS=${S3CRATE_LOADS:-raw btrfs lost}
S3CRATE_KILLS=${S3CRATE_KILLS:-24} . "${0%/*}/kill.sh"
