# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# The strict S3 server for a test of the whole program (tests/s3/settings.h has what can be set).
# Source it after lib.sh and tmpdir, before volume.sh; with what serve exports, volumes are in it.

strict_s3=$abs_top_builddir/tests/s3/strict_s3
[ -x "$strict_s3" ] || skip "needs tests/s3/strict_s3 (make check builds it)"

# serve NAME=VALUE...: starts it, and exports what the program reads of it; $STRICT_S3_PID is its
# process. It ends with the test.
serve() { start_server "$strict_s3" page_keys=1000 idle_s=1800 total_s=3600 "$@"; }

# serve_faulty SEED: a proxy before the S3 that the environment names, which obeys like the strict server.
serve_faulty() { start_server "$abs_top_srcdir/tests/support/fault-proxy" "$AWS_ENDPOINT_URL" "$1"; }

start_server() {
  STRICT_S3_PID=''
  rm -f "$T/assignments"
  "$@" >"$T/assignments" &
  track $!
  wait_until 20 grep -qs STRICT_S3_PID "$T/assignments" || fail "$1 does not start"
  set -a
  # shellcheck disable=SC1091
  . "$T/assignments"
  set +a
}

# control NAME=VALUE[&...]: sets it; prints all counters.
control() {
  curl -fsSk --noproxy '*' --max-time 20 "$AWS_ENDPOINT_URL/~control?$1" >"$T/counters" ||
    fail "the strict server does not take $1"
  cat "$T/counters"
}

# set_strict NAME=VALUE[&...]
set_strict() { control "$1" >"$T/control.out"; }

# counter NAME: one of them, 0 if there is none.
counter() { control '' | sed -n "s/^$1=//p" | grep . || echo 0; }

# stop_serving: from now on connections are refused. start_serving: no more.
stop_serving() {
  kill -USR1 "$STRICT_S3_PID"
  wait_until 20 _refused || fail "the server does not stop"
}
start_serving() { kill -USR2 "$STRICT_S3_PID"; }
_refused() {
  local got=0
  curl -sSk --noproxy '*' -o /dev/null "$AWS_ENDPOINT_URL/" 2>/dev/null || got=$?
  [ $got = 7 ]
}
