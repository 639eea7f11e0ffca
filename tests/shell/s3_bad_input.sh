#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What can be wrong with a bucket, its server, keys and permissions: format, mount, info and check end at
# once with the right status and one sentence that says what it is and what helps, and no volume suffers.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires curl python3 pgrep
tmpdir
. "${0%/*}/strict.sh"
serve
. "${0%/*}/volume.sh"

mkdir "$T/page"
new=0

# status_of COMMAND...: into $T/err.COMMAND, with its status in the last line.
status_of() {
  local got=0
  "$S3CRATE" "$@" >"$T/out.$1" 2>"$T/err.$1" || got=$?
  echo "status $got" >>"$T/err.$1"
}

# refused COMMANDS STATUS ERE [options...]: each of them, side by side.
refused() {
  local commands=$1 status=$2 words=$3 command waiting=()
  shift 3
  for command in $commands; do
    case $command in
      format) status_of format "s3://$S3_BUCKET/new-$((++new))" --size 64M --key-file "$T/key" "$@" ;;
      mount) status_of mount "$url" "$m" --key-file "$T/key" --state-dir "$state" --journal-size 64M \
        --log-to "$T/daemon.log" --outage-timeout 2s "$@" ;;
      *) status_of "$command" "$url" --key-file "$T/key" "$@" ;;
    esac &
    waiting+=($!)
  done
  wait "${waiting[@]}"
  for command in $commands; do
    sed -i '/^s3crate-blk: waiting for /d' "$T/err.$command"
    [ "$(tail -n 1 "$T/err.$command")" = "status $status" ] &&
      head -n 1 "$T/err.$command" | grep -Eq -- "$words" ||
      fail "$command should end with $status and say \"$words\": $(cat "$T/err.$command")"
    [ "$(wc -l <"$T/err.$command")" = 2 ] || fail "$command says more than a sentence: $(cat "$T/err.$command")"
  done
  ! grep -q " $m " /proc/self/mounts || fail "mounted in spite of: $words"
}
all='format mount info check'
opening='mount info check'

new_volume 64M
mount_volume
dd if=/dev/urandom of="$T/data" bs=64K count=4 status=none
dd if="$T/data" of="$m/disk" conv=notrunc,fsync status=none
umount_volume

say "the bucket"
set_strict bucket_state=missing
refused "$all" 6 "there is no bucket $S3_BUCKET at $AWS_ENDPOINT_URL"
set_strict bucket_state=forbidden
refused "$all" 6 'access is denied \(403 AccessDenied.*this needs s3:GetObject on bucket'
set_strict bucket_state=present

say "who asks"
AWS_ACCESS_KEY_ID=nobody refused "$all" 6 'the store does not know this access key'
AWS_SECRET_ACCESS_KEY=wrong refused "$all" 6 'the secret key is wrong'
AWS_REGION=eu-central-1 refused "$all" 6 'use --region us-east-1; asked was .*, region eu-central-1'
set_strict session_token=right
AWS_SESSION_TOKEN=wrong refused "$all" 6 'the session token is refused'
AWS_SESSION_TOKEN=right expect_status 0 "$S3CRATE" info "$url" --key-file "$T/key"
set_strict session_token=
(
  secret=$AWS_SECRET_ACCESS_KEY
  unset AWS_SECRET_ACCESS_KEY
  refused "$all" 6 'the environment has AWS_ACCESS_KEY_ID but no AWS_SECRET_ACCESS_KEY'
  unset AWS_ACCESS_KEY_ID
  refused "$all" 6 "none in the environment, nor in .*$HOME/.aws/credentials .*, nor in .*$HOME/.aws/config"
  refused "$all" 2 '--profile names a profile "nobody"' --profile nobody
  AWS_PROFILE=nobody refused "$all" 2 'AWS_PROFILE names a profile "nobody"'
  AWS_SECRET_ACCESS_KEY=$secret refused "$all" 6 'AWS_SECRET_ACCESS_KEY but no AWS_ACCESS_KEY_ID'
)

