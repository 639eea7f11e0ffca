#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A line that fails, to Ceph: see s3_faults.sh.
S3CRATE_TEST_S3=yes S3CRATE_OUTAGE_S=${S3CRATE_OUTAGE_S:-60} S3CRATE_LOAD_S=${S3CRATE_LOAD_S:-4}
. "${0%/*}/s3_faults.sh"
