#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Fails if a tracked file differs from the commit or a file is untracked: what is
# generated was not committed, or a check wrote something.
set -euo pipefail

if ! git rev-parse --is-inside-work-tree >/dev/null; then
  echo "verify-tree: this is no usable git work tree, so nothing can be said about it" >&2
  exit 1
fi
if ! git diff --exit-code HEAD; then
  echo "verify-tree: tracked files differ from the commit (above): commit what make generate wrote" >&2
  exit 1
fi
untracked=$(git ls-files --others --exclude-standard)
if [[ -n $untracked ]]; then
  printf 'verify-tree: untracked files, add or ignore them:\n%s\n' "$untracked" >&2
  exit 1
fi
