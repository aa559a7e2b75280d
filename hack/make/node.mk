# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

##@ Node

.PHONY: test-node
test-node: ## Install on a real single-node Kubernetes and break things; needs root and cgroups v1.
	hack/node/test.sh $(TEST_FLAGS)

##@ End to end

.PHONY: test-e2e
test-e2e: ## Make a kind cluster with Kyma's modules and oauth2-proxy, and send requests to its gateway; needs a container engine and the internet.
	hack/e2e/e2e.sh $(TEST_FLAGS)

.PHONY: test-e2e-here
test-e2e-here: ## Run the same suite against the cluster of KUBECONFIG, which has extauth-guard; prints what it skips.
	go test -count=1 -timeout 30m -tags e2e -v $(TEST_FLAGS) ./test/e2e
