#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every input that is kept for the fuzzers: those that reach most, and those that ever failed.
. "${0%/*}/lib.sh"
tmpdir

say "every input of every target"
expect_status 0 "$abs_top_builddir/tests/fuzz/run_corpus" "$abs_top_srcdir/tests/fuzz/corpus"

say "a corpus that belongs to nothing is not passed over"
cp -r "$abs_top_srcdir/tests/fuzz/corpus" "$T/corpus"
mkdir "$T/corpus/none"
expect_status 1 "$abs_top_builddir/tests/fuzz/run_corpus" "$T/corpus"
