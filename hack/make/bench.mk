# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# BENCH=quick measures less, in under two minutes; BENCH_FLAGS are those of
# hack/measure/admission, for example -http1.
BENCH ?= full
BENCH_FLAGS ?=

##@ Measure

.PHONY: bench
bench: ## Measure what a request costs, on a real API server, against no webhook and webhooks that do nothing; results in bin/bench.
	$(CONTROL_PLANE) go run ./hack/measure/admission $(if $(filter quick,$(BENCH)),-quick) $(BENCH_FLAGS)

.PHONY: bench-docs
bench-docs: ## Write the results in bin/bench into docs/benchmarks.md and its plots.
	for results in bin/bench/results.json $(wildcard $(patsubst %,bin/bench/%/results.json,http1 large)); do go run ./hack/measure/admission -render $$results || exit 1; done

.PHONY: bench-go
bench-go: ## Run the Go benchmarks ten times and summarise them, in bin/bench/go.txt.
	@mkdir -p bin/bench
	go test -run '^$$' -bench . -count 10 ./pkg/webhook ./pkg/facts | tee bin/bench/go.txt
	$(BENCHSTAT) bin/bench/go.txt

.PHONY: bench-gate
bench-gate: ## Fail if a handler costs much more than one that does nothing, both measured now.
	EXTAUTH_BENCH_GATE=1 go test -count=1 -v -run 'TestHandlersCostAboutWhatDoingNothingCosts' ./pkg/webhook
