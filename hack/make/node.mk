# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

##@ Node

.PHONY: test-node
test-node: ## Install on a real single-node Kubernetes and break things; needs root and cgroups v1.
	hack/node/test.sh $(TEST_FLAGS)

##@ End to end

.PHONY: test-e2e
test-e2e: ## Run the end-to-end suite against the cluster of KUBECONFIG, which has extauth-guard; prints what it skips.
	go test -count=1 -timeout 30m -tags e2e -v $(TEST_FLAGS) ./test/e2e
