# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# A new generated thing is a target of its own, named generate-<what>, added to
# GENERATE below. It must write the same bytes whenever it runs: make verify
# fails when it changes a tracked file.
GENERATE := generate-metrics

# Deep copies and the CRD of our own kind.
ifneq ($(wildcard pkg/apis),)
GENERATE += generate-apis
endif

.PHONY: generate-apis
generate-apis:
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt crd:allowDangerousTypes=false \
		paths=./pkg/apis/... output:crd:artifacts:config=config/crd

# The reference of the metrics, from their definitions.
.PHONY: generate-metrics
generate-metrics:
	go run ./hack/metricsdoc > docs/reference/metrics.md

# What the code knows about its own deployment, and then what follows from the
# chart: its schema, its README, its goldens, and the bases for kustomize.
GENERATE += generate-manifests generate-chart

.PHONY: generate-manifests
generate-manifests:
	go run ./hack/manifests

.PHONY: generate-chart
generate-chart: generate-manifests
	go run ./hack/chart
	go test ./test/chart -run TestGoldens -update

##@ Development

.PHONY: generate
generate: $(GENERATE) ## Write everything that is generated: code, manifests, goldens, references.
	@echo "generate: $(or $(strip $(GENERATE)),nothing is generated yet)"
