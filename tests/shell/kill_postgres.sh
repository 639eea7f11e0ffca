#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 at random moments under PostgreSQL on ext4, and under names on xfs: see kill.sh.
S3CRATE_LOADS="postgres:ext4=5 rename:xfs=3" . "${0%/*}/kill.sh"
