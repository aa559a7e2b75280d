// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package managers

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	klabels "k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// validate returns why the API Gateway manager refuses an APIRule, in its order.
func (c Cluster) validate(a apirule) []Failure {
	if len(a.Spec.Rules) == 0 {
		return []Failure{{".spec.rules", "No rules defined"}}
	}
	var failures []Failure
	for i, r := range a.Spec.Rules {
		failures = append(failures, c.validateRule(fmt.Sprintf(".spec.rules[%d]", i), a, r)...)
	}
	failures = append(failures, pathConflicts(a.Spec.Rules)...)
	failures = append(failures, differingTokens(a.Spec.Rules)...)
	failures = append(failures, c.validateHosts(a)...)
	return append(failures, c.validateGateway(a)...)
}

func (c Cluster) validateRule(at string, a apirule, r rule) []Failure {
	var failures []Failure
	if a.Spec.Service == nil && r.Service == nil {
		failures = append(failures, Failure{at + ".service", "The rule must define a service, because no service is defined on spec level"})
	}
	failures = append(failures, validateTokens(at, r)...)
	failures = append(failures, c.validateSidecars(at, a, r)...)
	if r.ExtAuth != nil {
		failures = append(failures, c.validateAuthorizers(at+".extAuth", r.ExtAuth.Authorizers)...)
	}
	return append(failures, validatePath(at+".path", r.Path)...)
}

func (c Cluster) validateSidecars(at string, a apirule, r rule) []Failure {
	service, _ := a.serviceOf(r)
	selector, err := c.selectorOf(service)
	switch {
	case err != nil:
		return []Failure{{at, "Failed to execute sidecar injection validation, err: " + err.Error()}}
	case selector == nil:
		return []Failure{{at + ".injection", "Target service label selectors are not defined"}}
	}
	var failures []Failure
	for _, pod := range c.Pods {
		if pod.GetNamespace() == service.Namespace && klabels.SelectorFromSet(selector).Matches(klabels.Set(pod.GetLabels())) && !hasSidecar(pod) {
			failures = append(failures, Failure{at, fmt.Sprintf("Pod %s/%s does not have an injected istio sidecar", pod.GetNamespace(), pod.GetName())})
		}
	}
	return failures
}

func hasSidecar(pod unstructured.Unstructured) bool {
	for _, list := range []string{"containers", "initContainers"} {
		containers, _, _ := unstructured.NestedSlice(pod.Object, "spec", list)
		for _, entry := range containers {
			if container, _ := entry.(map[string]any); container["name"] == "istio-proxy" {
				return true
			}
		}
	}
	return false
}

func (c Cluster) validateAuthorizers(at string, names []string) []Failure {
	var mesh struct {
		Providers []struct {
			Name string `json:"name"`
			HTTP any    `json:"envoyExtAuthzHttp"`
		} `json:"extensionProviders"`
	}
	if err := yaml.Unmarshal([]byte(c.Mesh), &mesh); err != nil {
		return []Failure{{at + ".externalAuthorizers", "Failed to unmarshal mesh data"}}
	}
	var failures []Failure
	for _, name := range names {
		problem := "Authorizer not found in Istio ConfigMap mesh data"
		for _, provider := range slices.Backward(mesh.Providers) { // the first of a name counts
			switch {
			case provider.Name != name:
			case provider.HTTP == nil:
				problem = "EnvoyExtAuthzHttp not found in Istio ConfigMap mesh data for authorizer"
			default:
				problem = ""
			}
		}
		if problem != "" {
			failures = append(failures, Failure{at + ".externalAuthorizers." + name, problem})
		}
	}
	return failures
}

func validatePath(at, path string) []Failure {
	if strings.Count(path, "{**}") > 1 {
		return []Failure{{at, "Only one {**} operator is allowed in the path."}}
	}
	if _, rest, found := strings.Cut(path, "{**}"); found && strings.Contains(rest, "{*}") {
		return []Failure{{at, "The {**} operator must be the last operator in the path."}}
	}
	return nil
}

