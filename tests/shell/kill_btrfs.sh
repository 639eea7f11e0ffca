#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 at random moments under btrfs: see kill.sh.
S3CRATE_LOADS="file:btrfs=8 rename:btrfs=4" . "${0%/*}/kill.sh"
