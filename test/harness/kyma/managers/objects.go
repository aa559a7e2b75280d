// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package managers

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// Cluster is what the managers see. Objects are never changed.
type Cluster struct {
	// Services, Pods, Gateways and VirtualServices are all of their kinds.
	Services        []unstructured.Unstructured
	Pods            []unstructured.Unstructured
	Gateways        []unstructured.Unstructured
	VirtualServices []unstructured.Unstructured
	// ExternalGateways are the names of those that exist, as namespace/name.
	ExternalGateways []string
	// Mesh is the value of the key "mesh" of the ConfigMap istio-system/istio.
	Mesh string
}

// ClusterOf picks from objects of any kinds what the managers look at.
func ClusterOf(objects []unstructured.Unstructured) Cluster {
	var cluster Cluster
	for _, object := range objects {
		switch object.GetKind() {
		case "Service":
			cluster.Services = append(cluster.Services, object)
		case "Pod":
			cluster.Pods = append(cluster.Pods, object)
		case "Gateway":
			cluster.Gateways = append(cluster.Gateways, object)
		case "VirtualService":
			cluster.VirtualServices = append(cluster.VirtualServices, object)
		case "ExternalGateway":
			cluster.ExternalGateways = append(cluster.ExternalGateways, object.GetNamespace()+"/"+object.GetName())
		case "ConfigMap":
			if object.GetNamespace() == "istio-system" && object.GetName() == "istio" {
				cluster.Mesh, _, _ = unstructured.NestedString(object.Object, "data", "mesh")
			}
		}
	}
	return cluster
}

func find(objects []unstructured.Unstructured, name types.NamespacedName) (unstructured.Unstructured, bool) {
	at := slices.IndexFunc(objects, func(object unstructured.Unstructured) bool {
		return object.GetNamespace() == name.Namespace && object.GetName() == name.Name
	})
	if at < 0 {
		return unstructured.Unstructured{}, false
	}
	return objects[at], true
}

// selectorOf returns the selector of a Service; nil for a Service without one.
func (c Cluster) selectorOf(name types.NamespacedName) (map[string]string, error) {
	service, exists := find(c.Services, name)
	if !exists {
		return nil, fmt.Errorf("services %q not found", name.Name)
	}
	selector, _, _ := unstructured.NestedStringMap(service.Object, "spec", "selector")
	if len(selector) == 0 {
		return nil, nil
	}
	return selector, nil
}

// domainOf returns the domain of the first host of a Gateway; "" if there is none.
func (c Cluster) domainOf(gateway types.NamespacedName) string {
	object, exists := find(c.Gateways, gateway)
	if !exists {
		return ""
	}
	for _, hosts := range hostsOf(object) {
		if len(hosts) > 0 {
			return strings.TrimPrefix(hosts[0], "*.")
		}
	}
	return ""
}

// hostsOf returns the hosts of each server of a Gateway.
func hostsOf(gateway unstructured.Unstructured) [][]string {
	servers, _, _ := unstructured.NestedSlice(gateway.Object, "spec", "servers")
	hosts := make([][]string, 0, len(servers))
	for _, entry := range servers {
		server, _ := entry.(map[string]any)
		of, _, _ := unstructured.NestedStringSlice(server, "hosts")
		hosts = append(hosts, of)
	}
	return hosts
}

// apirule is an APIRule v2 or v2alpha1, as the API Gateway manager decodes it.
type apirule struct {
	Metadata struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Hosts           []string       `json:"hosts"`
		Service         *service       `json:"service"`
		Gateway         string         `json:"gateway"`
		ExternalGateway string         `json:"externalGateway"`
		CorsPolicy      map[string]any `json:"corsPolicy"`
		Timeout         int64          `json:"timeout"`
		Rules           []rule         `json:"rules"`
	} `json:"spec"`
}

type service struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Port      int64  `json:"port"`
}

type rule struct {
	Path    string   `json:"path"`
	Methods []string `json:"methods"`
	Service *service `json:"service"`
	JWT     *jwt     `json:"jwt"`
	ExtAuth *struct {
		Authorizers  []string `json:"authorizers"`
		Restrictions *jwt     `json:"restrictions"`
	} `json:"extAuth"`
	Timeout int64 `json:"timeout"`
	Request struct {
		Headers map[string]string `json:"headers"`
		Cookies map[string]string `json:"cookies"`
	} `json:"request"`
}

type jwt struct {
	Authentications []authentication `json:"authentications"`
	Authorizations  []authorization  `json:"authorizations"`
}

type authentication struct {
	Issuer      string   `json:"issuer"`
	JwksURI     string   `json:"jwksUri"`
	FromHeaders []header `json:"fromHeaders"`
	FromParams  []string `json:"fromParams"`
}

type header struct {
	Name   string `json:"name"`
	Prefix string `json:"prefix"`
}

type authorization struct {
	RequiredScopes []string `json:"requiredScopes"`
	Audiences      []string `json:"audiences"`
}

func decode(object unstructured.Unstructured) (apirule, error) {
	var decoded apirule
	raw, err := object.MarshalJSON()
	if err != nil {
		return decoded, fmt.Errorf("encoding the APIRule %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	if err := json.Unmarshal(raw, &decoded); err != nil {
		return decoded, fmt.Errorf("decoding the APIRule %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	return decoded, nil
}

// serviceOf returns the Service of a rule: that of the rule, else that of the
// spec; its namespace falls back to the spec's Service and to the APIRule.
func (a apirule) serviceOf(r rule) (types.NamespacedName, int64) {
	var name, namespace, outer string
	var port int64
	if a.Spec.Service != nil {
		name, port, outer = a.Spec.Service.Name, a.Spec.Service.Port, a.Spec.Service.Namespace
	}
	if r.Service != nil {
		name, port, namespace = r.Service.Name, r.Service.Port, r.Service.Namespace
	}
	return types.NamespacedName{Namespace: cmp.Or(namespace, outer, a.Metadata.Namespace), Name: name}, port
}

// gateway returns the Istio Gateway; that of an ExternalGateway has its name with
// a suffix.
func (a apirule) gateway() types.NamespacedName {
	namespace, name, _ := strings.Cut(a.Spec.Gateway, "/")
	if a.Spec.Gateway == "" {
		namespace, name, _ = strings.Cut(a.Spec.ExternalGateway, "/")
		name += "-gw"
	}
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// host returns the host with the domain of the Gateway, if it is a short one.
func host(of, domain string) string {
	if strings.Contains(of, ".") || domain == "" {
		return of
	}
	return of + "." + domain
}

// restrictions returns what the rule demands of tokens; nil for nothing.
func (r rule) restrictions() *jwt {
	if r.JWT == nil && r.ExtAuth != nil {
		return r.ExtAuth.Restrictions
	}
	return r.JWT
}
