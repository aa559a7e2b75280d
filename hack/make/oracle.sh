#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Compares what this project says of generated clusters with what istiod's own code
# makes of them: builds the program in test/oracle/istiod, once for each version of
# it, and runs test/oracle. Where the program cannot be had, it says why and that
# nothing was compared.
#
#   ORACLE_WORLDS  how many worlds; default 5000
#   ORACLE_SEED    the seed of the first one; default 1
#   ORACLE_RUN     only the tests that this regular expression matches; default all
#   EXTAUTH_ORACLE_CACHE  keep the program in this directory instead of bin/oracle
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

module=test/oracle/istiod
cache=${EXTAUTH_ORACLE_CACHE:-bin/oracle}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
program=$cache/istiod-$(cat "$module"/go.mod "$module"/go.sum "$module"/*.go <(uname -sm) | git hash-object --stdin | cut -c1-12)
toolchain=$(sed -n 's/^toolchain //p' "$module/go.mod")

# It needs a newer Go than the rest: its go.mod says which, and the go command fetches
# that by itself.
go_oracle() { (cd "$module" && GOTOOLCHAIN=$toolchain GOFLAGS="" GOWORK=off CGO_ENABLED=0 go "$@"); }

if [[ ! -x $program ]]; then
  if ! reason=$(go_oracle mod download istio.io/istio 2>&1); then
    echo "oracle: skipped, nothing was compared: Istio's module or $toolchain cannot be had: $(tail -n 1 <<<"$reason")"
    exit 0
  fi
  echo "oracle: building the program from Istio's source: some minutes on two cores, once, then kept in $cache"
  go_oracle build -trimpath -buildvcs=false -ldflags "-s -w" -o "$program.new" .
  mv "$program.new" "$program"
fi
EXTAUTH_ORACLE=$program go test -count=1 -timeout 30m -v ${ORACLE_RUN:+-run $ORACLE_RUN} ./test/oracle -args -worlds "${ORACLE_WORLDS:-5000}" -seed "${ORACLE_SEED:-1}"
