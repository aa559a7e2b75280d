// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

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

// request is a Service that asks to be exposed.
type request struct {
	service  types.NamespacedName
	uid      types.UID
	ports    []int32
	exposure annotation.Exposure
}

// port returns the port to expose, or says what is wrong.
func (r request) port() (int32, error) {
	asked := r.exposure.Port
	switch {
	case asked == 0 && len(r.ports) == 1:
		return r.ports[0], nil
	case asked == 0 && len(r.ports) == 0:
		return 0, problem("the Service has no port that could be exposed")
	case asked == 0:
		return 0, problem("the Service has the ports %s: choose one with the annotation %s", list(r.ports), annotation.ExposePort)
	case !slices.Contains(r.ports, asked):
		return 0, problem("the Service has no port %d, only %s: correct the annotation %s", asked, list(r.ports), annotation.ExposePort)
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

// gateway returns the Gateway of the request.
func (r request) gateway(fallback string) string {
	if r.exposure.Gateway != "" {
		return r.exposure.Gateway
	}
	return fallback
}

// open returns the APIRule for the request as its author might have written it:
// with a rule that has no access strategy, and the wish for one. Its name is that
// of the Service.
func (r request) open(port int32, gateway string) map[string]any {
	methods := make([]any, 0, len(r.exposure.Methods))
	for _, method := range r.exposure.Methods {
		methods = append(methods, method)
	}
	return map[string]any{
		"apiVersion": apirule.Group + "/v2",
		"kind":       apirule.Kind,
		"metadata": map[string]any{
			"namespace":   r.service.Namespace,
			"name":        r.service.Name,
			"labels":      map[string]any{"app.kubernetes.io/managed-by": manager},
			"annotations": map[string]any{annotation.Inject: "true"},
			"ownerReferences": []any{map[string]any{
				"apiVersion": "v1", "kind": "Service", "name": r.service.Name, "uid": string(r.uid), "controller": true,
			}},
		},
		"spec": map[string]any{
			"hosts":   []any{r.exposure.Host},
			"gateway": gateway,
			"service": map[string]any{"name": r.service.Name, "port": int64(port)},
			"rules":   []any{map[string]any{"path": r.exposure.Path, "methods": methods}},
		},
	}
}

// protect injects authorizers into an open APIRule, by the same decision as at
// admission, so that it is protected in the very request that creates it. An
// error says why it cannot be.
func protect(object map[string]any, facts policy.Facts, settings policy.Settings) (map[string]any, []string, error) {
	view := apirule.Parse(object, "")
	injection := policy.Inject(view, facts, settings)
	switch {
	case injection.Skipped == policy.NamespaceExcluded:
		return nil, nil, problem("extauth-guard leaves the namespace %s alone, so it cannot protect what is exposed there", view.Namespace)
	case len(injection.Findings) > 0:
		return nil, nil, problem("%s", injection.Findings[0].Err.Error())
	case len(injection.Edits.Rules) == 0:
		return nil, nil, problem("the Service is that of the authorizer %q itself, and to protect it would be a loop; write an APIRule for it by hand",
			facts.Registry.Fronts(view.Rules[0].Service))
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
	var denials []string
	for _, finding := range policy.Check(apirule.Parse(protected, ""), facts, settings) {
		if finding.Severity == policy.Deny {
			denials = append(denials, finding.Err.Error())
		}
	}
	if len(denials) > 0 {
		return nil, nil, problem("%s", strings.Join(denials, "; "))
	}
	return protected, injection.Edits.Rules[0].Authorizers, nil
}

// sentence is an error that the author of the Service is to read: something is
// wrong with what was asked, and trying again would not help.
type sentence string

func (s sentence) Error() string { return string(s) }

func problem(format string, args ...any) error {
	return sentence(fmt.Sprintf(format, args...))
}
