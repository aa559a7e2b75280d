#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# istiod.sh prints the directory with istiod (pilot-discovery), the agent of
# gateways and sidecars (pilot-agent), Istio's charts (charts) and the template of
# Envoy's bootstrap (envoy_bootstrap.json), and nothing else on stdout. What it
# does, and how long that takes, goes to stderr. The first of these that works:
#
#   1. EXTAUTH_ISTIO, a directory with all of that
#   2. what an earlier run left under bin/istio
#   3. pilot-discovery and pilot-agent in PATH, if they have the pinned version, with
#      the charts of the module: needs Go and a module proxy, once
#   4. a build of hack/cluster/istio from source: needs the same
#
#   EXTAUTH_ISTIO_CACHE  keep 3 and 4 in this directory instead of bin/istio
#
# Where none of them works it says why and ends with exit code 69; a build that
# fails ends it with 1.
set -euo pipefail

programs="pilot-discovery pilot-agent"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
module=$root/hack/cluster/istio

say() { echo "istiod: $*" >&2; }

# cannot says what this machine lacks, and ends with a code of its own
# (EX_UNAVAILABLE), so that callers can leave out what needs Istio.
cannot() {
  say "$*; set EXTAUTH_ISTIO to a directory with $programs, charts and envoy_bootstrap.json"
  exit 69
}

# missing DIR prints what DIR does not have.
missing() {
  local each
  for each in $programs; do [ -x "$1/$each" ] || echo "$each"; done
  for each in charts/istio-control/istio-discovery/Chart.yaml envoy_bootstrap.json; do [ -f "$1/$each" ] || echo "$each"; done
}

# found DIR ends the script with DIR as its answer.
found() {
  echo "$1"
  exit 0
}

# Istio needs a newer Go than the rest: its go.mod says which, and the go command
# fetches that by itself.
go_istio() {
  (cd "$module" && GOTOOLCHAIN=$toolchain GOFLAGS="" GOWORK=off CGO_ENABLED=0 go "$@" 9>&-)
}

# has PROGRAM says whether a program has the pinned version.
has() { "$1" version --short 2>/dev/null | grep -qF "$version"; }

# in_path prints where each program is, if all of PATH have the pinned version.
in_path() {
  local each file
  for each in $programs; do
    file=$(command -v "$each") || return 1
    has "$file" || return 1
    echo "$file"
  done
}

# build makes the result beside the place where it belongs and renames, so that what
# has the final name is always complete.
build() {
  local start tmp source files
  command -v go >/dev/null || cannot "Go is not in PATH to build it"
  start=$(date +%s)
  tmp=$(mktemp -d "$cache/.build-XXXXXX")
  # shellcheck disable=SC2064 # the directory of now
  trap "rm -rf '$tmp'" EXIT
  source=$(go_istio mod download -json "istio.io/istio@$version" 2>"$tmp/log" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p') || true
  if [ -z "$source" ]; then
    tail -n 5 "$tmp/log" >&2
    cannot "istio.io/istio@$version cannot be had from the module proxy"
  fi
  mkdir "$tmp/out"
  if files=$(in_path); then
    say "taking the programs in PATH"
    # shellcheck disable=SC2086 # a list
    ln -s $files "$tmp/out/"
  else
    say "building $programs $version from source: about 10 minutes on two cores, once, then kept in $target"
    go_istio build -trimpath -buildvcs=false -ldflags "-s -w -X istio.io/istio/pkg/version.buildVersion=$version" -o "$tmp/out/" \
      istio.io/istio/pilot/cmd/pilot-discovery istio.io/istio/pilot/cmd/pilot-agent >&2
  fi
  cp -r "$source/manifests/charts" "$source/tools/packaging/common/envoy_bootstrap.json" "$tmp/out/"
  chmod -R u+w,a+rX "$tmp/out"
  if [ -n "$(missing "$target")" ]; then
    rm -rf "$target"
    mv "$tmp/out" "$target"
  fi
  say "ready after $(($(date +%s) - start)) s"
}

[ $# = 0 ] || {
  sed -n '/^# istiod.sh/,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

version=$(sed -n "s|^[[:space:]]*istio\.io/istio \(v[^ ]*\).*|\1|p" "$module/go.mod")
toolchain=$(sed -n 's/^toolchain //p' "$module/go.mod")

if [ -n "${EXTAUTH_ISTIO:-}" ]; then
  lacks=$(missing "$EXTAUTH_ISTIO" | paste -sd' ' -)
  [ -n "$lacks" ] || found "$(cd "$EXTAUTH_ISTIO" && pwd)"
  say "EXTAUTH_ISTIO=$EXTAUTH_ISTIO lacks $lacks; looking elsewhere"
fi

cache=${EXTAUTH_ISTIO_CACHE:-$root/bin/istio}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
# Other modules or another platform are another build.
target=$cache/$(cat "$module/go.mod" "$module/go.sum" <(uname -sm) | git hash-object --stdin | cut -c1-12)

[ -n "$(missing "$target")" ] || found "$target"
# From here on one caller works and the others wait for its result.
if command -v flock >/dev/null; then
  exec 9>"$cache/.lock"
  flock -n 9 || { say "another build is under way in $cache; waiting for it" && flock 9; }
  [ -n "$(missing "$target")" ] || found "$target"
fi
build
found "$target"
