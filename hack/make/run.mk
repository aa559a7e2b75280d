# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

##@ Run

.PHONY: demo
demo: ## Show on a real API server what is injected and what is refused, then clean up.
	$(CONTROL_PLANE) go run ./hack/demo

.PHONY: run
run: ## Start the same and stay up, for kubectl from another terminal, until Ctrl-C.
	$(CONTROL_PLANE) go run ./hack/demo -stay

.PHONY: install-dev
install-dev: ## Build the image, load it into the kind or k3d cluster that kubectl talks to, install the chart there, and wait.
	IMAGE=$(IMAGE) hack/cluster/install-dev.sh
