#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The conformance suite against Ceph's RADOS gateway, started by scripts/s3-server, which ends with all
# that it started.
. "${0%/*}/lib.sh"
requires_root
program=$abs_top_builddir/tests/s3/s3
[ -x "$program" ] || skip "needs tests/s3/s3 (make check builds it)"
server=$abs_top_srcdir/scripts/s3-server
for cmd in ceph-mon ceph-osd radosgw radosgw-admin curl; do
  command -v "$cmd" >/dev/null || "$abs_top_srcdir/scripts/install-deps" s3 >&2 ||
    skip "needs Ceph (scripts/install-deps s3)"
done
tmpdir
dir=$T/s3

# Processes that name our directory in their arguments.
left() {
  local file args
  for file in /proc/[0-9]*/cmdline; do
    args=$({ tr '\0' ' ' <"$file"; } 2>/dev/null || true)
    case $args in *"$dir"*) echo "$args" ;; esac
  done
}
all_gone() { [ -z "$(left)" ]; }
trap '_status=$?; "$server" stop --wipe --dir "$dir" || true; _cleanup "$_status"' EXIT

expect_status 1 "$server" status --dir "$dir"
expect_status 0 "$server" start --dir "$dir" --ttl 600
assignments=$(cat "$T/stdout")
[ "$(left | wc -l)" = 4 ] || fail "monitor, OSD, gateway and who ends them should run: $(left)"
expect_status 0 "$server" status --dir "$dir"
[ "$(cat "$T/stdout")" = "$assignments" ] || fail "status says something else than start"
expect_status 0 "$server" status --dir "$dir" --json
python3 -c 'import json, sys; d = json.load(sys.stdin); assert d["endpoint"] and d["secret_key"]' \
  <"$T/stdout" || fail "no JSON"

AWS_ENDPOINT_URL='' AWS_ACCESS_KEY_ID='' AWS_SECRET_ACCESS_KEY='' S3_BUCKET=''
eval "$assignments"
say "conformance of $AWS_ENDPOINT_URL"
S3CRATE_TEST_S3_ENDPOINT=$AWS_ENDPOINT_URL S3CRATE_TEST_S3_BUCKET=$S3_BUCKET \
  S3CRATE_TEST_S3_ACCESS_KEY=$AWS_ACCESS_KEY_ID S3CRATE_TEST_S3_SECRET_KEY=$AWS_SECRET_ACCESS_KEY \
  expect_status 0 "$program" --gtest_filter='Real/*'
grep -q '^\[  PASSED  \] [1-9][0-9]* tests' "$T/stdout" || fail "no case ran"

say "stopped and started again, it has what it had"
expect_status 0 "$server" stop --dir "$dir"
all_gone || fail "left behind: $(left)"
expect_status 0 "$server" start --dir "$dir" --ttl 600
[ "$(cat "$T/stdout")" = "$assignments" ] || fail "the second start says something else"

say "it ends by itself"
expect_status 0 "$server" start --dir "$dir" --ttl 1
wait_until 60 all_gone || fail "still there: $(left)"
expect_status 1 "$server" status --dir "$dir"
expect_status 0 "$server" stop --wipe --dir "$dir"
[ ! -e "$dir" ] || fail "$dir is still there"
