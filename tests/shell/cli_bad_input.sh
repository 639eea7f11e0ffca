#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Bad input gets one clear sentence and the documented exit status, and changes nothing.
. "${0%/*}/lib.sh"
tmpdir
cd "$T"
url=file://$T/store

# bad STATUS MESSAGE ARGS...: one line on stderr that matches, nothing on stdout.
bad() {
  local status=$1 message=$2
  shift 2
  expect_status "$status" "$S3CRATE" "$@" </dev/null
  [ ! -s "$T/stdout" ] || fail "an error belongs on stderr: $*"
  [ "$(wc -l <"$T/stderr")" = 1 ] || fail "not one line: $(cat "$T/stderr")"
  grep -Eq "^s3crate-blk: .*$message" "$T/stderr" || fail "no \"$message\" in: $(cat "$T/stderr")"
}

say "commands and options"
bad 2 'no command "moutn"; did you mean "mount"' moutn
bad 2 'no option "--verison"' --verison
bad 2 'list, save or discard' journal
bad 2 'no option "--sise"; did you mean "--size"' format "$url" --sise 1G
bad 2 'something is missing' format
bad 2 'too much' format "$url" "$url"
bad 2 'more than once' format "$url" --size 1G --size 2G

bad 2 'something is missing' attach "$url"
bad 2 '"ext3" is not btrfs, ext4 or xfs' attach "$url" . --mkfs ext3
bad 2 'no option "--mkfs"' mount "$url" . --mkfs ext4
bad 2 'leave out --mkfs' attach "$url" . --fs none --mkfs ext4
bad 2 'Add --to' restore "$url" etc
bad 1 'no directory .*missing: make it' restore "$url" etc --to missing
bad 2 'not a directory' restore "$url" etc --to /dev/null

say "URLs"
bad 2 'not a URL: write file:///srv' info /srv
bad 2 'absolute' info file://srv
bad 6 'no credentials for S3' info s3://bucket/prefix
bad 2 'of its own' info file:///
bad 2 'info takes no point of the past' info "$url@3"
bad 2 'fingerprint' info "$url#12"

say "keys"
head -c 32 /dev/urandom >key
head -c 31 /dev/urandom >short
: >empty
echo secret >passphrase
bad 5 'No such file' format "$url" --size 1G --key-file missing
bad 5 'no key file: it has 31 bytes' format "$url" --size 1G --key-file short
bad 5 'no passphrase in the first line' format "$url" --size 1G --passphrase-file empty
bad 5 'no passphrase in the first line' format "$url" --size 1G --passphrase-file -
bad 5 'command failed .status 3' format "$url" --size 1G --passphrase-command 'echo x; exit 3'
bad 2 'choose one' format "$url" --size 1G --passphrase-file passphrase --passphrase-command 'echo x'
bad 1 'there already' key new key
[ ! -e store ] || fail "a refused format left something behind"

say "sizes"
bad 2 'Add --size' format "$url" --key-file key
bad 2 'not between' format "$url" --size 0 --key-file key
bad 2 'not a size' format "$url" --size 1.5G --key-file key
bad 2 'multiple|block' format "$url" --size 5000 --key-file key
bad 2 'power of two' format "$url" --size 1G --block-size 5000 --key-file key
bad 2 'power of two' format "$url" --size 1G --block-size 128K --key-file key
bad 2 'too large' format "$url" --size 99999P --key-file key
bad 2 'multiple of the block size' format "$url" --size 1G --extent-size 6K --key-file key
bad 2 'multiple of the block size' format "$url" --size 1G --block-size 64K --extent-size 32K --key-file key
bad 2 'between 4K and 64K' format "$url" --size 1G --extent-size 128K --key-file key
[ ! -e store ] || fail "a refused format left something behind"

say "no volume, and one already there"
bad 1 'no volume|there is no' info "$url" --key-file key
expect_status 0 "$S3CRATE" format "$url" --size 64M --key-file key
find store -type f -exec sha256sum {} + | sort >before
bad 1 'a volume' format "$url" --size 64M --key-file key
bad 5 'key' info "$url" --passphrase-file passphrase
head -c 32 /dev/urandom >other
bad 5 'key' info "$url" --key-file other
bad 5 'no key|--key-file' info "$url"
bad 4 'not 0123456789abcdef' info "$url#0123456789abcdef" --key-file key
bad 4 'not 0123456789abcdef' info "$url" --expect-volume 0123456789abcdef --key-file key
expect_status 0 "$S3CRATE" info "$url" --key-file key
find store -type f -exec sha256sum {} + | sort | cmp - before || fail "the store was changed"

say "an unfinished format"
cp -r store half
rm half/volume
bad 1 'not empty|interrupted' format "file://$T/half" --size 64M --key-file key
bad 1 'no volume|there is no' info "file://$T/half" --key-file key

say "mountpoints and places"
mkdir m full
touch full/x file
if [ -c /dev/fuse ] && { : <>/dev/fuse; } 2>/dev/null; then
  bad 1 'no directory' mount "$url" missing --key-file key --state-dir state
  bad 2 'not a directory' mount "$url" file --key-file key --state-dir state
  bad 2 'not empty' mount "$url" full --key-file key --state-dir state
  bad 2 'cannot be in' mount "$url" m --key-file key --state-dir m/state
  bad 2 'cannot be in' mount "$url" m --key-file key --state-dir store/state
  bad 1 'state directory' mount "$url" m --key-file key --state-dir file/state
  bad 1 'state directory' mount "$url" m --key-file key --state-dir /proc/state
  bad 5 'No such file' mount "$url" m --key-file missing --state-dir state
  bad 5 'key' mount "$url" m --key-file other --state-dir state
  bad 2 'name of a file' mount "$url" m --key-file key --state-dir state --file-name a/b
  bad 2 'no option "bogus"' mount "$url" m --key-file key --state-dir state -o bogus
  find store -type f -exec sha256sum {} + | sort | cmp - before || fail "the store was changed"
fi
bad 1 'no volume is mounted' umount m
bad 1 'no volume is mounted' sync m
bad 1 'no volume is mounted' status m

say "a config file"
mkdir -p "$XDG_CONFIG_HOME"
echo 'durability = lokal' >"$XDG_CONFIG_HOME/s3crate-blk.conf"
bad 2 's3crate-blk.conf:1: "lokal" is not local or store' status
echo 'durabilty = local' >"$XDG_CONFIG_HOME/s3crate-blk.conf"
bad 2 'did you mean "durability"' status
rm "$XDG_CONFIG_HOME/s3crate-blk.conf"

say "errors as JSON"
expect_status 1 "$S3CRATE" info "file://$T/none" --key-file key --json
grep -q '"code": "not_found"' "$T/stdout" || fail "$(cat "$T/stdout")"
expect_status 2 "$S3CRATE" info --json --sise
grep -q '"code": "bad_argument"' "$T/stdout" || fail "$(cat "$T/stdout")"
[ ! -s "$T/stderr" ] || fail "JSON errors belong on stdout alone"
