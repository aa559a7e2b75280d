#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Prints the container engine that answers, or nothing: an engine's client alone
# builds nothing.
set -euo pipefail

for engine in docker podman; do
  if command -v "$engine" >/dev/null && timeout 10 "$engine" info >/dev/null 2>&1; then
    echo "$engine"
    exit 0
  fi
done
