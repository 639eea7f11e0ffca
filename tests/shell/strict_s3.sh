#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The strict S3 server as a program: it says where it is, obeys its control address, and ends when it is
# told, when nobody wants it, and when its time is over.
. "${0%/*}/lib.sh"
requires curl
program=$abs_top_builddir/tests/s3/strict_s3
[ -x "$program" ] || skip "needs tests/s3/strict_s3 (make check builds it)"
tmpdir

# serve NAME=VALUE...: starts it; $STRICT_S3_PID is its process.
serve() {
  AWS_ENDPOINT_URL='' STRICT_S3_PID=''
  rm -f "$T/assignments"
  "$program" "$@" >"$T/assignments" &
  track $!
  wait_until 20 grep -qs STRICT_S3_PID "$T/assignments" || fail "it does not start"
  # shellcheck disable=SC1091
  . "$T/assignments"
  [ "$STRICT_S3_PID" = $! ] || fail "it says that it is process $STRICT_S3_PID"
}
control() { curl -fsS --noproxy '*' --max-time 20 "$AWS_ENDPOINT_URL/~control?$1"; }

expect_status 2 "$program" nonsense=1
expect_message 'there is no setting nonsense'
expect_status 2 "$program" slow_down=2
expect_status 2 "$program" tls=nonsense

serve seed=7 slow_down=1 latency_us=10
grep -q '^STRICT_S3_SEED=7$' "$T/assignments" || fail "it does not say its seed"
code=$(curl -sS --noproxy '*' -o /dev/null -w '%{http_code}' "$AWS_ENDPOINT_URL/bucket/o")
[ "$code" = 503 ] || fail "not slowed down: $code"
control 'slow_down=0' >"$T/counters"
grep -q '^fault.slow_down=1$' "$T/counters" || fail "the counters do not say so"
code=$(curl -sS --noproxy '*' -o /dev/null -w '%{http_code}' "$AWS_ENDPOINT_URL/bucket/o")
[ "$code" = 403 ] || fail "an unsigned request got $code"
if control 'slow_down=2' 2>/dev/null; then fail "a bad value was taken"; fi
kill -USR1 "$STRICT_S3_PID"
refused() { curl -sS --noproxy '*' -o /dev/null "$AWS_ENDPOINT_URL/bucket/o" 2>/dev/null; [ $? = 7 ]; }
wait_until 20 refused || fail "stopped, it still takes connections"
kill -USR2 "$STRICT_S3_PID"
back() { control 'slow_down=0' 2>/dev/null | grep -q '^fault.slow_down=1$'; }
wait_until 20 back || fail "it does not come back as it was"
kill "$STRICT_S3_PID"
wait "$STRICT_S3_PID" || fail "SIGTERM: status $?"

serve idle_s=1
wait "$STRICT_S3_PID" || fail "idle: status $?"
serve total_s=1
wait "$STRICT_S3_PID" || fail "total: status $?"

serve tls=good ca_file="$T/ca.pem"
code=$(curl -sS --noproxy '*' --cacert "$T/ca.pem" -o /dev/null -w '%{http_code}' "$AWS_ENDPOINT_URL/bucket/o")
[ "$code" = 403 ] || fail "over TLS an unsigned request got $code"
