# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

##@ Node

.PHONY: test-node
test-node: ## Install on a real single-node Kubernetes and break things; needs root and cgroups v1.
	hack/node/test.sh $(TEST_FLAGS)
