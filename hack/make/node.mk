# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

##@ Node

.PHONY: test-node
test-node: ## Install on a real single-node Kubernetes and break things; needs root and cgroups v1.
	hack/cluster/node/test.sh $(TEST_FLAGS)

.PHONY: test-envoy
test-envoy: ## Compare what pkg/extauthz says with what a real Envoy does; needs pip the first time.
	envoy=$$(hack/cluster/envoy.sh) && EXTAUTH_ENVOY=$$envoy go test -count=1 -tags mesh -v $(TEST_FLAGS) ./test/envoy

.PHONY: test-mesh
test-mesh: ## Send requests through Envoy and istiod on the same node: 401 without a token, 200 with one; needs root and cgroups v1.
	hack/cluster/node/test.sh --mesh $(TEST_FLAGS)

.PHONY: demo-mesh
demo-mesh: ## Show the same, told for a person at a terminal.
	hack/cluster/node/test.sh --demo

##@ End to end

.PHONY: test-e2e
test-e2e: ## Make a kind cluster with Kyma's modules and oauth2-proxy, and send requests to its gateway; needs a container engine and the internet.
	hack/cluster/e2e/e2e.sh $(TEST_FLAGS)

.PHONY: test-e2e-here
test-e2e-here: ## Run the same suite against the cluster of KUBECONFIG, which has extauth-guard; prints what it skips.
	go test -count=1 -timeout 30m -tags e2e -v $(TEST_FLAGS) ./test/e2e
