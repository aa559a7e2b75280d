// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// figures are what a process tells about itself.
type figures struct {
	evaluations, seconds float64 // of the audit
	processor            float64 // seconds
	resident             float64 // bytes
}

// read takes the figures from the metrics of the process.
func read(ctx context.Context, process *guard.Process) (figures, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+process.Settings.Metrics.Address+"/metrics", http.NoBody)
	if err != nil {
		return figures{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return figures{}, fmt.Errorf("reading the metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it was read to its end
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return figures{}, fmt.Errorf("reading the metrics: %w", err)
	}
	var found figures
	for line := range strings.Lines(string(raw)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch key {
		case "extauth_guard_audit_evaluations_total":
			found.evaluations = number
		case "extauth_guard_audit_seconds_total":
			found.seconds = number
		case "process_cpu_seconds_total":
			found.processor = number
		case "process_resident_memory_bytes":
			found.resident = number
		}
	}
	return found, nil
}
