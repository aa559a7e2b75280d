#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Prints the packages of one level of tests, and fails if there are none: a test
# run that tests nothing must not look like success.
#
#   unit         beside the code: no control plane, no browser
#   static       what can be proved of the tree by reading and rendering it
#   integration  against a real kube-apiserver and etcd
set -euo pipefail

usage="usage: test-packages.sh unit|static|integration"
level=${1:?$usage}
case $level in
unit) patterns=(./pkg/... ./cmd/... ./hack/...) ;;
static) patterns=(./test/static/...) ;;
integration) patterns=(./test/integration/... ./test/harness/...) ;;
*)
  echo "test-packages.sh: unknown level \"$level\"; $usage" >&2
  exit 2
  ;;
esac
packages=$(go list "${patterns[@]}")
if [[ -z $packages ]]; then
  echo "test-packages.sh: there are no $level packages" >&2
  exit 1
fi
echo "$packages"