say "each verb forbidden in turn"
set_strict forbid=PutObject
refused "format mount" 6 "PUT s3://$S3_BUCKET/.* access is denied .*; this needs s3:PutObject on $S3_BUCKET"
set_strict forbid=GetObject
refused "$opening" 6 "GET s3://$S3_BUCKET/.* access is denied .*; this needs s3:GetObject on $S3_BUCKET"
set_strict forbid=GetObject,HeadObject
refused "format" 6 "HEAD s3://$S3_BUCKET/.* access is denied .*; this needs s3:GetObject on $S3_BUCKET"
set_strict forbid=ListObjectsV2
refused "$opening" 6 "LIST s3://$S3_BUCKET/.* access is denied .*; this needs s3:ListBucket on $S3_BUCKET"
refused format 6 "s3:ListBucket on $S3_BUCKET"
set_strict forbid=DeleteObject
expect_status 0 "$S3CRATE" format "s3://$S3_BUCKET/undeletable" --size 64M --key-file "$T/key"
mount_volume && umount_volume
set_strict forbid=

say "a permission that goes while it is mounted stalls, and hurts nothing when it comes back"
mount_volume --upload-delay 100ms
set_strict forbid=PutObject
dd if="$T/data" of="$m/disk" bs=64K seek=8 conv=notrunc,fsync status=none || fail "an fsync waits for the store"
said() { "$S3CRATE" status "$m" 2>&1 | grep -q 's3:PutObject'; }
wait_until 20 said || fail "status does not tell: $("$S3CRATE" status "$m" 2>&1)"
set_strict forbid=
umount_volume

say "where it is asked for"
refused "$all" 2 'plain http to another machine; use https, or add --insecure-http' --endpoint http://192.0.2.1:9000
refused "$all" 2 'exclude each other' --path-style --virtual-host
for bucket in aB a_b ab 192.168.1.1 a..b -ab "$(printf 'a%.0s' {1..64})"; do
  url=s3://$bucket/v refused "$opening" 2 "s3://$bucket/v: .*(bucket|IP address)"
done
# A web server, but no S3.
(cd "$T/page" && exec python3 -u -m http.server --bind 127.0.0.1 0 >"$T/web" 2>"$T/web.log") &
track $!
wait_until 20 grep -qs ' port ' "$T/web" || fail "no web server"
web=http://127.0.0.1:$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$T/web")
refused "$all" 6 "$web does not answer as S3 does .*--endpoint" --endpoint "$web"
set_strict speaks=page
refused "$all" 6 "$AWS_ENDPOINT_URL does not answer as S3 does \\(200, a web page\\)"
set_strict speaks=s3
# Nobody: one connects to a port that was free a moment ago. It might be that its server only restarts.
closed=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
refused "$all" 6 "connect to 127.0.0.1 port $closed" --endpoint "http://127.0.0.1:$closed"

say "a clock far off is learned from the store"
for offset in 86400 -86400; do
  set_strict clock_offset_s=$offset
  mount_volume && umount_volume
  check_volume
done
set_strict clock_offset_s=0

say "without keys of S3"
refused "$opening" 6 'the request was anonymous, and the bucket is not public for this' --anonymous
set_strict anonymous_read=1
(
  unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
  refused mount 6 'PUT .*the request was anonymous, and the bucket is not public for this' --anonymous
  expect_status 0 "$S3CRATE" info "$url" --key-file "$T/key" --anonymous
  mount_volume --anonymous --read-only
  cmp -n 262144 "$T/data" "$m/disk" || fail "an anonymous reader reads something else"
  umount_volume
)

say "a page of a hotel's network in place of the store, while it is mounted"
mount_volume --upload-delay 100ms --block-cache-size 1M
set_strict speaks=page
dd if="$T/data" of="$m/disk" bs=64K seek=16 conv=notrunc,fsync status=none || fail "an fsync waits for the store"
cmp -n 262144 "$T/data" "$m/disk" &
reader=$!
track $reader
said() { "$S3CRATE" status "$m" 2>&1 | grep -q 'does not answer as S3 does'; }
wait_until 20 said || fail "status does not tell: $("$S3CRATE" status "$m" 2>&1)"
set_strict speaks=s3
wait $reader || fail "a read failed instead of waiting"
umount_volume
rm -rf "$state"

say "and nothing was lost"
mount_volume
cmp -n 262144 "$T/data" "$m/disk" || fail "the data are gone"
cmp -n 262144 -i 0:524288 "$T/data" "$m/disk" || fail "what was written without permission is gone"
cmp -n 262144 -i 0:1048576 "$T/data" "$m/disk" || fail "a page was taken for the store's word that it has what was sent"
umount_volume
check_volume
