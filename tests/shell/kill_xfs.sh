#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 at random moments under xfs, and under SQLite on ext4: see kill.sh.
S3CRATE_LOADS="file:xfs=5 sqlite:ext4=5" . "${0%/*}/kill.sh"
