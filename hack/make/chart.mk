# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# A release packages the chart with its own version and the digest of its image;
# in the tree the version stays 0.0.0, so that goldens do not change with it.
CHART_VERSION ?= 0.0.0
IMAGE_DIGEST ?=

##@ Chart

.PHONY: chart
chart: ## Package the chart as dist/extauth-guard-CHART_VERSION.tgz (0.0.0).
	@mkdir -p dist
	go run ./hack/release/chart -version $(CHART_VERSION) -digest "$(IMAGE_DIGEST)" -out dist

.PHONY: module
module: ## Write the community module of Kyma for CHART_VERSION: manifest, default object and ModuleTemplate, in dist.
	go run ./hack/release/module -version $(CHART_VERSION) -digest "$(IMAGE_DIGEST)" -out dist
