#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds the images, starts a node, runs the tests of test/node on it, and takes it
# down again, whatever happens. Further arguments go to go test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

node=hack/node/node.sh
out=dist/node
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
NODE_BIN=$(hack/control-plane.sh --node)
export EXTAUTH_KUBECTL=$NODE_BIN/kubectl

# The image under test, with the chart that the bootstrap job is to install.
go run ./hack/image -arch "$arch" -version test -name localhost/extauth-guard:test \
  -add test/testdata/charts/oauth2-proxy-standin=/charts/oauth2-proxy -out $out/extauth-guard.tar
go run ./hack/image -arch "$arch" -commands ./test/fakeoauth2proxy/cmd/fake-oauth2-proxy -entrypoint /fake-oauth2-proxy \
  -name localhost/fake-oauth2-proxy:test -out $out/fake-oauth2-proxy.tar

go run ./hack/image -arch "$arch" -commands ./test/certmanager/cmd/cert-manager -entrypoint /cert-manager \
  -name localhost/cert-manager:test -out $out/cert-manager.tar
go run ./hack/image -arch "$arch" -commands ./test/e2e/cmd/app -entrypoint /app -name localhost/app:test -out $out/app.tar

started=$SECONDS
eval "$($node up 9>&-)"
export KUBECONFIG
echo "node: ready in $((SECONDS - started)) s" >&2
$node load $out/*.tar
go test -count=1 -timeout 20m -tags node "$@" ./test/node
