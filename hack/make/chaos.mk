# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# How long the load runs under each fault; 20s makes about 100,000 admissions.
EACH ?= 20s

##@ Test

.PHONY: chaos
chaos: ## Make things go wrong under load for EACH (20s) apiece, and insist that no answer is wrong.
	$(CONTROL_PLANE) go run ./hack/measure/faults -each $(EACH)
