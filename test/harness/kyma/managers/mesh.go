// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package managers

import (
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// errStopped is why the Istio manager does nothing at all: it lists Istio CRs
// typed, and one of them does not decode. No state of a CR says so.
var errStopped = errors.New("the Istio manager can list no Istio CR")

// Stopped is true for the error of [Mesh] that no state of a CR shows.
func Stopped(err error) bool { return errors.Is(err, errStopped) }

// Mesh returns the mesh configuration that the Istio manager makes of an Istio CR:
// the module's own, with an extension provider for each authorizer after the
// module's. An error is the description of the state Warning, in which the
// configuration stays as it was, or that the manager is [Stopped].
func Mesh(cr unstructured.Unstructured) (map[string]any, error) {
	var decoded struct {
		Spec struct {
			Config struct {
				Authorizers []*authorizer `json:"authorizers"`
			} `json:"config"`
		} `json:"spec"`
	}
	raw, err := cr.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(raw, &decoded)
	}
	if err != nil {
		return nil, errors.Join(errStopped, err)
	}
	mesh, providers := moduleMesh()
	seen := map[string]bool{}
	for _, entry := range decoded.Spec.Config.Authorizers {
		if entry == nil {
			continue
		}
		if seen[entry.Name] {
			return nil, fmt.Errorf("Authorizer name needs to be unique: %s is duplicated", entry.Name) //nolint:staticcheck // the manager's own words
		}
		seen[entry.Name] = true
		providers = append(providers, entry.provider())
	}
	mesh["extensionProviders"] = providers
	return mesh, nil
}

// MeshText returns the mesh configuration as the ConfigMap has it.
func MeshText(mesh map[string]any) (string, error) {
	text, err := yaml.Marshal(mesh)
	if err != nil {
		return "", fmt.Errorf("encoding the mesh configuration: %w", err)
	}
	return string(text), nil
}

// moduleMesh returns the part of the mesh configuration that no Istio CR changes,
// and the module's own extension providers.
func moduleMesh() (mesh map[string]any, providers []any) {
	mesh = map[string]any{
		"rootNamespace":         "istio-system",
		"trustDomain":           "cluster.local",
		"enablePrometheusMerge": false,
		"defaultProviders":      map[string]any{"metrics": []any{"prometheus"}},
	}
	traces := map[string]any{"service": "telemetry-otlp-traces.kyma-system.svc.cluster.local", "port": int64(4317)}
	logs := map[string]any{"service": "telemetry-otlp-logs.kyma-system.svc.cluster.local", "port": int64(4317), "logName": "kyma-logs"}
	providers = []any{
		map[string]any{"name": "kyma-traces", "opentelemetry": traces},
		map[string]any{"name": "envoy", "envoyFileAccessLog": map[string]any{"path": "/dev/stdout"}},
		map[string]any{"name": "stdout-json", "envoyFileAccessLog": map[string]any{"path": "/dev/stdout"}},
		map[string]any{"name": "kyma-logs", "envoyOtelAls": logs},
	}
	return mesh, providers
}

// authorizer is an entry of the Istio CR, typed as the Istio manager has it.
type authorizer struct {
	Name       string           `json:"name"`
	Service    string           `json:"service"`
	Port       uint32           `json:"port"`
	PathPrefix *string          `json:"pathPrefix"`
	Timeout    *metav1.Duration `json:"timeout"`
	Headers    struct {
		InCheck struct {
			Include []string          `json:"include"`
			Add     map[string]string `json:"add"`
		} `json:"inCheck"`
		ToUpstream struct {
			OnAllow []string `json:"onAllow"`
		} `json:"toUpstream"`
		ToDownstream struct {
			OnAllow []string `json:"onAllow"`
			OnDeny  []string `json:"onDeny"`
		} `json:"toDownstream"`
	} `json:"headers"`
}

// provider returns the entry of the mesh configuration; what is empty is left out,
// and a timeout is cut to whole seconds.
func (a authorizer) provider() map[string]any {
	http := map[string]any{}
	put := func(key string, value any, present bool) {
		if present {
			http[key] = value
		}
	}
	list := func(key string, of []string) { put(key, texts(of), len(of) > 0) }
	put("service", a.Service, a.Service != "")
	put("port", int64(a.Port), a.Port != 0)
	if a.PathPrefix != nil {
		put("pathPrefix", *a.PathPrefix, *a.PathPrefix != "")
	}
	if a.Timeout != nil {
		http["timeout"] = fmt.Sprintf("%ds", int64(a.Timeout.Seconds()))
	}
	list("includeRequestHeadersInCheck", a.Headers.InCheck.Include)
	put("includeAdditionalHeadersInCheck", labels(a.Headers.InCheck.Add), len(a.Headers.InCheck.Add) > 0)
	list("headersToUpstreamOnAllow", a.Headers.ToUpstream.OnAllow)
	list("headersToDownstreamOnAllow", a.Headers.ToDownstream.OnAllow)
	list("headersToDownstreamOnDeny", a.Headers.ToDownstream.OnDeny)
	provider := map[string]any{"envoyExtAuthzHttp": http}
	if a.Name != "" {
		provider["name"] = a.Name
	}
	return provider
}
