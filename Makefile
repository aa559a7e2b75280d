# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# One file per concern under hack/make. A target that writes tracked files is
# part of generate, a target that only looks is part of verify; whatever needs
# more than three lines of shell is a script in hack/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# In the order in which make help prints them.
FRAGMENTS := $(addprefix hack/make/,tools.mk generate.mk lint.mk test.mk node.mk chaos.mk bench.mk verify.mk build.mk image.mk chart.mk run.mk)
include $(FRAGMENTS)

##@ General

.PHONY: help
help: ## Print this help.
	@awk -f hack/make/help.awk Makefile $(FRAGMENTS)

.PHONY: clean
clean: ## Remove what building and testing left behind, except the programs of others that were built from source.
	find bin -mindepth 1 -maxdepth 1 ! -name kube ! -name envoy ! -name istio ! -name oauth2-proxy -exec rm -rf {} + 2>/dev/null || true
