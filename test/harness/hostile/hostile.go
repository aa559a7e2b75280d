// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hostile makes what a stranger may send to the webhooks: families of
// inputs, each of any size.
package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// Input is a family of inputs: the larger n, the more there is of one thing.
type Input struct {
	Name string
	Hook webhook.Hook
	// N is a size at which the thing is most of what is sent, and of which four
	// times as much is still read.
	N int
	// Most is a size that few are larger than.
	Most int
	// Object makes the object of a review, and Old the one before, if that is not
	// nil.
	Object, Old func(n int) map[string]any
	// Raw changes the bytes of a review; nil leaves them.
	Raw func(review []byte, n int) []byte
}

// Path is where the input is sent.
func (i Input) Path() string {
	return map[webhook.Hook]string{
		webhook.MutateAPIRule:     webhook.MutateAPIRulePath,
		webhook.ValidateAPIRule:   webhook.ValidateAPIRulePath,
		webhook.ValidateIstio:     webhook.ValidateIstioPath,
		webhook.ValidateService:   webhook.ValidateServicePath,
		webhook.ValidateNamespace: webhook.ValidateNamespacePath,
	}[i.Hook]
}

// Review makes an AdmissionReview of a size.
func (i Input) Review(n int) ([]byte, error) {
	about := kinds()[i.Hook]
	request := map[string]any{
		"uid":       "705ab4f5-6393-11e8-b7cc-42010a800002",
		"kind":      map[string]any{"group": about.group, "version": about.version, "kind": about.kind},
		"resource":  map[string]any{"group": about.group, "version": about.version, "resource": about.resource},
		"namespace": about.namespace, "name": about.name, "operation": "CREATE",
		"object": i.Object(n),
	}
	if i.Old != nil {
		request["operation"], request["oldObject"] = "UPDATE", i.Old(n)
	}
	review, err := json.Marshal(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
	if err != nil {
		return nil, fmt.Errorf("encoding a review: %w", err)
	}
	if i.Raw != nil {
		review = i.Raw(review, n)
	}
	return review, nil
}

// Manifest makes the object as a file.
func Manifest(input Input, n int) ([]byte, error) {
	raw, err := json.Marshal(input.Object(n))
	if err != nil {
		return nil, fmt.Errorf("encoding a manifest: %w", err)
	}
	return raw, nil
}

// Right is an APIRule that nothing is wrong with.
func Right() Input {
	return Input{Name: "right", Hook: webhook.ValidateAPIRule, Object: func(int) map[string]any {
		return object(webhook.ValidateAPIRule, nil, func(_, spec map[string]any) {
			spec["rules"] = []any{rule("/*", map[string]any{"extAuth": map[string]any{"authorizers": []any{"oauth2-proxy"}}})}
		})
	}}
}

type kind struct{ group, version, kind, resource, namespace, name string }

func kinds() map[webhook.Hook]kind {
	rule := kind{"gateway.kyma-project.io", "v2", "APIRule", "apirules", "shop", "web"}
	return map[webhook.Hook]kind{
		webhook.MutateAPIRule:     rule,
		webhook.ValidateAPIRule:   rule,
		webhook.ValidateIstio:     {"operator.kyma-project.io", "v1alpha2", "Istio", "istios", "kyma-system", "default"},
		webhook.ValidateService:   {"", "v1", "Service", "services", "shop", "web"},
		webhook.ValidateNamespace: {"", "v1", "Namespace", "namespaces", "shop", "shop"},
	}
}

// object has the annotations, and changes what else it is told to.
func object(hook webhook.Hook, annotations map[string]any, change func(metadata, spec map[string]any)) map[string]any {
	about := kinds()[hook]
	metadata := map[string]any{"name": about.name, "annotations": annotations}
	if hook != webhook.ValidateNamespace {
		metadata["namespace"] = about.namespace
	}
	if hook == webhook.ValidateIstio {
		metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
	}
	spec := map[string]any{}
	if about.kind == "APIRule" {
		spec = map[string]any{
			"hosts": []any{"web"}, "gateway": "kyma-system/kyma-gateway", "service": map[string]any{"name": "web", "port": 80},
			"rules": []any{rule("/*", nil)},
		}
	}
	if change != nil {
		change(metadata, spec)
	}
	return map[string]any{"apiVersion": strings.TrimPrefix(about.group+"/"+about.version, "/"), "kind": about.kind, "metadata": metadata, "spec": spec}
}

func rule(path string, more map[string]any) map[string]any {
	one := map[string]any{"path": path, "methods": []any{"GET"}}
	maps.Copy(one, more)
	return one
}

func list(n int, entry func(i int) any) []any {
	entries := make([]any, n)
	for i := range entries {
		entries[i] = entry(i)
	}
	return entries
}

func named(i int) any { return fmt.Sprintf("name-%d", i) }

func names(n int, separator string) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "n%d%s", i, separator)
	}
	return text.String()
}

func texts(n int, key func(i int) string, value string) map[string]any {
	made := make(map[string]any, n)
	for i := range n {
		made[key(i)] = value
	}
	return made
}

// nested is n levels deep.
func nested(n int, open, shut string) json.RawMessage {
	var text bytes.Buffer
	text.WriteString(strings.Repeat(open, n))
	text.WriteString("0")
	text.WriteString(strings.Repeat(shut, n))
	return text.Bytes()
}
