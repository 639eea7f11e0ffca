#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Holds every file of src/ against tests/layers.table: who includes whom, which library is named
# where, and who may touch threads, randomness, time, disk and network. Every C++ file and every
# script has its SPDX line. Before that it proves on bad trees that each rule can fail.
. "${0%/*}/lib.sh"
requires awk find
tmpdir

# check_layers SRCDIR TABLE: prints what breaks the table, one line each; fails if there is any.
check_layers() {
  find "$1" -type f \( -name '*.h' -o -name '*.cc' \) -printf '%P\n' | sort >"$T/files"
  awk -v src="$1" -v table="$2" -v files="$T/files" '
    function complain(text) { print text; bad = 1 }

    function words(text, list,   n, i, parts) {  # list[1..n], and the number of words
      n = split(text, parts, " ")
      for (i = 1; i <= n; i++) list[i] = parts[i]
      return n
    }

    # Is file (relative to src) in one of the places?
    function allowed(file, places,   n, i, list) {
      n = words(places, list)
      for (i = 1; i <= n; i++) {
        if (list[i] == file) return 1
        if (list[i] ~ /\/$/ && index(file, list[i]) == 1) return 1
        if ((list[i] in rank) && index(file, list[i] "/") == 1) return 1
      }
      return 0
    }

    function glob_match(name, globs,   n, i, list, stem) {
      n = words(globs, list)
      for (i = 1; i <= n; i++) {
        if (list[i] == name) return 1
        if (list[i] ~ /\*$/) {
          stem = substr(list[i], 1, length(list[i]) - 1)
          if (index(name, stem) == 1) return 1
        }
      }
      return 0
    }

    function read_table(   line, kind, rest, at, places, where, n, i, list, number) {
      while ((getline line < table) > 0) {
        number++
        if (line ~ /^[ \t]*(#|$)/) continue
        where = table ":" number
        kind = line; sub(/ .*/, "", kind)
        rest = line; sub(/^[a-z]+ +/, "", rest)
        # The places stand behind the last " :" of the line.
        if (match(rest, / :[^:]*$/) == 0) { complain(where ": no \" : \" in the line"); continue }
        places = substr(rest, RSTART + 2)
        rest = substr(rest, 1, RSTART - 1)
        sub(/ +$/, "", rest)
        if (kind == "layer") {
          n = words(places, list)
          for (i = 1; i <= n; i++) {
            at = list[i]; sub(/\/.*/, "", at)
            if (!(at in rank)) complain(where ": " rest " may not name " at ", which is not above it")
          }
          rank[rest] = ++layers
          may[rest] = places
        } else if (kind == "header") {
          header[++headers] = rest; header_places[headers] = places
        } else if (kind == "use") {
          use[++uses] = rest; use_places[uses] = places
        } else {
          complain(where ": unknown word " kind)
        }
      }
      close(table)
      if (layers == 0) complain(table ": no layers")
    }

    # The line without comments and without what is in strings. State: in_comment, raw_end.
    function strip(line,   out, at, token, before, tail) {
      out = ""
      while (line != "") {
        if (raw_end != "") {
          at = index(line, raw_end)
          if (at == 0) return out
          line = substr(line, at + length(raw_end)); raw_end = ""; out = out "\"\""
          continue
        }
        if (in_comment) {
          at = index(line, "*/")
          if (at == 0) return out
          line = substr(line, at + 2); in_comment = 0; out = out " "
          continue
        }
        if (match(line, /\/\/|\/\*|"|\047/) == 0) return out line
        token = substr(line, RSTART, RLENGTH)
        before = substr(line, 1, RSTART - 1)
        tail = substr(line, RSTART + RLENGTH)
        if (token == "//") return out before
        if (token == "/*") { out = out before; line = tail; in_comment = 1; continue }
        if (token == "\047" && before ~ /[0-9A-Fa-f]$/) {  # a digit separator
          out = out before; line = tail; continue
        }
        out = out before
        if (token == "\"" && before ~ /(^|[^A-Za-z0-9_])(u8|u|U|L)?R$/) {
          at = index(tail, "(")
          raw_end = ")" substr(tail, 1, at - 1) "\""
          line = substr(tail, at + 1)
          continue
        }
        if (token == "\"") match(tail, /^([^"\\]|\\.)*"/)
        else match(tail, /^([^\047\\]|\\.)*\047/)
        out = out token token
        line = RLENGTH > 0 ? substr(tail, RLENGTH + 1) : ""
      }
      return out
    }

    function check_include(file, where, layer, line,   name, quoted, i, target) {
      quoted = (line ~ /^[ \t]*#[ \t]*include[ \t]*"/)
      name = line
      if (quoted) { sub(/^[^"]*"/, "", name); sub(/".*/, "", name) }
      else { sub(/^[^<]*</, "", name); sub(/>.*/, "", name) }
      for (i = 1; i <= headers; i++) {
        if (!glob_match(name, header[i])) continue
        if (!allowed(file, header_places[i]))
          complain(where ": " name " may be included only in:" \
            (header_places[i] == "" ? " (nowhere)" : header_places[i]))
        if (quoted) return
      }
      target = name; sub(/\/.*/, "", target)
      if (!quoted) {
        if (name ~ /\// && (target in rank)) complain(where ": own headers go in quotes: " name)
        return
      }
      if (!(name in exists)) {
        complain(where ": no such file under src/ (own headers are named from there): " name)
        return
      }
      if (target != layer && !allowed(name, may[layer]))
        complain(where ": " layer " may not include " name " (it may use:" may[layer] ")")
    }

    function check_file(file,   layer, line, code, number, i, where) {
      layer = file; sub(/\/.*/, "", layer)
      if (!(layer in rank)) { complain(file ": " layer " is no layer of the table"); return }
      in_comment = 0; raw_end = ""
      while ((getline line < (src "/" file)) > 0) {
        number++
        where = file ":" number
        if (number == 1 && line != "// SPDX-License-Identifier: GPL-3.0-or-later")
          complain(where ": the first line is not the SPDX line")
        code = strip(line)
        if (code ~ /^[ \t]*#[ \t]*include[ \t]*["<]/) { check_include(file, where, layer, line); continue }
        for (i = 1; i <= uses; i++)
          if (code ~ use[i] && !allowed(file, use_places[i]))
            complain(where ": matches \"" use[i] "\", which is allowed only in:" \
              (use_places[i] == "" ? " (nowhere)" : use_places[i]))
      }
      close(src "/" file)
      if (number == 0) complain(file ": empty")
    }

    BEGIN {
      read_table()
      while ((getline file < files) > 0) { exists[file] = 1; list_of_files[++count] = file }
      for (k = 1; k <= count; k++) check_file(list_of_files[k])
      if (count == 0) complain(src ": no source files")
      exit bad
    }' </dev/null
}

# check_spdx ROOT: C++ files elsewhere have the line first, scripts in one of their first two lines.
check_spdx() {
  local f bad=0
  while IFS= read -r f; do
    case $f in
      *.cc | *.h) head -n 1 "$f" ;;
      *) head -n 2 "$f" ;;
    esac | grep -q '^\(//\|#\) SPDX-License-Identifier: GPL-3\.0-or-later$' ||
      { echo "$f: no SPDX line"; bad=1; }
  done < <(for d in tests bench scripts; do
    [ ! -d "$1/$d" ] || find "$1/$d" -type f \( -name '*.cc' -o -name '*.h' -o -name '*.sh' \
      -o -path '*/scripts/*' \)
  done | sort)
  return $bad
}

# ---- The check can fail ---------------------------------------------------------------------------

spdx='// SPDX-License-Identifier: GPL-3.0-or-later'
cp "$abs_top_srcdir/tests/layers.table" "$T/table"

# good_tree: a small tree in $T/src that breaks nothing.
good_tree() {
  rm -rf "$T/src"
  mkdir -p "$T/src"/{base,crypto,store,volume,device,cli}
  printf '%s\n' "$spdx" >"$T/src/base/bytes.h"
  printf '%s\n' "$spdx" '#include <mutex>' 'std::mutex m;' >"$T/src/base/mutex.h"
  printf '%s\n' "$spdx" '#include <sodium.h>' '#include "base/bytes.h"' >"$T/src/crypto/crypto.h"
  printf '%s\n' "$spdx" >"$T/src/crypto/secret.h"
  printf '%s\n' "$spdx" '#include "crypto/crypto.h"' >"$T/src/store/store.h"
  # Comments, strings and digit separators are no uses.
  cat >"$T/src/volume/volume.h" <<END
$spdx
#include "base/bytes.h"
#include "store/store.h"
// std::mutex and "std::thread x;
/* std::thread a;
   ::open( */ int i = 1'000'000; const char* s = "std::thread \\" ::open(";
const char* r = R"x(std::thread " )x"; char c = '"'; int file = foo::open(1);
const char* q = R"(
std::thread t;
)";
END
  printf '%s\n' "$spdx" '#include "volume/volume.h"' '#include "config.h"' >"$T/src/cli/cli.h"
  printf '%s\n' "$spdx" '#include "cli/cli.h"' >"$T/src/main.cc"
}

# bad FILE MESSAGE LINE...: with LINEs added to FILE, exactly one complaint, of that FILE, matches.
bad() {
  local file=$1 message=$2 out
  shift 2
  good_tree
  if [ ! -e "$T/src/$file" ]; then
    mkdir -p "$(dirname "$T/src/$file")"
    printf '%s\n' "$spdx" >"$T/src/$file"
  fi
  printf '%s\n' "$@" >>"$T/src/$file"
  if out=$(check_layers "$T/src" "$T/table"); then fail "not noticed in $file: $*"; fi
  if [ "$(wc -l <<<"$out")" != 1 ] || [[ $out != "$file"*"$message"* ]]; then
    fail "wrong complaint about $file, $*: $out"
  fi
}

good_tree
check_layers "$T/src" "$T/table" || fail "a good tree is refused"

bad base/bytes.h 'base may not include store/store.h' '#include "store/store.h"'
bad store/store.h 'store may not include volume/volume.h' '#include "volume/volume.h"'
bad store/store.h 'store may not include crypto/secret.h' '#include "crypto/secret.h"'
bad main.cc 'main.cc may not include base/bytes.h' '#include "base/bytes.h"'
bad volume/volume.h 'no such file' '#include "volume.h"'
bad volume/volume.h 'no such file' '  #  include "../base/bytes.h"'
bad volume/volume.h 'in quotes' '#include <base/bytes.h>'
bad extra/x.h 'is no layer' 'int i;'
bad store/store.h 'sodium.h may be included' '#include <sodium.h>'
bad base/bytes.h 'openssl/evp.h may be included' '#include <openssl/evp.h>'
bad store/store.h 'zstd.h may be included' '#include <zstd.h>'
bad store/store.h 'liburing.h may be included' '#include <liburing.h>'
bad device/disk.h 'fuse_lowlevel.h may be included' '#include <fuse_lowlevel.h>'
bad volume/volume.h 'config.h may be included' '#include "config.h"'
bad volume/volume.h 'std::j?thread' 'std::thread t;'
bad volume/volume.h 'mutex' '/* x */ std::mutex m;  // a lock'
bad volume/volume.h 'condition_variable' 'const char* s = "a"; std::condition_variable c;'
bad crypto/crypto.h 'random_device' 'std::random_device d;'
bad crypto/crypto.h 'randombytes' 'void f() { randombytes_buf(p, 32); }'
bad device/disk.h 'clock_gettime' 'int i = clock_gettime(CLOCK_MONOTONIC, &ts);'
bad device/disk.h '_clock::now' 'auto t = std::chrono::steady_clock::now();'
bad volume/volume.h 'open' 'int fd = ::open("x", 0);'
bad volume/volume.h 'fdatasync' '  if (::fdatasync(fd) != 0) return;'
bad volume/volume.h 'filesystem' 'std::filesystem::path p;'

good_tree
sed -i 1d "$T/src/store/store.h"
if check_layers "$T/src" "$T/table" >"$T/out"; then fail "a missing SPDX line was not noticed"; fi
grep -q '^store/store.h:1: the first line is not the SPDX line' "$T/out" || fail "$(cat "$T/out")"

good_tree
sed 's/^layer base *:.*/layer base : volume/' "$T/table" >"$T/upward"
if check_layers "$T/src" "$T/upward" >"$T/out"; then fail "an upward arrow was not noticed"; fi
grep -q 'base may not name volume' "$T/out" || fail "$(cat "$T/out")"
: >"$T/empty"
if check_layers "$T/src" "$T/empty" >/dev/null; then fail "an empty table was taken"; fi

mkdir -p "$T/root/tests/shell"
echo 'echo hello' >"$T/root/tests/shell/x.sh"
if check_spdx "$T/root" >/dev/null; then fail "a script without SPDX line was taken"; fi

# ---- The check itself -----------------------------------------------------------------------------

check_layers "$abs_top_srcdir/src" "$abs_top_srcdir/tests/layers.table" ||
  fail "src/ does not keep to tests/layers.table"
check_spdx "$abs_top_srcdir" || fail "SPDX lines are missing"
