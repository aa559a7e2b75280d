#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Runs every fuzz test of the module, or those of some packages, one after the
# other: the go command fuzzes one at a time. Crashers are written to testdata/fuzz
# beside the test; commit them with the repair. Goes on after a failure, so that
# one does not hide another, and fails at the end.
#
#   FUZZTIME       how long each one runs (30s)
#   FUZZ_PACKAGES  which packages (./pkg/...)
set -euo pipefail

fuzztime=${FUZZTIME:-30s}
read -ra patterns <<<"${FUZZ_PACKAGES:-./pkg/...}"
found=0
failed=()

# run PACKAGE FUZZ fuzzes once. Before Go 1.27 it may count as a failure that the time
# is over while a worker is busy; that one names no input, and is said and forgiven
# (https://go.dev/issue/75804).
run() {
  local output
  output=$(mktemp)
  # What is minimised is not fuzzed, and by default that may take a minute.
  if go test -run='^$' -fuzz="^$2\$" -fuzztime="$fuzztime" -fuzzminimizetime=100x "$1" 2>&1 | tee "$output"; then
    rm "$output"
    return
  fi
  if grep -q 'context deadline exceeded' "$output" && ! grep -q 'Failing input written' "$output"; then
    echo "fuzz.sh: $2 ran out of time while a worker was busy; no input failed" >&2
    rm "$output"
    return
  fi
  rm "$output"
  return 1
}

# Those of a package are found in its sources: listing them by the go command
# would link a test binary for each package, of which most have none.
while read -r package directory; do
  while read -r fuzz; do
    found=$((found + 1))
    echo "== $package $fuzz for $fuzztime"
    run "$package" "$fuzz" || failed+=("$package $fuzz")
  done < <(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(f \*testing\.F).*/\1/p' "$directory"/*_test.go)
done < <(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.Dir}}{{end}}' "${patterns[@]}" | grep .)
if [[ $found == 0 ]]; then
  echo "fuzz.sh: no fuzz test in ${patterns[*]}" >&2
  exit 1
fi
if [[ ${#failed[@]} != 0 ]]; then
  printf 'fuzz.sh: failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "fuzz.sh: $found fuzz tests passed"
