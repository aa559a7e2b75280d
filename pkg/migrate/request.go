// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// request carries over the headers and cookies that are set on a request. v2 sets
// fixed values only: Oathkeeper's templates would arrive as they are written.
func (r *legacyReader) request(old map[string]any, at string) map[string]any {
	request := map[string]any{}
	for i, entry := range list(old, "mutators") {
		mutator, _ := entry.(map[string]any)
		field := fmt.Sprintf("%s.mutators[%d]", at, i)
		switch handler := text(mutator, "handler"); handler {
		case "noop":
		case "header":
			r.fixed(request, mutator, field, "headers")
		case "cookie":
			r.fixed(request, mutator, field, "cookies")
		default:
			r.note(Lost, field, "the mutator %s has no form in v2 and is left out; the authorizer can set headers of its answer (toUpstream in the Istio CR)", quoted(handler))
		}
	}
	return request
}

// fixed carries over the values of a mutator that are no templates.
func (r *legacyReader) fixed(request, mutator map[string]any, field, key string) {
	values := object(object(mutator, "config"), key)
	kept := object(request, key)
	for _, name := range sortedKeys(values) {
		value, isText := values[name].(string)
		switch at := fmt.Sprintf("%s.config.%s[%s]", field, key, bound.Text(name)); {
		case !isText:
			r.note(Lost, at, "is not a text and is left out")
		case strings.Contains(value, "{{"):
			r.note(Lost, at, "the template %s was filled by Oathkeeper; v2 sets fixed values only, so it is left out", quoted(value))
		default:
			if kept == nil {
				kept = map[string]any{}
				request[key] = kept
			}
			kept[name] = value
		}
	}
}
