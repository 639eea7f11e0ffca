#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# --help and --version work; without a command the program says how it is used, and exits with 2.
. "${0%/*}/lib.sh"
tmpdir

expect_status 2 "$S3CRATE"
expect_message '[Uu]sage'
[ ! -s "$T/stdout" ] || fail "an error belongs on stderr"

expect_status 0 "$S3CRATE" --help
expect_message '[Uu]sage'
expect_status 0 "$S3CRATE" --version
expect_message "s3crate-blk $VERSION"
[ ! -s "$T/stderr" ] || fail "--version wrote to stderr"
