// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Change is a host whose verdict is another one than in an earlier report.
type Change struct {
	Host      string `json:"host"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Before is "" for a host that is new, and After for one that is gone.
	Before policy.Verdict `json:"before,omitempty"`
	After  policy.Verdict `json:"after,omitempty"`
}

// Worse is true if the verdict got worse, and for a new host that is not protected.
func (c Change) Worse() bool {
	switch {
	case c.After == "":
		return false
	case c.Before == "":
		return c.After != policy.Protected
	}
	return c.After.Compare(c.Before) < 0
}

// Read reads a report that was written as JSON.
func Read(from io.Reader) (Report, error) {
	var earlier Report
	if err := json.NewDecoder(from).Decode(&earlier); err != nil {
		return Report{}, fmt.Errorf("decoding the report: %w", err)
	}
	if earlier.Generated.IsZero() {
		return Report{}, errors.New(`this is no report: write one with "kubectl extauth report -o json"`)
	}
	return earlier, nil
}

// Since returns the report with what changed since an earlier one: first what is there
// now, in the order of the hosts, then what is gone.
func (r Report) Since(earlier Report) Report {
	before := make(map[string]policy.Verdict, len(earlier.Hosts))
	for _, host := range earlier.Hosts {
		before[host.key()] = host.Verdict
	}
	r.Changes = []Change{}
	now := make(map[string]bool, len(r.Hosts))
	for _, host := range r.Hosts {
		now[host.key()] = true
		if was := before[host.key()]; was != host.Verdict {
			r.Changes = append(r.Changes, change(host, was, host.Verdict))
		}
	}
	for _, host := range earlier.Hosts {
		if !now[host.key()] {
			r.Changes = append(r.Changes, change(host, host.Verdict, ""))
		}
	}
	return r
}

func change(host Host, before, after policy.Verdict) Change {
	return Change{Host: host.Host, Kind: host.Kind, Namespace: host.Namespace, Name: host.Name, Before: before, After: after}
}
