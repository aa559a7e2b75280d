#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# oauth2-proxy.sh [VERSION] prints the path of the real oauth2-proxy and nothing
# else on stdout. What it does, and how long that takes, goes to stderr. The first
# of these that works:
#
#   1. EXTAUTH_OAUTH2_PROXY, a program of the version that is asked for
#   2. oauth2-proxy in PATH, if it has that version
#   3. what an earlier run left under bin/oauth2-proxy
#   4. a build by go install: needs Go and a module proxy, once
#
# VERSION is the pinned one unless a test asks for an older proxy.
#
#   EXTAUTH_OAUTH2_PROXY_CACHE  keep 4 in this directory instead of bin/oauth2-proxy
set -euo pipefail

# pkg/oauth2proxy has the same version, for the image that the bootstrap job installs.
pinned=v7.15.6
module=github.com/oauth2-proxy/oauth2-proxy/v7

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { echo "oauth2-proxy: $*" >&2; }

usage() {
  sed -n '/^# oauth2-proxy.sh/,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

# found FILE ends the script with FILE as its answer.
found() {
  echo "$1"
  exit 0
}

# version_of FILE prints the version that a program says it has.
version_of() {
  "$1" --version 2>/dev/null | grep -oE 'v[0-9]+\.[0-9]+\.[0-9]+[^ ]*' | head -n1 || true
}

# installed FILE... prints the first program of the wanted version. A program of
# another version is named: whoever set the variable wants to know.
installed() {
  local file has
  for file in "$@"; do
    [ -n "$file" ] || continue
    has=$(version_of "$file")
    if [ "$has" = "$version" ]; then
      found "$file"
    fi
    say "$file is not oauth2-proxy $version but ${has:-another program}; looking elsewhere"
  done
}

# build installs beside the place the result belongs to and renames, so that what
# has the final name is always complete.
build() {
  local start tmp
  command -v go >/dev/null || {
    say "oauth2-proxy $version is not there and Go is not in PATH to build it; install Go, or set EXTAUTH_OAUTH2_PROXY to a program of this version"
    exit 1
  }
  say "building $version from source: 1 to 2 minutes on two cores, once, then kept in $cache"
  start=$(date +%s)
  tmp=$(mktemp -d "$cache/.build-XXXXXX")
  # shellcheck disable=SC2064 # the directory of now
  trap "rm -rf '$tmp'" EXIT
  (cd "$tmp" && GOBIN=$tmp CGO_ENABLED=0 GOFLAGS="" GOWORK=off go install -trimpath \
    -ldflags "-s -w -X $module/pkg/version.VERSION=$version" "$module@$version" 9>&-) >"$tmp/log" 2>&1 || {
    tail -n 5 "$tmp/log" >&2
    say "$module@$version cannot be built: is it a released version, and is the Go module proxy reachable? Or set EXTAUTH_OAUTH2_PROXY to a program of this version"
    exit 1
  }
  mv "$tmp/oauth2-proxy" "$target"
  say "built in $(($(date +%s) - start)) s"
}

[ $# -le 1 ] || usage
version=${1:-$pinned}
[[ $version =~ ^v7\.[0-9]+\.[0-9]+$ ]] || usage

installed "${EXTAUTH_OAUTH2_PROXY:-}" "$(command -v oauth2-proxy || true)"

cache=${EXTAUTH_OAUTH2_PROXY_CACHE:-$root/bin/oauth2-proxy}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
# Outside of the module, whose Go may be another; without Go the name lacks it.
platform=$(cd / && { go env GOOS GOARCH 2>/dev/null || true; } | paste -sd- -)
target=$cache/oauth2-proxy-$version-$platform

[ ! -x "$target" ] || found "$target"
# From here on one caller works and the others wait for its result.
if command -v flock >/dev/null; then
  exec 9>"$cache/.lock"
  flock -n 9 || { say "another build is under way in $cache; waiting for it" && flock 9; }
  [ ! -x "$target" ] || found "$target"
fi
build
found "$target"
