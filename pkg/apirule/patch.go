// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package apirule

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// Edit is one change in domain terms: a rule gets authorizers.
type Edit struct {
	// Rule is the index of the rule in spec.rules.
	Rule int
	// Replaces is the strategy that the rule has now: Open gets extAuth,
	// ExtAuth without authorizers gets its list filled, NoAuth loses noAuth,
	// and JWT becomes extAuth with the jwt as restrictions, verbatim.
	Replaces Strategy
	// Authorizers are the names to set, in this order; never empty.
	Authorizers []string
}

// Edits is everything that changes on one APIRule. The zero value changes
// nothing.
type Edits struct {
	Rules []Edit
	// Provenance is the new value of the annotation [annotation.Injected]; nil
	// leaves the annotation as it is, and "" removes it.
	Provenance *string
}

// Empty is true if nothing changes.
func (e Edits) Empty() bool {
	return len(e.Rules) == 0 && e.Provenance == nil
}

// Operation is one operation of a JSON Patch (RFC 6902, section 4).
type Operation struct {
	Op    string `json:"op"`
	From  string `json:"from,omitempty"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// JSONPatch renders edits of the APIRule that view was read from as RFC 6902
// operations. Every operation names exactly the path it means; nothing is
// derived from a diff of two documents, and nothing is tested, because a failed
// test would refuse the request. No edits give no operations.
func JSONPatch(view View, edits Edits) []Operation {
	var operations []Operation
	if len(edits.Rules) > 0 {
		operations = make([]Operation, 0, 2*len(edits.Rules)+1) // at most two for a rule
	}
	for _, edit := range edits.Rules {
		operations = edit.appendTo(operations)
	}
	return append(operations, annotationOperations(view, edits.Provenance)...)
}

func (e Edit) appendTo(operations []Operation) []Operation {
	rule := "/spec/rules/" + strconv.Itoa(e.Rule)
	add := Operation{Op: "add", Path: rule + "/extAuth", Value: map[string]any{"authorizers": e.Authorizers}}
	switch e.Replaces {
	case ExtAuth:
		return append(operations, Operation{Op: "add", Path: rule + "/extAuth/authorizers", Value: e.Authorizers})
	case NoAuth:
		return append(operations, Operation{Op: "remove", Path: rule + "/noAuth"}, add)
	case JWT: // a move keeps the jwt verbatim by construction
		return append(operations, add, Operation{Op: "move", From: rule + "/jwt", Path: rule + "/extAuth/restrictions"})
	case Open, Malformed:
	}
	return append(operations, add)
}

func annotationOperations(view View, provenance *string) []Operation {
	const metadata, annotations = "/metadata", "/metadata/annotations"
	if provenance == nil {
		return nil
	}
	path := annotations + "/" + escape(annotation.Injected)
	_, present := view.Annotations[annotation.Injected]
	switch {
	case *provenance == "" && present:
		return []Operation{{Op: "remove", Path: path}}
	case *provenance == "":
		return nil
	}
	first := map[string]string{annotation.Injected: *provenance}
	switch {
	case !view.HasMetadata:
		return []Operation{{Op: "add", Path: metadata, Value: map[string]any{"annotations": first}}}
	case !view.HasAnnotations:
		return []Operation{{Op: "add", Path: annotations, Value: first}}
	}
	return []Operation{{Op: "add", Path: path, Value: *provenance}}
}

// escape writes a key as a reference token of a JSON Pointer (RFC 6901,
// section 3).
func escape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1") // in this order
}

// Apply returns object with operations applied to it, as the API server would.
// The object itself is not changed. It fails if an operation names a path that
// does not exist, which [JSONPatch] of a View of the same object never does.
func Apply(object []byte, operations []Operation) ([]byte, error) {
	if len(operations) == 0 {
		return object, nil
	}
	raw, err := json.Marshal(operations)
	if err != nil {
		return nil, fmt.Errorf("encoding the JSON Patch: %w", err)
	}
	patch, err := jsonpatch.DecodePatch(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the JSON Patch: %w", err)
	}
	patched, err := patch.Apply(object)
	if err != nil {
		return nil, fmt.Errorf("applying the JSON Patch: %w", err)
	}
	return patched, nil
}

// On returns the view of the APIRule with the edits made: what [Parse] reads of it
// once its JSON Patch is applied. Neither view nor edits are changed.
func (e Edits) On(view View) View {
	if len(e.Rules) > 0 {
		view.Rules = slices.Clone(view.Rules)
	}
	for _, edit := range e.Rules {
		view.Rules[edit.Rule].Strategy = ExtAuth
		view.Rules[edit.Rule].Authorizers = edit.Authorizers
		view.Rules[edit.Rule].Tokens = nil
	}
	if e.Provenance == nil {
		return view
	}
	view.Annotations = maps.Clone(view.Annotations)
	if *e.Provenance == "" {
		delete(view.Annotations, annotation.Injected)
		if len(view.Annotations) == 0 {
			view.Annotations = nil
		}
		return view
	}
	if view.Annotations == nil {
		view.Annotations = make(map[string]string, 1)
	}
	view.Annotations[annotation.Injected] = *e.Provenance
	view.HasMetadata, view.HasAnnotations = true, true
	return view
}
