#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Prints the packages of one level of tests, and fails if there are none: a test
# run that tests nothing must not look like success.
#
#   test-packages.sh unit|integration
set -euo pipefail

level=${1:?usage: test-packages.sh unit|integration}
separate='/test/(architecture|e2e|integration|node)(/|$)'
case $level in
unit) packages=$(go list ./... | grep -Ev "$separate" || true) ;;
integration) packages=$(go list ./... | grep -E '/test/integration(/|$)' || true) ;;
*)
  echo "test-packages.sh: unknown level \"$level\": it is unit or integration" >&2
  exit 2
  ;;
esac
if [[ -z $packages ]]; then
  echo "test-packages.sh: there are no $level packages" >&2
  exit 1
fi
echo "$packages"
