#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The patches of scripts/mutants fit the code as it is, and name tests that there are; whether these notice them, that script says.
. "${0%/*}/lib.sh"
requires patch

cd "$abs_top_srcdir" || exit 1
for patch in tests/mutants/*.patch; do
  patch --dry-run --fuzz=0 -sp1 <"$patch" || fail "$patch does not apply: make it anew"
  test=$(sed -n '/^--- /q; s/^Noticed by: //p' "$patch")
  test=${test#*/} # of a suite with parameters
  suite=${test%%.*} test=${test#*.}
  [ -z "$test" ] || grep -qE "^(TEST|TEST_F|TEST_P)\\($suite, ${test%/*}\\)" tests/unit/*.cc tests/sim/*.cc || fail "$patch names a test that there is none: $suite.$test"
  [ "$(sed -n '1s/.*\.$/said/p; 2s/^$/blank/p' "$patch" | tr '\n' ' ')" = "said blank " ] || fail "$patch does not say first what it takes away"
done
