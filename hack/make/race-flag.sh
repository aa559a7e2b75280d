#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Prints -race where the race detector works. It needs cgo, and that a C compiler.
set -euo pipefail

cc=$(go env CC)
if [[ $(go env CGO_ENABLED) == 1 ]] && command -v "${cc%% *}" >/dev/null; then
  echo -race
else
  echo "tests run without the race detector: no C compiler (on Debian: apt-get install gcc libc6-dev)" >&2
fi
