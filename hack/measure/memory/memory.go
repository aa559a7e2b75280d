// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memory is what a process has of the machine's memory, in bytes.
type memory struct {
	resident, peak int64
}

// memoryOf reads VmRSS and VmHWM of a process (proc(5)).
func memoryOf(pid int) (memory, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, fmt.Errorf("reading the memory of the webhook process: %w", err)
	}
	var found memory
	for line := range strings.Lines(string(raw)) {
		key, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			continue
		}
		switch key {
		case "VmRSS":
			found.resident = kib << 10
		case "VmHWM":
			found.peak = kib << 10
		}
	}
	return found, nil
}
