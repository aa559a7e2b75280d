// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import "strings"

// GatewayDomain returns the domain under which Kyma serves short hosts of
// APIRules on an Istio Gateway: that of the one host that all servers of the
// Gateway have, which begins with "*." (Kyma api-gateway 3.10,
// validation/v2alpha1/hosts.go). It is "" for a Gateway that serves none. It
// never fails.
func GatewayDomain(gateway map[string]any) string {
	spec, _ := gateway["spec"].(map[string]any)
	servers, _ := spec["servers"].([]any)
	domain := ""
	for _, entry := range servers {
		server, _ := entry.(map[string]any)
		hosts, _ := server["hosts"].([]any)
		if len(hosts) != 1 {
			return ""
		}
		host, _ := hosts[0].(string)
		below, wild := strings.CutPrefix(host, "*.")
		if !wild || (domain != "" && domain != below) {
			return ""
		}
		domain = below
	}
	return domain
}

// VirtualService is what this project needs of an Istio VirtualService.
type VirtualService struct {
	// Hosts are in the author's order.
	Hosts []string
	// Gateways are those outside of the mesh, as namespace/name, in the author's
	// order.
	Gateways []string
}

// ParseVirtualService reads a VirtualService. A gateway without namespace is in
// that of the object, and "mesh" means the sidecars (Istio reference,
// VirtualService.gateways). It never fails.
func ParseVirtualService(object map[string]any) VirtualService {
	metadata, _ := object["metadata"].(map[string]any)
	namespace, _ := metadata["namespace"].(string)
	spec, _ := object["spec"].(map[string]any)
	parsed := VirtualService{Hosts: textsAt(spec, "hosts")}
	for _, gateway := range textsAt(spec, "gateways") {
		switch {
		case gateway == "mesh":
		case strings.Contains(gateway, "/"):
			parsed.Gateways = append(parsed.Gateways, gateway)
		default:
			parsed.Gateways = append(parsed.Gateways, namespace+"/"+gateway)
		}
	}
	return parsed
}

func textsAt(object map[string]any, key string) []string {
	entries, _ := object[key].([]any)
	var texts []string
	for _, entry := range entries {
		if text, ok := entry.(string); ok {
			texts = append(texts, text)
		}
	}
	return texts
}
