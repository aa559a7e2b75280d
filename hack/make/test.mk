# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Everything that needs neither root nor a container engine is part of test.
# The race detector needs a C compiler; without one hack/make/race-flag.sh says so and
# the tests run without it.
RACE ?= $$(hack/make/race-flag.sh)
TEST_FLAGS ?=
FUZZTIME ?= 30s
FUZZ_PACKAGES ?= ./pkg/...
# Without what reaches Helm or the terminal: instrumenting that for coverage takes
# longer than all of the fuzzing.
FUZZ_SHORT := $(addprefix ./pkg/,annotation apirule internal/quote istio policy manifest migrate config webhook controllers/audit)

# A real kube-apiserver and etcd, looked up, and built if need be, only when a
# recipe needs them. A plain assignment, so that a failure ends the recipe.
CONTROL_PLANE := KUBEBUILDER_ASSETS=$${KUBEBUILDER_ASSETS:-$$(hack/cluster/control-plane.sh)}; export KUBEBUILDER_ASSETS;

##@ Test

.PHONY: test
test: test-unit test-static test-integration test-helm4 test-alerts ## Run every test that needs neither root nor a container engine.

.PHONY: test-unit
test-unit: ## Run the tests beside the code; they need no control plane and no browser.
	packages=$$(hack/make/test-packages.sh unit); go test $(RACE) $(TEST_FLAGS) $$packages

# Without the cache: what these read is mostly not Go.
.PHONY: test-static
test-static: ## Prove what reading the tree can prove: who imports whom, what the chart renders, what the documents say.
	packages=$$(hack/make/test-packages.sh static); go test -count=1 $(TEST_FLAGS) $$packages

.PHONY: test-integration
test-integration: ## Run the suites against a real kube-apiserver and etcd.
	packages=$$(hack/make/test-packages.sh integration); $(CONTROL_PLANE) go test $(RACE) $(TEST_FLAGS) $$packages

.PHONY: test-helm4
test-helm4: ## Prove that Helm 4 renders the chart as Helm 3 does; a module of its own, because of its dependencies.
	cd test/static/helm4 && go test -count=1 $(TEST_FLAGS) ./...

.PHONY: test-alerts
test-alerts: ## Have Prometheus evaluate each alert where it fires and where it does not; a module of its own, because of its dependencies.
	cd test/static/alerts && go test -count=1 $(TEST_FLAGS) ./...

.PHONY: scale
scale: ## Measure memory, start and admission with 10,000 APIRules and Services against 10; fails over budget.
	$(CONTROL_PLANE) go run ./hack/measure/memory

.PHONY: scale-audit
scale-audit: ## Measure the audit of 10,000 APIRules with 1,000 changes a minute; fails over budget.
	$(CONTROL_PLANE) go run ./hack/measure/audit

.PHONY: fuzz
fuzz: ## Run each fuzz test for FUZZTIME (30s).
	FUZZTIME=$(FUZZTIME) FUZZ_PACKAGES="$(FUZZ_PACKAGES)" hack/make/fuzz.sh

.PHONY: fuzz-short
fuzz-short: ## Run the fuzz tests of what answers admission requests for 3s each; about three minutes on two cores, most of it building.
	FUZZTIME=3s FUZZ_PACKAGES="$(FUZZ_SHORT)" hack/make/fuzz.sh

.PHONY: model
model: ## Compare code and model in more than a million worlds; prints how many. Without the race detector, under which a sample is compared.
	go test -count=1 -v -run '^TestModel' ./pkg/policy

.PHONY: oracle
oracle: ## Compare verdicts with istiod's own code in 5,000 generated worlds (ORACLE_WORLDS, ORACLE_SEED); builds Istio's packages the first time.
	hack/make/oracle.sh

.PHONY: migrations
migrations: ## Migrate 200,000 generated APIRules v1beta1 and send requests to them before and after; prints how many were converted and that none was opened.
	go test -count=1 -v -run '^TestNothingIsOpened' ./pkg/migrate -args -apirules 200000

.PHONY: cover
cover: ## Measure the coverage of pkg/ by the tests beside the code; report in bin/cover.html.
	@mkdir -p bin
	packages=$$(hack/make/test-packages.sh unit); go test -coverpkg=./pkg/... -coverprofile=bin/cover.out $(TEST_FLAGS) $$packages
	go tool cover -html=bin/cover.out -o bin/cover.html
	go tool cover -func=bin/cover.out
