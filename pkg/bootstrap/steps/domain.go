// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

// domain returns the domain of the exposed hosts: the configured one, or the
// Gateway's only host without "*.".
func (e Environment) domain(ctx context.Context) (string, error) {
	if e.Config.Domain != config.Auto {
		return e.Config.Domain, nil
	}
	namespace, name, _ := strings.Cut(e.Config.Gateway, "/")
	gateway := newObject(gatewayGVK(), client.ObjectKey{Namespace: namespace, Name: name})
	if err := e.Client.Get(ctx, client.ObjectKeyFromObject(gateway), gateway); err != nil {
		return "", fmt.Errorf("reading the Gateway %s for the domain: %w", e.Config.Gateway, err)
	}
	hosts := gatewayHosts(gateway)
	if len(hosts) != 1 {
		return "", fmt.Errorf("the Gateway %s has %d different hosts *.<domain>%s, so domain: auto cannot choose; set domain in the configuration",
			e.Config.Gateway, len(hosts), listed(hosts))
	}
	return strings.TrimPrefix(hosts[0], "*."), nil
}

// gatewayHosts returns the different wildcard hosts of all servers, in order and
// without the "namespace/" that Istio allows in front.
func gatewayHosts(gateway *unstructured.Unstructured) []string {
	var hosts []string
	seen := map[string]bool{}
	servers, _, _ := unstructured.NestedSlice(gateway.Object, "spec", "servers")
	for _, server := range servers {
		object, _ := server.(map[string]any)
		names, _, _ := unstructured.NestedStringSlice(object, "hosts")
		for _, host := range names {
			if _, rest, found := strings.Cut(host, "/"); found {
				host = rest
			}
			if strings.HasPrefix(host, "*.") && !seen[host] {
				seen[host] = true
				hosts = append(hosts, host)
			}
		}
	}
	return hosts
}

func listed(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}
