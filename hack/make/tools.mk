# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Tools are pinned in hack/tools/go.mod, built from source by the go command and
# kept in its cache: nothing is installed, nothing is fetched by a script.
TOOL := go tool -modfile=hack/tools/go.mod

GOLANGCI_LINT := $(TOOL) golangci-lint
CONTROLLER_GEN := $(TOOL) controller-gen
GOVULNCHECK := $(TOOL) govulncheck
BENCHSTAT := $(TOOL) benchstat

# Does not compile with the YAML parser that golangci-lint needs, so it has a
# module of its own, as every such tool gets.
ACTIONLINT := go tool -modfile=hack/tools/actionlint/go.mod actionlint
