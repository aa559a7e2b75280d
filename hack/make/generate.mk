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
	go run ./hack/generate/metrics > docs/reference/metrics.md

# What follows from the values of the chart: its schema and its README; then what
# the code knows about its own deployment, and the bases for kustomize, which are
# rendered from the chart; and then the goldens.
GENERATE += generate-values generate-guarantee generate-manifests generate-goldens

# The admission policies with which the API server itself keeps what the webhooks
# promise, from the code that decides.
.PHONY: generate-guarantee
generate-guarantee:
	go run ./hack/generate/guarantee

.PHONY: generate-values
generate-values:
	go run ./hack/generate/chart

.PHONY: generate-manifests
generate-manifests: generate-apis generate-values generate-guarantee
	go run ./hack/generate/manifests

.PHONY: generate-goldens
generate-goldens: generate-manifests
	go test ./test/static/chart -run TestGoldens -update

##@ Development

.PHONY: generate
generate: $(GENERATE) ## Write everything that is generated: code, manifests, goldens, references.
	@echo "generate: $(or $(strip $(GENERATE)),nothing is generated yet)"
