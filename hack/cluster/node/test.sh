#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# test.sh [--mesh|--demo] builds the images, starts a node, runs the tests of test/node on
# it, and takes it down again, whatever happens. Further arguments go to go test.
#
#   --mesh  run the suite on a real mesh instead: istiod, Envoys and oauth2-proxy
#   --demo  show what that suite proves
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

node=hack/cluster/node/node.sh
suite=node
tags=node
case ${1:-} in
--mesh)
  suite=mesh tags=mesh
  shift
  ;;
--demo)
  suite=mesh tags=mesh,demo
  shift
  set -- -v -run TestDemo "$@"
  ;;
esac
out=dist/$suite
arch=$(go env GOARCH)

$node check
# There is one node on a machine: a second run waits for the first. The node itself
# does not hold the lock, so that one whose run was killed can be taken down.
exec 9>"${EXTAUTH_NODE_DIR:-/var/tmp/extauth-guard-node}.lock"
flock --nonblock 9 || {
  echo "node: another run of this suite is under way; waiting for it" >&2
  flock 9
}
# One that an earlier run left, because it was killed, is in the way.
$node down
trap '$node down' EXIT
NODE_BIN=$(hack/cluster/control-plane.sh --node)
export EXTAUTH_KUBECTL=$NODE_BIN/kubectl

# image NAME[:TAG] PACKAGE [ARGUMENT...] packs the programs of a package; the tag is
# "test" by default.
image() {
  local name=${1%%:*} tag=test package=$2
  [[ $1 != *:* ]] || tag=${1#*:}
  shift 2
  go run ./hack/release/image -arch "$arch" -version test -commands "$package" -name "localhost/$name:$tag" -out "$out/$name.tar" "$@"
}

# The image under test, with the chart that the bootstrap job is to install.
image extauth-guard ./cmd/... -add test/testdata/charts/oauth2-proxy-standin=/charts/oauth2-proxy
image app ./test/harness/e2e/cmd/app -entrypoint /app
# The real proxy in the place and under the name of its own image.
proxy=$(hack/cluster/oauth2-proxy.sh)
image "oauth2-proxy:$($proxy --version | grep -oE 'v[0-9.]+' | head -n1)" "" -entrypoint /bin/oauth2-proxy -add "$proxy=/bin/oauth2-proxy"
if [ "$suite" = mesh ]; then
  EXTAUTH_ISTIO=$(hack/cluster/istiod.sh)
  export EXTAUTH_ISTIO
  hack/cluster/mesh/images.sh "$out"
else
  image cert-manager ./test/harness/certmanager/cmd/cert-manager -entrypoint /cert-manager
fi

started=$SECONDS
eval "$($node up 9>&-)"
export KUBECONFIG
echo "node: ready in $((SECONDS - started)) s" >&2
$node load "$out"/*.tar
go test -count=1 -timeout 30m -tags "$tags" "$@" ./test/node
