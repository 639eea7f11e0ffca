#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# list, bucket check and bucket policy: against the strict server in all the states that a bucket may be in,
# and against Ceph, also with a bucket that keeps versions and so ignores conditions.
. "${0%/*}/lib.sh"
requires curl python3
strict=$abs_top_builddir/tests/s3/strict_s3
[ -x "$strict" ] || skip "needs tests/s3/strict_s3 (make check builds it)"
tmpdir
. "${0%/*}/s3.sh"

# serve NAME=VALUE...: a fresh strict server, in place of the one before.
serve() {
  [ -z "${STRICT_S3_PID:-}" ] || kill "$STRICT_S3_PID"
  rm -f "$T/assignments"
  "$strict" seed=1 idle_s=120 "$@" >"$T/assignments" &
  track $!
  wait_until 20 grep -qs STRICT_S3_PID "$T/assignments" || fail "the strict server does not start"
  set -a
  # shellcheck disable=SC1091
  . "$T/assignments"
  set +a
}
control() { curl -fsS --noproxy '*' --max-time 20 -G "$AWS_ENDPOINT_URL/~control" --data-urlencode "$1" >"$T/control"; }

# check STATUS [options...]: what it printed is in $T/stdout.
check() {
  local status=$1
  shift
  expect_status "$status" "$S3CRATE" bucket check "s3://$S3_BUCKET/disk" "$@"
}
# found LEVEL CHECK ERE: the last check has this line.
found() { grep -Eq "^$1 +$2 +.*${3:-}" "$T/stdout" || fail "no line: $1 $2 ${3:-}"; }
# with SETTING STATUS LEVEL CHECK ERE: the line of a check while the server is set so.
with() {
  control "$1"
  check "$2"
  found "$3" "$4" "${5:-}"
}
# holds PYTHON: true of the last JSON, as d.
holds() { python3 -c "import json, sys; d = json.load(sys.stdin); assert $1, d" <"$T/stdout" || fail "not so: $1"; }
names() {
  curl -fsS --noproxy "*" "$AWS_ENDPOINT_URL/$S3_BUCKET?list-type=2" | grep -o "<Key>[^<]*" | sed "s/<Key>//"
}

say "a bucket as it should be, and one object is left there"
serve anonymous_read=1
check 0
found ok identity 'as strictaccess from the environment'
found ok reachable "$AWS_ENDPOINT_URL, region us-east-1, path style"
found ok conditional_put 'the second PUT was refused; s3://bucket/disk/check/conditional stays there'
found ok checksums verified
found ok latency 'p50 .* ms, p99 .* ms over 20 GETs'
found ok clock 'agree'
for line in versioning lifecycle object_lock policy public_access_block acl; do found ok $line; done
expect_message '^s3://bucket/disk is fit for'
check 0 --json
holds 'd["usable"] and d["access_key"] == "strictaccess" and d["get_p99_seconds"] > 0'
holds '{f["check"]: f["level"] for f in d["findings"]}["conditional_put"] == "ok"'
check 0
found ok conditional_put 'another PUT to .* was refused'
[ "$(names)" = disk/check/conditional ] || fail "left behind: $(names)"
control etag=md5
# Two PUTs of it first and one each from then on, and each time one with a wrong checksum.
grep -q '^PutObject=7$' "$T/control" || fail "other PUTs than expected: $(cat "$T/control")"
grep -q '^error.XAmzContentSHA256Mismatch=3$' "$T/control" || fail "checksums are not tried: $(cat "$T/control")"
! grep -q '^DeleteObject' "$T/control" || fail "it deletes"

say "what a bucket may be set to"
expires='<Expiration><Days>30</Days></Expiration>'
rule() { echo "<LifecycleConfiguration><Rule><ID>r</ID><Filter><Prefix>$1</Prefix></Filter><Status>Enabled</Status>$2</Rule></LifecycleConfiguration>"; }
with versioning=Enabled 0 ok versioning 'keeps old versions'
with versioning=501 0 unknown versioning 'does not say .*501'
with "lifecycle=$(rule '' "$expires")" 6 problem lifecycle 'deletes them after 30 days: remove it'
expect_message '^s3://bucket/disk is not fit for'
with "lifecycle=$(rule disk/segments/ "$expires")" 6 problem lifecycle 'deletes'
with "lifecycle=$(rule disk2/ "$expires")" 0 ok lifecycle
with "lifecycle=$(rule '' '<Transition><Days>9</Days><StorageClass>GLACIER</StorageClass></Transition>')" 6 problem lifecycle 'GLACIER'
with "lifecycle=$(rule '' '<Transition><Days>9</Days><StorageClass>STANDARD_IA</StorageClass></Transition>')" 0 warning lifecycle STANDARD_IA
with lifecycle=403 0 unknown lifecycle 's3:GetLifecycleConfiguration on bucket'
with lifecycle=off 0 ok lifecycle
with object_lock=on 0 ok object_lock on
with policy_status=public 0 warning policy 'makes it public'
with acl=public-read 0 warning acl 'READ to everybody'
with public_access_block=on 0 ok public_access_block 'everything is blocked'
with public_access_block=403 0 unknown public_access_block 's3:GetBucketPublicAccessBlock'
with acl='<Nonsense/>' 0 unknown acl 'not about that'
with clock_offset_s=-120 0 warning clock '2 min behind'
with clock_offset_s=0 0 ok clock

