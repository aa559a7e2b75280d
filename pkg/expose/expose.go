// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package expose derives the APIRule that a Service asks for by annotation: as its
// author might have written it, and as it is once protected. It decides from values
// and knows no cluster, so that a controller and a check on files derive the same.
package expose

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Manager is the value of the label app.kubernetes.io/managed-by of the APIRules.
const Manager = "extauth-guard"

// Request is a Service that asks to be exposed.
type Request struct {
	Service types.NamespacedName
	UID     types.UID
	// Ports are those of the Service.
	Ports []int32
	// Annotations are those of the Service, which [annotation.ParseExposure] has
	// read.
	Annotations map[string]string
	Exposure    annotation.Exposure
}

// port returns the port to expose, or says what is wrong.
func (r Request) port() (int32, error) {
	asked := r.Exposure.Port
	switch {
	case asked == 0 && len(r.Ports) == 1:
		return r.Ports[0], nil
	case asked == 0 && len(r.Ports) == 0:
		return 0, Refuse("the Service has no port that could be exposed")
	case asked == 0:
		return 0, Refuse("the Service has the ports %s: choose one with the annotation %s", list(r.Ports), annotation.ExposePort)
	case !slices.Contains(r.Ports, asked):
		return 0, Refuse("the Service has no port %d, only %s: correct the annotation %s", asked, list(r.Ports), annotation.ExposePort)
	}
	return asked, nil
}

func list(ports []int32) string {
	texts := make([]string, 0, len(ports))
	for _, port := range ports {
		texts = append(texts, strconv.Itoa(int(port)))
	}
	return strings.Join(texts, ", ")
}

// Gateway returns the Gateway of the request.
func (r Request) Gateway(fallback string) string {
	if r.Exposure.Gateway != "" {
		return r.Exposure.Gateway
	}
	return fallback
}

// Open returns the APIRule for the request as its author might have written it:
// with a rule that has no access strategy, and the wish for one. Its name is that
// of the Service. The error is a [Refusal].
func (r Request) Open(fallbackGateway string) (map[string]any, error) {
	if r.Annotations[annotation.Inject] == "false" {
		return nil, Refuse("the Service says %s: \"false\", but what is exposed by annotation is always protected; remove one of the two", annotation.Inject)
	}
	port, err := r.port()
	if err != nil {
		return nil, err
	}
	methods := make([]any, 0, len(r.Exposure.Methods))
	for _, method := range r.Exposure.Methods {
		methods = append(methods, method)
	}
	return map[string]any{
		"apiVersion": apirule.Group + "/v2",
		"kind":       apirule.Kind,
		"metadata": map[string]any{
			"namespace":   r.Service.Namespace,
			"name":        r.Service.Name,
			"labels":      map[string]any{"app.kubernetes.io/managed-by": Manager},
			"annotations": map[string]any{annotation.Inject: "true"},
			"ownerReferences": []any{map[string]any{
				"apiVersion": "v1", "kind": "Service", "name": r.Service.Name, "uid": string(r.UID), "controller": true,
			}},
		},
		"spec": map[string]any{
			"hosts":   []any{r.Exposure.Host},
			"gateway": r.Gateway(fallbackGateway),
			"service": map[string]any{"name": r.Service.Name, "port": int64(port)},
			"rules":   []any{map[string]any{"path": r.Exposure.Path, "methods": methods}},
		},
	}, nil
}

// Protect injects authorizers into an open APIRule, by the same decision as at
// admission, so that it is protected in the very request that creates it. An
// error says why it cannot be.
func Protect(object map[string]any, facts policy.Facts, settings policy.Settings) (map[string]any, []string, error) {
	view := apirule.Parse(object, "")
	injection := policy.Inject(view, facts, settings)
	switch {
	case injection.Skipped == policy.NamespaceExcluded:
		return nil, nil, Refuse("extauth-guard leaves the namespace %s alone, so it cannot protect what is exposed there", view.Namespace)
	case len(injection.Findings) > 0:
		return nil, nil, Refuse("%s", injection.Findings[0].Err.Error())
	case len(injection.Edits.Rules) == 0:
		return nil, nil, Refuse("the Service is that of the authorizer %q itself, and to protect it would be a loop; write an APIRule for it by hand",
			facts.Registry.Behind(view.Rules[0].Service))
	}
	var denials []string
	for _, finding := range policy.Check(injection.Edits.On(view), facts, settings) {
		if finding.Severity == policy.Deny {
			denials = append(denials, finding.Err.Error())
		}
	}
	if len(denials) > 0 {
		return nil, nil, Refuse("%s", strings.Join(denials, "; "))
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the APIRule: %w", err)
	}
	patched, err := apirule.Apply(raw, apirule.JSONPatch(view, injection.Edits))
	if err != nil {
		return nil, nil, fmt.Errorf("protecting the APIRule: %w", err)
	}
	protected := map[string]any{}
	if err := json.Unmarshal(patched, &protected); err != nil {
		return nil, nil, fmt.Errorf("decoding the APIRule: %w", err)
	}
	return protected, injection.Edits.Rules[0].Authorizers, nil
}

// Refusal is an error that the author of the Service is to read: something is wrong
// with what was asked, and trying again would not help.
type Refusal string

// Error returns the sentence.
func (r Refusal) Error() string { return string(r) }

// Refuse makes a [Refusal].
func Refuse(format string, args ...any) error {
	return Refusal(fmt.Sprintf(format, args...))
}
