# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# The version is written into the binaries by the link step and nowhere else.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/extauth-guard/extauth-guard/pkg/version.version=$(VERSION)

##@ Build

.PHONY: build
build: ## Build every command, static, into bin/.
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: man
man: ## Write the manual pages of kubectl-extauth into bin/man.
	go run ./hack/generate/man bin/man

.PHONY: archives
archives: ## Pack kubectl-extauth for every platform, with checksums, in dist/archives.
	hack/release/archives.sh "$(VERSION)" dist/archives
