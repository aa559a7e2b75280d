#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Runs every fuzz test of the module, one after the other: the go command fuzzes
# one at a time. Crashers are written to testdata/fuzz beside the test; commit
# them with the repair.
set -euo pipefail

fuzztime=${FUZZTIME:-30s}
found=0
while read -r package; do
  while read -r fuzz; do
    found=1
    echo "== $package $fuzz for $fuzztime"
    go test -run='^$' -fuzz="^$fuzz\$" -fuzztime="$fuzztime" "$package"
  done < <(go test -list='^Fuzz' "$package" | grep '^Fuzz' || true)
done < <(go list ./pkg/...)
if [[ $found == 0 ]]; then
  echo "fuzz.sh: no fuzz test below pkg/" >&2
  exit 1
fi
