# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# How long the load runs under each fault; 20s makes about 100,000 admissions.
EACH ?= 20s

# How many writes there are while all replicas are down.
WRITES ?= 20000

##@ Test

.PHONY: chaos
chaos: ## Make things go wrong under load for EACH (20s) apiece, and insist that no answer is wrong; then WRITES (20,000) with no replica at all.
	$(CONTROL_PLANE) go run ./hack/measure/faults -each $(EACH) -writes $(WRITES)
