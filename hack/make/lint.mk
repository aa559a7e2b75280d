# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

.PHONY: fmt
fmt: ## Format Go code and order imports.
	$(GOLANGCI_LINT) fmt

.PHONY: lint
lint: ## Run the linters of .golangci.yaml.
	$(GOLANGCI_LINT) run --allow-parallel-runners

.PHONY: lint-fix
lint-fix: ## Let the linters repair what they can.
	$(GOLANGCI_LINT) run --fix
