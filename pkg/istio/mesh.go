// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// Where the mesh configuration is: the ConfigMap that Kyma's Istio module
// writes and that istiod reads.
const (
	MeshNamespace = "istio-system"
	MeshConfigMap = "istio"
	MeshKey       = "mesh"
)

// Mesh is what the mesh configuration says about extension providers. An
// authorizer is effective once the mesh has a provider of its name.
type Mesh struct {
	// Providers maps the name of each extension provider to whether it speaks
	// ext_authz over HTTP, the only kind that an APIRule can use.
	Providers map[string]bool
	// HTTP holds what the mesh has of those that speak it; one that is missing is not
	// known.
	HTTP map[string]Provider
}

// Provider is an authorizer as the mesh configuration has it.
type Provider struct {
	Service    string
	Port       int64
	PathPrefix string
}

// Is is true if the provider asks the same as the entry of the Istio CR.
func (p Provider) Is(entry Authorizer) bool {
	return p == Provider{Service: entry.Service, Port: entry.Port, PathPrefix: entry.PathPrefix}
}

// ParseMesh reads the value of [MeshKey]. Fields it does not know are ignored.
// Of several providers of one name the first counts, as for Kyma's API Gateway.
func ParseMesh(raw string) (Mesh, error) {
	var document struct {
		ExtensionProviders []struct {
			Name              string         `json:"name"`
			EnvoyExtAuthzHTTP map[string]any `json:"envoyExtAuthzHttp"`
		} `json:"extensionProviders"`
	}
	if err := yaml.Unmarshal([]byte(raw), &document); err != nil {
		return Mesh{}, fmt.Errorf("reading the mesh configuration: %w", err)
	}
	mesh := Mesh{Providers: make(map[string]bool, len(document.ExtensionProviders)), HTTP: map[string]Provider{}}
	for _, provider := range document.ExtensionProviders {
		if _, seen := mesh.Providers[provider.Name]; seen {
			continue
		}
		mesh.Providers[provider.Name] = provider.EnvoyExtAuthzHTTP != nil
		if http := provider.EnvoyExtAuthzHTTP; len(http) > 0 {
			port, _ := http["port"].(float64)
			mesh.HTTP[provider.Name] = Provider{Service: text(http, "service"), Port: int64(port), PathPrefix: text(http, "pathPrefix")}
		}
	}
	return mesh, nil
}
