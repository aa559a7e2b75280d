#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# control-plane.sh [--node] prints the directory with etcd, kube-apiserver and
# kubectl (with --node also kubelet, kube-proxy, kube-scheduler and
# kube-controller-manager) and nothing else on stdout. What it does, and how long
# that takes, goes to stderr. The first of these that works:
#
#   1. KUBEBUILDER_ASSETS, if it has every program asked for
#   2. what an earlier run left under bin/kube
#   3. setup-envtest, which downloads a release; not with --node, which it lacks
#   4. a build of hack/cluster/kube from source: needs Go and a module proxy, once
#
#   EXTAUTH_KUBE_CACHE          keep 2, 3 and 4 in this directory instead of bin/kube
#   EXTAUTH_SKIP_SETUP_ENVTEST  1: leave 3 out
set -euo pipefail

version=1.37.2
setup_envtest=sigs.k8s.io/controller-runtime/tools/setup-envtest@v0.25.1
setup_envtest_limit=20 # seconds; a download that is not reachable must not hold up a build

control_plane="etcd kube-apiserver kubectl"
node="kube-controller-manager kube-proxy kube-scheduler kubelet"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { echo "control-plane: $*" >&2; }

# missing DIR prints the wanted programs that DIR does not have.
missing() {
  local p
  for p in $programs; do [ -x "$1/$p" ] || echo "$p"; done
}

# found DIR ends the script with DIR as its answer.
found() {
  echo "$1"
  exit 0
}

usage() {
  sed -n '/^# control-plane.sh/,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

# key names what would be built: another source or platform is another build.
key() {
  (cd "$root/hack/cluster/kube" && { go env GOOS GOARCH; cat ./*.go go.mod go.sum; } | git hash-object --stdin | cut -c1-12)
}

# try_cache ends the script if an earlier run left what is wanted. The build for
# a node is a control plane as well.
try_cache() {
  local d
  for d in "$build-node" "$build" "$cache/$version-envtest"; do
    [ -n "$(missing "$d")" ] || found "$d"
  done
}

# bounded SECONDS COMMAND... runs COMMAND, and ends all of it after SECONDS.
bounded() {
  local limit=$1
  shift
  if command -v timeout >/dev/null; then
    timeout "$limit" "$@"
  else
    "$@"
  fi
}

try_setup_envtest() {
  local dir log=$cache/.setup-envtest.log
  say "asking setup-envtest for Kubernetes ${version%.*} (at most $setup_envtest_limit s)"
  if dir=$(bounded "$setup_envtest_limit" go run "$setup_envtest" use "${version%.*}.x" -p path 2>"$log") && [ -z "$(missing "$dir")" ]; then
    rm -f "$log"
    ln -sfn "$dir" "$cache/$version-envtest"
    found "$dir"
  fi
  say "setup-envtest has nothing for us ($(grep -v '^go: downloading' "$log" | head -n1 || true)); building from source instead"
  rm -f "$log"
}

# build_from_source builds beside the place the result belongs to and renames, so
# that what has the final name is always complete.
build_from_source() {
  local tmp start p ldflags
  say "building $programs $version from source: $takes on two cores, once, then kept in $target"
  start=$(date +%s)
  tmp=$(mktemp -d "$cache/.build-XXXXXX")
  # shellcheck disable=SC2064 # the directory of now
  trap "rm -rf '$tmp'" EXIT
  p=k8s.io/component-base/version
  ldflags="-s -w -X $p.gitVersion=v$version -X $p.gitMajor=${version%%.*} -X $p.gitMinor=$(cut -d. -f2 <<<"$version")"
  (cd "$root/hack/cluster/kube" && CGO_ENABLED=0 GOFLAGS="" GOWORK=off go build -trimpath -buildvcs=false -tags "$tags" -ldflags "$ldflags" -o "$tmp/kube" . 9>&-) >&2
  for p in $programs; do ln -s kube "$tmp/$p"; done
  chmod 755 "$tmp"
  # Without flock a second caller may have been faster: then its result is as good.
  if [ -n "$(missing "$target")" ]; then
    rm -rf "$target"
    mv "$tmp" "$target"
  fi
  say "built in $(($(date +%s) - start)) s"
}

programs=$control_plane tags="" takes="about 5 minutes"
case "${1:-}" in
"") ;;
--node) programs="$control_plane $node" tags=node takes="8 to 14 minutes" ;;
*) usage ;;
esac

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  lacks=$(missing "$KUBEBUILDER_ASSETS" | paste -sd' ' -)
  [ -n "$lacks" ] || found "$KUBEBUILDER_ASSETS"
  say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS lacks $lacks; looking elsewhere"
fi

cache=${EXTAUTH_KUBE_CACHE:-$root/bin/kube}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
build=$cache/$version-$(key)
target=$build${tags:+-$tags}

try_cache
# From here on one caller works and the others wait for its result.
if command -v flock >/dev/null; then
  exec 9>"$cache/.lock"
  flock -n 9 || { say "another build is under way in $cache; waiting for it" && flock 9; }
  try_cache
fi
[ -n "$tags" ] || [ "${EXTAUTH_SKIP_SETUP_ENVTEST:-}" = 1 ] || try_setup_envtest
build_from_source
found "$target"
