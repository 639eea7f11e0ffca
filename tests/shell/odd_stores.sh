# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# Stores that do not do conditional PUT, for s3_stores.sh: OpenStack Swift, which says so, s3rver of npm
# and a bucket of Ceph's that keeps versions, which overwrite in silence. Source it after lib.sh; then
#
#   install_swift, install_s3rver    get what is missing, before tmpdir: the user's HOME is still in force
#   start_swift, start_s3rver, start_versioned_ceph    after tmpdir
#
# Each start makes a bucket, and exports what the program reads of it. All listen on free ports of
# 127.0.0.1, end with the test, and by themselves after half an hour.

s3rver_version=3.7.1
s3rver_home=$abs_top_builddir/soak/s3rver

install_swift() {
  local cmd
  for cmd in swift-proxy-server swift-account-server swift-container-server swift-object-server memcached curl; do
    command -v "$cmd" >/dev/null || "$abs_top_srcdir/scripts/install-deps" swift >&2 ||
      skip "needs Swift (scripts/install-deps swift)"
  done
}

install_s3rver() {
  local cmd
  for cmd in node npm curl; do
    command -v "$cmd" >/dev/null || "$abs_top_srcdir/scripts/install-deps" node >&2 ||
      skip "needs node and npm (scripts/install-deps node)"
  done
  [ ! -e "$s3rver_home/ready" ] || return 0
  rm -rf "$s3rver_home"
  mkdir -p "$s3rver_home"
  echo '{"private": true}' >"$s3rver_home/package.json"
  (cd "$s3rver_home" && npm install --no-audit --no-fund --silent "s3rver@$s3rver_version" >&2) ||
    skip "needs s3rver from npm"
  touch "$s3rver_home/ready"
}

# in_background NAME CMD...: a server, with its output in a log.
in_background() {
  local name=$1
  shift
  timeout --kill-after=10 1800 "$@" >"$T/$name.log" 2>&1 </dev/null &
  track $!
}

free_port() {
  local port
  for _ in $(seq 100); do
    port=$((10000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
  done
  fail "no free port"
}

# answers PORT [PATH]: whatever it says.
answers() { curl -sS --noproxy '*' --max-time 2 -o /dev/null "http://127.0.0.1:$1/${2:-}" 2>/dev/null; }

# use_store PORT ACCESS-KEY SECRET-KEY: makes a bucket there, and exports all that.
use_store() {
  export AWS_ENDPOINT_URL=http://127.0.0.1:$1 AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=$2 AWS_SECRET_ACCESS_KEY=$3
  S3_BUCKET=s3crate
  ask PUT "/$S3_BUCKET" >/dev/null
}

percent() {
  local text=${1//%/%25}
  text=${text//:/%3A} text=${text//\//%2F} text=${text//+/%2B}
  echo "${text//@/%40}"
}

# ask METHOD /PATH[?QUERY] [FILE]: one signed request, with FILE as its body; prints the answer's. The
# parameters of QUERY must be in order. Keys may hold a colon, hence in the URL, and that not in argv.
ask() {
  local body=${3:-/dev/null} keys
  keys=$(percent "$AWS_ACCESS_KEY_ID"):$(percent "$AWS_SECRET_ACCESS_KEY")
  curl -fsS --noproxy '*' --max-time 20 --aws-sigv4 "aws:amz:$AWS_REGION:s3" \
    -H "x-amz-content-sha256: $(sha256sum <"$body" | cut -c1-64)" -H 'Content-Type: application/octet-stream' \
    -X "$1" --data-binary "@$body" -K - <<<"url = \"http://$keys@${AWS_ENDPOINT_URL#http://}$2\"" ||
    fail "$1 $2 is refused"
}

start_swift() {
  local dir=$T/swift port type
  mkdir -p "$dir/disks/d1" "$dir/etc"
  local proxy memcached
  proxy=$(free_port) memcached=$(free_port)
  in_background memcached memcached -l 127.0.0.1 -p "$memcached" -U 0 -m 64 -u nobody
  for type in account container object; do
    port=$(free_port)
    # One replica on one disk; rebalance says that this is not wise.
    (cd "$dir/etc" && swift-ring-builder $type.builder create 6 1 1 &&
      swift-ring-builder $type.builder add --region 1 --zone 1 --ip 127.0.0.1 --port "$port" --device d1 --weight 1 &&
      { swift-ring-builder $type.builder rebalance || true; }) >"$T/ring.log"
    cat >"$dir/etc/$type.conf" <<END
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
workers = 0
user = $(id -un)
swift_dir = $dir/etc
devices = $dir/disks
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
log_level = WARNING
[pipeline:main]
pipeline = $type-server
[app:$type-server]
use = egg:swift#$type
set log_requests = false
END
    in_background $type swift-$type-server "$dir/etc/$type.conf"
    wait_until 30 answers "$port" || fail "Swift's $type server does not start: $(tail -n 3 "$T/$type.log")"
  done
  cat >"$dir/etc/proxy.conf" <<END
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $proxy
workers = 0
user = $(id -un)
swift_dir = $dir/etc
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats s3api tempauth proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$memcached
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
END
  in_background proxy swift-proxy-server "$dir/etc/proxy.conf"
  wait_until 30 answers "$proxy" healthcheck || fail "Swift's proxy does not start: $(tail -n 3 "$T/proxy.log")"
  use_store "$proxy" test:tester testing
}

start_s3rver() {
  local port
  port=$(free_port)
  # It makes the tokens of lists that go on with DES, which OpenSSL has put away.
  in_background s3rver node --openssl-legacy-provider "$s3rver_home/node_modules/s3rver/bin/s3rver.js" \
    -d "$T/s3rver" -a 127.0.0.1 -p "$port" --silent
  wait_until 30 answers "$port" || fail "s3rver does not start: $(tail -n 3 "$T/s3rver.log")"
  use_store "$port" S3RVER S3RVER
}

start_versioned_ceph() {
  . "${BASH_SOURCE[0]%/*}/s3.sh"
  start_s3
  echo '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>' >"$T/versioning.xml"
  ask PUT "/$S3_BUCKET?versioning=" "$T/versioning.xml"
}
