#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Checks the shell scripts of the repository: that they parse, that they stop at
# the first failure, that they can be run, and what shellcheck says if it is here.
set -euo pipefail

mapfile -t scripts < <(git ls-files -- '*.sh' .ci/run)
failed=0
for script in "${scripts[@]}"; do
  bash -n "$script" || failed=1
  if ! grep -q '^set -euo pipefail$' "$script"; then
    echo "$script: add set -euo pipefail"
    failed=1
  fi
  if [[ ! -x $script ]]; then
    echo "$script: make it executable (git update-index --chmod=+x)"
    failed=1
  fi
done
if command -v shellcheck >/dev/null; then
  shellcheck "${scripts[@]}" || failed=1
else
  echo "shellcheck is not installed: ${#scripts[@]} scripts were only parsed (on Debian: apt-get install shellcheck)"
fi
exit "$failed"
