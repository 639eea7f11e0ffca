#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The tarball holds exactly what is tracked, so a file that Makefile.am forgets is found at once.
. "${0%/*}/lib.sh"
requires git "${MAKE:-make}"
[ -e "$abs_top_srcdir/.git" ] || skip "needs a git checkout"
compare="$abs_top_srcdir/tests/support/compare-dist"
tmpdir

say "the comparison can fail: the complaints that follow are wanted"
git init -q "$T/repo"
touch "$T/repo/one" "$T/repo/two"
git -C "$T/repo" add one two
mkdir -p "$T/tree/build-aux"
touch "$T/tree/one" "$T/tree/configure" "$T/tree/build-aux/missing"
expect_status 1 "$compare" "$T/repo" "$T/tree"
expect_message '^  two$'
touch "$T/tree/two" "$T/tree/three"
expect_status 1 "$compare" "$T/repo" "$T/tree"
expect_message '^  three$'
rm "$T/tree/three"
expect_status 0 "$compare" "$T/repo" "$T/tree"

say "what make distdir copies, against what is tracked"
unset MAKEFLAGS MFLAGS MAKELEVEL
cd "$abs_top_builddir"
expect_status 0 "${MAKE:-make}" -s distdir distdir="$T/dist" top_distdir="$T/dist"
expect_status 0 "$compare" "$abs_top_srcdir" "$T/dist"
