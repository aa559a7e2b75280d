#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Checks of every Go module of the repository that go.mod and go.sum say exactly
# what its code needs, and that what the cache holds is what go.sum promises.
set -euo pipefail

failed=0
while read -r file; do
  dir=$(dirname "$file")
  # A module that needs a newer Go than the rest says which.
  toolchain=$(sed -n 's/^toolchain //p' "$file")
  run=(env ${toolchain:+GOTOOLCHAIN="$toolchain"} go mod)
  if ! (cd "$dir" && "${run[@]}" tidy -diff); then
    echo "$file is not tidy (above): run go mod tidy in $dir and commit the result"
    failed=1
  fi
  (cd "$dir" && "${run[@]}" verify >/dev/null) || failed=1
done < <(git ls-files -- go.mod '*/go.mod')
exit "$failed"
