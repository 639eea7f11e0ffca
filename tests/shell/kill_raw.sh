#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 at random moments on the raw disk, and with the state directory lost as well: see kill.sh.
S3CRATE_LOADS="raw=14 lost=5" . "${0%/*}/kill.sh"
