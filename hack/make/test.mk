# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Everything that needs neither root nor a container engine is part of test.
# The race detector needs a C compiler; without one hack/race-flag.sh says so and
# the tests run without it.
RACE ?= $$(hack/race-flag.sh)
TEST_FLAGS ?=
FUZZTIME ?= 30s
FUZZ_PACKAGES ?= ./pkg/...
# Without what reaches Helm or the terminal: instrumenting that for coverage takes
# longer than all of the fuzzing.
FUZZ_SHORT := $(addprefix ./pkg/,annotation apirule istio policy manifest migrate config webhook audit)

# A real kube-apiserver and etcd, looked up, and built if need be, only when a
# recipe needs them. A plain assignment, so that a failure ends the recipe.
CONTROL_PLANE := KUBEBUILDER_ASSETS=$${KUBEBUILDER_ASSETS:-$$(hack/control-plane.sh)}; export KUBEBUILDER_ASSETS;

##@ Test

.PHONY: test
test: test-unit test-architecture test-integration test-helm4 ## Run every test that needs neither root nor a container engine.

.PHONY: test-unit
test-unit: ## Run the tests beside the code and the renderings of the chart.
	packages=$$(hack/test-packages.sh unit); $(CONTROL_PLANE) go test $(RACE) $(TEST_FLAGS) $$packages

.PHONY: test-architecture
test-architecture: ## Prove who imports whom, and what is spelled where.
	go test -count=1 $(TEST_FLAGS) ./test/architecture

.PHONY: test-integration
test-integration: ## Run the suites against a real kube-apiserver and etcd.
	packages=$$(hack/test-packages.sh integration); $(CONTROL_PLANE) go test $(RACE) $(TEST_FLAGS) $$packages

.PHONY: test-helm4
test-helm4: ## Prove that Helm 4 renders the chart as Helm 3 does; a module of its own, because of its dependencies.
	cd test/helm4 && go test -count=1 $(TEST_FLAGS) ./...

.PHONY: scale
scale: ## Measure memory, start and admission with 10,000 APIRules and Services against 10; fails over budget.
	$(CONTROL_PLANE) go run ./hack/scale

.PHONY: scale-audit
scale-audit: ## Measure the audit of 10,000 APIRules with 1,000 changes a minute; fails over budget.
	$(CONTROL_PLANE) go run ./hack/auditscale

.PHONY: fuzz
fuzz: ## Run each fuzz test for FUZZTIME (30s).
	FUZZTIME=$(FUZZTIME) FUZZ_PACKAGES="$(FUZZ_PACKAGES)" hack/fuzz.sh

.PHONY: fuzz-short
fuzz-short: ## Run the fuzz tests of what answers admission requests for 3s each; about three minutes on two cores, most of it building.
	FUZZTIME=3s FUZZ_PACKAGES="$(FUZZ_SHORT)" hack/fuzz.sh

.PHONY: model
model: ## Compare code and model in more than a million worlds; prints how many. Without the race detector, under which a sample is compared.
	go test -count=1 -v -run '^TestModel' ./pkg/policy

.PHONY: cover
cover: ## Measure the coverage of pkg/ by the tests beside the code; report in bin/cover.html.
	@mkdir -p bin
	packages=$$(hack/test-packages.sh unit); go test -coverpkg=./pkg/... -coverprofile=bin/cover.out $(TEST_FLAGS) $$packages
	go tool cover -html=bin/cover.out -o bin/cover.html
	go tool cover -func=bin/cover.out
