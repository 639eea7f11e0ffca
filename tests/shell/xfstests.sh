#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# scripts/xfstests, with a tree that stands for xfstests: it gets two devices of the right size and type, the tests in their order,
# what is left out, and is believed when it says that something failed.
. "${0%/*}/lib.sh"
requires_root
requires_fuse
requires_loop
requires pgrep mkfs.ext4 blockdev
requires_fs ext4
tmpdir
script=$abs_top_srcdir/scripts/xfstests
mkdir "$T/tree" "$T/work"
cat >"$T/tree/check" <<'END'
#!/bin/bash
# Says what it got, and uses the devices as xfstests does.
set -eu
. "$HOST_OPTIONS"
echo "$*" >>"$SAID.arguments"
if [ "$1" = -E ]; then cp "$2" "$SAID.exclude"; fi
blkid -o value -s TYPE "$TEST_DEV" >"$SAID.type"
blockdev --getsize64 "$TEST_DEV" "$SCRATCH_DEV" >"$SAID.sizes"
mount "$TEST_DEV" "$TEST_DIR"
echo data >"$TEST_DIR/file"
mkfs.ext4 -q "$SCRATCH_DEV"
mount "$SCRATCH_DEV" "$SCRATCH_MNT"
echo data >"$SCRATCH_MNT/file"
umount "$SCRATCH_MNT"
umount "$TEST_DIR"
echo "Ran: $*"
case $* in *generic/999*) echo "Failures: generic/999" && exit 1 ;; esac
echo "Passed all 1 tests"
END
chmod +x "$T/tree/check"
export SAID=$T/said
cd "$T/work"

say "everything"
expect_status 0 "$script" --size 64M "$T/tree"
expect_message 'all passed, and the volume is sound'
[ "$(sed -n 1p "$T/said.arguments")" = "generic/001 generic/013 generic/075 generic/091 generic/112 generic/127 generic/263 generic/300 ext4/001" ] ||
  fail "first: $(cat "$T/said.arguments")"
sed -n 2p "$T/said.arguments" | grep -Eq '^-E [^ ]+ -g quick$' || fail "then: $(cat "$T/said.arguments")"
[ "$(cat "$T/said.type")" = ext4 ] || fail "the device holds $(cat "$T/said.type")"
[ "$(sort -u "$T/said.sizes")" = $((64 << 20)) ] || fail "the sizes are $(cat "$T/said.sizes")"
[ "$(grep -Ecx '[a-z0-9]+/[0-9]+' "$T/said.exclude")" = "$(wc -l <"$T/said.exclude")" ] || fail "left out: $(cat "$T/said.exclude")"
grep -qx generic/471 "$T/said.exclude" && grep -qx generic/388 "$T/said.exclude" || fail "left out: $(cat "$T/said.exclude")"
bare=$(grep -Ev '^#|^(\[[a-z0-9]+\] )?[a-z]+/[0-9]{3} +# .{5}' "$abs_top_srcdir/scripts/xfstests.exclude" || true)
[ -z "$bare" ] || fail "left out without a reason: $bare"

say "a test that fails, and no tree"
expect_status 1 "$script" --size 64M "$T/tree" generic/999
expect_message 'FAIL: of ext4: given'
expect_status 1 "$script" "$T/work"
expect_message 'is no tree of xfstests'
