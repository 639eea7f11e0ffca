#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A server whose certificate is expired, self-signed, for another host or from another authority is
# refused with the reason, and gets not a single request; with the right authority all works.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires curl pgrep
tmpdir
. "${0%/*}/strict.sh"
. "${0%/*}/volume.sh"
"$S3CRATE" key new "$T/key" >/dev/null
mkdir "$m"

# refused ERE [options...]
refused() {
  local words=$1 command
  shift
  use_url "s3://$S3_BUCKET/volume"
  for command in format info check mount; do
    case $command in
      format) expect_status 6 "$S3CRATE" format "$url" --size 64M --key-file "$T/key" "$@" ;;
      mount) expect_status 6 "${try_mount[@]}" "$@" ;;
      *) expect_status 6 "$S3CRATE" $command "$url" --key-file "$T/key" "$@" ;;
    esac
    expect_message "^s3crate-blk: .*s3://bucket/volume/?.*: $words"
    [ "$(wc -l <"$T/stderr")" = 1 ] || fail "more than a sentence"
  done
  [ "$(counter requests)" = 0 ] || fail "a request was sent to a server that is not trusted"
}

authority="the server's certificate comes from an unknown authority; give that one's with --ca-file"
ca=$T/ca.pem
serve tls=expired ca_file="$ca"
refused "the server's certificate has expired" --ca-file "$ca"
serve tls=self_signed ca_file="$ca"
refused "the server's certificate is self-signed"
serve tls=wrong_host ca_file="$ca"
refused "the server's certificate is for another host .*127.0.0.1" --ca-file "$ca"
serve tls=other_ca ca_file="$ca"
refused "$authority" --ca-file "$ca"
serve tls=good ca_file="$ca"
refused "$authority"
expect_status 2 "$S3CRATE" info "$url" --key-file "$T/key" --ca-file "$T/nowhere"
expect_message 'the CA file cannot be used: .*nowhere'

say "with the right authority"
dd if=/dev/urandom of="$T/data" bs=64K count=8 status=none
expect_status 0 "$S3CRATE" format "$url" --size 64M --key-file "$T/key" --ca-file "$ca"
mount_volume --ca-file "$ca"
dd if="$T/data" of="$m/disk" conv=notrunc,fsync status=none
umount_volume
[ "$(counter error.BadDigest)" = 2 ] || fail "$(counter error.BadDigest) proofs that a CRC-32C is verified, by format and mount"
[ "$(counter error.XAmzContentSHA256Mismatch)" = 0 ] || fail "a SHA-256 was tried, too"
expect_status 0 "$S3CRATE" bucket check "$url" --ca-file "$ca"
expect_message 'checksums .*CRC-32C'
rm -rf "$state"
export AWS_CA_BUNDLE=$ca
mount_volume
cmp -n 524288 "$T/data" "$m/disk" || fail "other data over TLS"
umount_volume
check_volume
unset AWS_CA_BUNDLE

say "TLS to a server without"
serve
expect_status 6 "$S3CRATE" info "$url" --key-file "$T/key" --endpoint "https${AWS_ENDPOINT_URL#http}"
expect_message 'the server does not speak TLS; is its endpoint http://'
