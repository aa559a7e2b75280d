// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
)

// YAML renders the APIRules to apply, one document each, below the steps and
// below the notes about them as comments. What was not migrated is a document of
// comments only. Nothing is rendered if there is no APIRule.
func (o Outcome) YAML() ([]byte, error) {
	if o.APIRules() == 0 {
		return nil, nil
	}
	var out strings.Builder
	for i, step := range o.Steps {
		out.WriteString(quote.Comment(fmt.Sprintf("%d. %s", i+1, step)))
	}
	for _, result := range o.Results {
		if result.APIRule == nil && !result.concerns() {
			continue
		}
		out.WriteString("---\n")
		for _, note := range result.Notes {
			out.WriteString(quote.Comment(result.prefix(note) + note.Path + ": " + note.Text))
		}
		if result.APIRule == nil {
			continue
		}
		raw, err := yaml.Marshal(result.APIRule)
		if err != nil {
			return nil, fmt.Errorf("encoding an APIRule: %w", err)
		}
		out.Write(raw)
	}
	return []byte(out.String()), nil
}

// prefix names the object of a note where it is not the one below.
func (r Result) prefix(note Note) string {
	if r.APIRule != nil && note.Source == r.source {
		return ""
	}
	return note.Object + ": "
}

// concerns is true if somebody has to do something about the result.
func (r Result) concerns() bool {
	for _, note := range r.Notes {
		if note.Kind != Told {
			return true
		}
	}
	return false
}