// pathConflicts reports the first rule whose path an earlier one of the same method
// takes.
func pathConflicts(rules []rule) []Failure {
	for i, r := range rules {
		for _, method := range r.Methods {
			for _, earlier := range rules[:i] {
				if slices.Contains(earlier.Methods, method) && takes(segments(earlier.Path), segments(r.Path)) {
					return []Failure{{".spec.rules", fmt.Sprintf("Path %s with method %s conflicts with at least one of the previous rule paths", standard(r.Path), method)}}
				}
			}
		}
	}
	return nil
}

func segments(path string) []string {
	return strings.Split(strings.TrimPrefix(standard(path), "/"), "/")
}

// takes is true if the earlier path has all that the later one has, segment by
// segment. An operator of the later path is a segment like any other.
func takes(earlier, later []string) bool {
	for i, segment := range earlier {
		if segment == "{**}" {
			suffix := earlier[i+1:]
			return len(later) >= i && (len(suffix) == 0 || len(later)-i >= len(suffix) && slices.Equal(later[len(later)-len(suffix):], suffix))
		}
		if i >= len(later) || (segment != "{*}" && segment != later[i]) {
			return false
		}
	}
	return len(earlier) == len(later)
}

func (c Cluster) validateHosts(a apirule) []Failure {
	if len(a.Spec.Hosts) == 0 {
		return []Failure{{".spec.hosts", "No hosts defined"}}
	}
	var failures []Failure
	for i, of := range a.Spec.Hosts {
		at := fmt.Sprintf(".spec.hosts[%d]", i)
		if problem := c.shortHost(a, of); problem != "" {
			failures = append(failures, Failure{at, problem})
		}
		for _, other := range c.VirtualServices {
			hosts, _, _ := unstructured.NestedStringSlice(other.Object, "spec", "hosts")
			if slices.Contains(hosts, host(of, c.domainOf(a.gateway()))) && !a.owns(other) {
				failures = append(failures, Failure{at, "Host is occupied by another Virtual Service"})
			}
		}
	}
	return failures
}

func (c Cluster) shortHost(a apirule, of string) string {
	if strings.Contains(of, ".") {
		return ""
	}
	gateway, exists := find(c.Gateways, a.gateway())
	if !exists {
		return fmt.Sprintf("Unable to find Gateway %q", a.gateway().String())
	}
	first := ""
	for _, hosts := range hostsOf(gateway) {
		if len(hosts) != 1 || !strings.HasPrefix(hosts[0], "*.") || (first != "" && first != hosts[0]) {
			return "Lowercase RFC 1123 label (short host) is only supported as the APIRule host when selected Gateway has a single host definition matching *.<fqdn> format"
		}
		first = hosts[0]
	}
	return ""
}

// owns is true for an object that was made of the APIRule.
func (a apirule) owns(object unstructured.Unstructured) bool {
	of := object.GetLabels()
	if legacy, ok := of["apirule.gateway.kyma-project.io/v1beta1"]; ok {
		return legacy == a.Metadata.Name+"."+a.Metadata.Namespace
	}
	return of[OwnerName] == a.Metadata.Name && of[OwnerNamespace] == a.Metadata.Namespace
}

func (c Cluster) validateGateway(a apirule) []Failure {
	switch {
	case a.Spec.Gateway == "" && a.Spec.ExternalGateway == "":
		return []Failure{{".spec", "Either gateway or externalGateway must be specified"}}
	case a.Spec.Gateway != "" && a.Spec.ExternalGateway != "":
		return []Failure{{".spec", "Only one of gateway or externalGateway can be specified"}}
	case a.Spec.ExternalGateway != "":
		if !slices.Contains(c.ExternalGateways, a.Spec.ExternalGateway) {
			return []Failure{{".spec.externalGateway", "ExternalGateway not found"}}
		}
		return nil
	}
	if _, exists := find(c.Gateways, a.gateway()); !exists {
		return []Failure{{".spec.gateway", "Gateway not found"}}
	}
	return nil
}

// uri is what Kyma takes for the address of keys: a scheme and something behind it.
func uri() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*:.+$`) }
