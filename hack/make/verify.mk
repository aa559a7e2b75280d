# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Three phases, in this order: generate everything again; look, without writing;
# insist that nothing changed and nothing is untracked.
#
# Where does a new step go? If it writes tracked files, it is a generate-<what> in
# hack/make/generate.mk. If it only looks, it is a verify-<what> here, listed in
# VERIFY; such steps must not depend on each other.
VERIFY := lint verify-modules verify-scripts verify-workflows verify-vulnerabilities verify-licenses

##@ Verify

.PHONY: verify
verify: ## Generate again, run all read-only checks, and insist on a clean tree.
	@$(MAKE) --no-print-directory generate
	@$(MAKE) --no-print-directory --keep-going $(VERIFY)
	@$(MAKE) --no-print-directory verify-tree

.PHONY: verify-modules
verify-modules: ## Check that go.mod and go.sum say exactly what the code needs.
	hack/make/verify-modules.sh

.PHONY: verify-scripts
verify-scripts: ## Check the shell scripts.
	hack/make/verify-scripts.sh

.PHONY: verify-workflows
verify-workflows: ## Check the GitHub workflows.
	$(ACTIONLINT)

.PHONY: verify-vulnerabilities
verify-vulnerabilities: ## Look for known vulnerabilities; GOVULNDB names the database, GOVULNCHECK_REQUIRED=true insists on it.
	hack/make/govulncheck.sh $(GOVULNCHECK)

.PHONY: verify-licenses
verify-licenses: ## Insist that every module which is compiled into what ships has a licence that we can keep.
	cd hack/release/licenses && go test . && go run . $(CURDIR)

.PHONY: verify-tree
verify-tree: ## Insist that no tracked file differs and no file is untracked.
	hack/make/verify-tree.sh
