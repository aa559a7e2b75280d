// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation

import "encoding/json"

// Provenance is one record of the [Injected] annotation: which rule was
// injected, with what, and what asked for it. It is for people and reports.
type Provenance struct {
	// Rule is the index of the rule in spec.rules.
	Rule int `json:"rule"`
	// Authorizers are the names that were injected.
	Authorizers []string `json:"authorizers"`
	// From names what asked: "APIRule", "Service ns/name", "Namespace" or
	// "ExtAuthPolicy name".
	From string `json:"from"`
}

// FormatProvenance renders records as the value of [Injected]. The same records
// always give the same bytes.
func FormatProvenance(records []Provenance) string {
	raw, err := json.Marshal(records)
	if err != nil { // cannot happen: integers and strings always marshal
		return "[]"
	}
	return string(raw)
}

// ParseProvenance reads the value of [Injected]. Anybody may have written it:
// what is not a list of records yields nil and is never an error, and so does what
// is longer than all annotations of an object may be.
func ParseProvenance(value string) []Provenance {
	const longest = 256 << 10 // k8s.io/apimachinery, api/validation, TotalAnnotationSizeLimitB
	var records []Provenance
	if value == "" || len(value) > longest || json.Unmarshal([]byte(value), &records) != nil {
		return nil
	}
	return records
}
