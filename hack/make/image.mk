# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Two ways to the same layout: the Dockerfile where there is a container engine,
# and an OCI archive, packed by a Go program, everywhere.
IMAGE ?= localhost/extauth-guard:dev
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
ENGINE ?= $(shell hack/release/image/engine.sh)

##@ Image

.PHONY: image
image: ## Build IMAGE (localhost/extauth-guard:dev) with the container engine, or without one as dist/image.tar.
	$(MAKE) --no-print-directory $(if $(ENGINE),image-engine,image-archive)

.PHONY: image-engine
image-engine:
	$(ENGINE) build --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --tag $(IMAGE) .

.PHONY: image-archive
image-archive: ## Build the image for amd64 and arm64 as an OCI archive, without a container engine.
	go run ./hack/release/image -out dist/image.tar -name $(IMAGE) -version $(VERSION) -revision "$(REVISION)"
