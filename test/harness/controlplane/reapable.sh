#!/usr/bin/env bash
# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Called through a link in the folder of a control plane, this leaves the process
# id there and becomes the program of the link's name below "programs". It is a
# file of the repository, not written at run time, because a script cannot be run
# while any process that is just being started holds it open for writing.
set -euo pipefail
dir=${0%/*}
name=${0##*/}
echo $$ >"$dir/$name.pid"
exec "$dir/programs/$name" "$@"
