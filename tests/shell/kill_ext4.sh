#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 at random moments under ext4: see kill.sh.
S3CRATE_LOADS="file:ext4=8 rename:ext4=4" . "${0%/*}/kill.sh"