say "buckets that no volume can be written to"
for conditions in ignored 501; do
  serve conditions=$conditions
  check 6
  found problem conditional_put 'format --single-writer'
done
serve checksums=ignored anonymous_read=1
check 0
found warning checksums 'not verified'
[ "$(names | xargs)" = 'disk/check/checksum disk/check/conditional' ] || fail "left behind: $(names)"
serve forbid=PutObject
check 6
found unknown checksums
found problem conditional_put 's3:PutObject on bucket.*bucket policy --role writer'
serve forbid=GetObject
check 6
found problem latency 's3:GetObject on bucket'
serve forbid=ListObjectsV2
check 6
found problem reachable 's3:ListBucket on bucket'
serve bucket_state=missing
check 6 --json
holds 'not d["usable"] and d["findings"][-1]["check"] == "reachable" and "no bucket" in d["findings"][-1]["text"]'
serve
AWS_SECRET_ACCESS_KEY=wrong check 6
found problem reachable 'secret key is wrong'
check 6 --anonymous
found ok identity 'as nobody'
AWS_ACCESS_KEY_ID='' AWS_SECRET_ACCESS_KEY='' check 6
expect_message 'no credentials for S3'
expect_status 2 "$S3CRATE" bucket check "file://$T/store"
expect_message 'is no bucket'

say "policies need neither keys nor a server"
policy() { AWS_ACCESS_KEY_ID='' AWS_ENDPOINT_URL=http://127.0.0.1:1 expect_status "$1" "$S3CRATE" bucket policy "${@:2}"; }
policy 0 s3://bucket/disk --role writer
holds '"s3:PutObject" in d["Statement"][0]["Action"] and "s3:DeleteObject" not in d["Statement"][0]["Action"]'
grep -q 'aws iam put-user-policy' "$T/stderr" || fail "it does not say what to do with the policy"
policy 0 s3://bucket/disk --role public --json
holds 'd["policy"]["Statement"][0]["Principal"] == "*" and d["role"] == "public"'
AWS_REGION=cn-north-1 policy 0 s3://bucket/disk --role reader
holds 'd["Statement"][0]["Resource"] == ["arn:aws-cn:s3:::bucket/disk/*"]'
policy 2 s3://bucket/disk
expect_message 'Add --role'
policy 2 s3://bucket/disk --role owner
policy 2 "s3://bucket/a*" --role reader
policy 2 s3://bucket/disk --role public --principal arn:aws:iam::1:user/x

say "volumes of a bucket"
"$S3CRATE" key new "$T/key" >"$T/out"
"$S3CRATE" key new "$T/other" >"$T/out"
# lists STATUS URL [options...]
lists() { expect_status "$1" "$S3CRATE" list "${@:2}" </dev/null; }
three_volumes() {
  local place
  lists 0 "$1"
  expect_message 'no volume at'
  # What a check leaves is in nobody's way.
  for place in disk a/b/c; do "$S3CRATE" format "$1/$place" --size 64M --key-file "$T/key" >"$T/out" || fail "format $place"; done
  "$S3CRATE" format "$1/locked" --size 32M --key-file "$T/other" >"$T/out"
  lists 0 "$1" --key-file "$T/key"
  grep -Eq "^$1/a/b/c +[0-9a-f]{16} +64.0 MiB +1  .*never mounted$" "$T/stdout" || fail "a/b/c is not there"
  grep -Eq "^$1/locked +[0-9a-f]{16} +- +1  - +other key$" "$T/stdout" || fail "locked is not there"
  [ "$(wc -l <"$T/stdout")" = 4 ] || fail "three volumes and a heading"
  lists 0 "$1/a"
  grep -Eq ' no key$' "$T/stdout" || fail "it does not say that there is no key"
  lists 0 "$1" --key-file "$T/key" --json
  holds '[v["url"].rsplit("/", 1)[1] for v in d["volumes"]] == ["c", "disk", "locked"] and d["complete"]'
  holds 'd["volumes"][0]["disk_bytes"] == 64 << 20 and d["volumes"][0]["opened"] and not d["volumes"][0]["open"]'
  holds 'd["volumes"][2]["problem"]["code"] == "bad_key" and len(d["volumes"][2]["vid"]) == 64'
  lists 5 "$1" --key-file "$T/none"
}
check 0
three_volumes s3://bucket
say "volumes of a directory"
mkdir "$T/dir"
three_volumes "file://$T/dir"
echo 'no volume' >"$T/dir/volume"
lists 0 "file://$T/dir"
grep -q " damaged$" "$T/stdout" || fail "a damaged one is not named"
lists 1 "file://$T/nowhere"
expect_message 'no directory'
lists 2 "file://$T/dir#0123456789abcdef"
kill "$STRICT_S3_PID"

say "Ceph"
requires_root
start_s3
check 0
found ok conditional_put 'the second PUT was refused'
found ok checksums verified
three_volumes "s3://$S3_BUCKET/volumes"
body='<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'
curl -fsS --noproxy '*' --max-time 20 --aws-sigv4 "aws:amz:us-east-1:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
  -H "x-amz-content-sha256: $(printf %s "$body" | sha256sum | cut -c1-64)" -X PUT -d "$body" "$AWS_ENDPOINT_URL/$S3_BUCKET?versioning="
check 6
found ok versioning 'keeps old versions'
found problem conditional_put 'ignored: an object was replaced.*keep no versions'
for line in lifecycle object_lock policy public_access_block acl; do found ok $line; done
