# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# A real S3 for a test: Ceph's RADOS gateway. Source it after lib.sh and tmpdir, before volume.sh.
#
#   start_s3 [options of scripts/s3-server...]
#
# sets S3_BUCKET and exports what the program reads of it (AWS_ENDPOINT_URL, keys). It ends with the
# test, whatever way that goes.

s3_server=$abs_top_srcdir/scripts/s3-server s3_dir=$T/s3

start_s3() {
  local cmd
  for cmd in ceph-mon ceph-osd radosgw radosgw-admin curl; do
    command -v "$cmd" >/dev/null || "$abs_top_srcdir/scripts/install-deps" s3 >&2 ||
      skip "needs Ceph (scripts/install-deps s3)"
  done
  trap '_status=$?; "$s3_server" stop --wipe --dir "$s3_dir" >&2 || true; _cleanup "$_status"' EXIT
  set -a
  eval "$("$s3_server" start --dir "$s3_dir" --ttl 1800 "$@" || echo false)" ||
    fail "scripts/s3-server does not start"
  set +a
}
