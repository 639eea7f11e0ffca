#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The man page's recipe for moving to another machine, line by line as it stands there, but for names; and back. Two directories stand for
# the machines: each has a state directory, and a place for the key, of its own.
. "${0%/*}/lib.sh"
requires_fuse
requires pgrep python3
tmpdir
. "${0%/*}/strict.sh"
. "${0%/*}/volume.sh"
serve
use_url s3://bucket/disk
mkdir -p "$T/bin" "$T/here" "$T/other" "$m"

# The program, ssh and scp of whatever machine $MACHINE is.
cat >"$T/bin/s3crate-blk" <<'END'
#!/bin/bash
[ "$1" = umount ] && exec "$S3CRATE" "$@"
exec "$S3CRATE" "$@" --state-dir "$MACHINE/state" --journal-size 64M --cache-file-size 0 --log-to "$MACHINE/log"
END
cat >"$T/bin/ssh" <<'END'
#!/bin/bash
MACHINE=$(dirname "$MACHINE")/$1
export MACHINE
exec "${@:2}"
END
cat >"$T/bin/scp" <<'END'
#!/bin/bash
[ "$1" = -p ] && shift
to=$(dirname "$MACHINE")/${2%%:*}/${2##*/}
exec cp -p "$1" "$to"
END
chmod +x "$T/bin"/*
export S3CRATE MACHINE PATH="$T/bin:$PATH"

# recipe FROM TO: its lines, for those machines.
recipe() {
  python3 - "$abs_top_srcdir/man/s3crate-blk.1" <<'END' |
import re, sys
text = open(sys.argv[1]).read()
block = re.search(r"\nTo move to another machine,\n.*?\n\.nf\n(.*?)\n\.fi\n", text, re.S).group(1)
print(block.replace("\\-", "-"))
END
    sed "s|\bother\b|$2|; s|/mnt/crate|$m|; s|--key-file /root/|--key-file $T/$2/|; s|-p /root/|-p $T/$1/|"
}
follow() { # FROM TO
  MACHINE=$T/$1
  recipe "$1" "$2" >"$T/lines"
  [ "$(wc -l <"$T/lines")" = 3 ] || fail "another recipe: $(cat "$T/lines")"
  while read -r line; do
    say "on $1: $line"
    bash -c "$line" >"$T/out" 2>&1 </dev/null || fail "status $? $(cat "$T/out")"
  done <"$T/lines"
  MACHINE=$T/$2
}

"$S3CRATE" key new "$T/here/disk.key" >/dev/null
"$S3CRATE" format "$url" --size 16M --key-file "$T/here/disk.key" >/dev/null
MACHINE=$T/here
s3crate-blk mount "$url" "$m" --key-file "$T/here/disk.key" >"$T/out" 2>&1 || fail "mount: $(cat "$T/out")"
for round in 1 2; do
  for pair in "here other" "other here"; do
    dd if=/dev/urandom of="$m/disk" bs=64K count=16 seek=$((16 * round)) conv=notrunc,fsync status=none
    dd if=/dev/urandom of="$m/disk" bs=4K count=1 seek=7 conv=notrunc status=none
    cp "$m/disk" "$T/before"
    # shellcheck disable=SC2086
    follow $pair
    cmp "$T/before" "$m/disk" || fail "what moved is not what was there"
  done
done
umount_volume
expect_status 0 "$S3CRATE" check "$url" --key-file "$T/here/disk.key" --read-data
