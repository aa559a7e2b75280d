// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command istiod says what istiod would do: it reads worlds, one as JSON on each
// line, and prints for each what istiod's own selection of policies and its own
// builder of filters make of it, and what those filters do with requests. Nothing
// here decides anything; it is a module of its own because of what it depends on.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"

	rbachttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	meshpb "istio.io/api/mesh/v1alpha1"
	authpb "istio.io/api/security/v1beta1"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/security/authz/builder"
	"istio.io/istio/pilot/pkg/security/trustdomain"
	"istio.io/istio/pkg/config/host"
	"istio.io/istio/pkg/config/labels"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/wellknown"
)

// world is a cluster: Services, Pods, ServiceEntries, AuthorizationPolicies and the
// ConfigMap of the mesh; other kinds are passed over.
type world struct {
	World   string            `json:"world"`
	Objects []json.RawMessage `json:"objects"`
	// Requests are sent to Pods of the world.
	Requests []request `json:"requests"`
}

// verdict is what istiod makes of a world.
type verdict struct {
	World string `json:"world"`
	// Error is why istiod cannot read the mesh configuration; all else is then empty.
	Error string `json:"error,omitempty"`
	// Refused has the policies that Istio's webhook does not admit, with the reason;
	// they do not count.
	Refused map[string]string `json:"refused,omitempty"`
	// Providers says of each authorizer whether istiod takes it.
	Providers map[string]bool `json:"providers"`
	Pods      []pod           `json:"pods"`
	// Outcomes are those of the requests, in their order.
	Outcomes []outcome `json:"outcomes,omitempty"`
}

// pod is what acts on one Pod.
type pod struct {
	Pod string `json:"pod"`
	// Custom are the CUSTOM policies that istiod attaches to it, in the order of their
	// names.
	Custom []custom `json:"custom"`
	// Denied are those whose requests istiod denies instead of asking, by name.
	Denied []string `json:"denied"`
	// Allow and Deny are the names of the policies of these actions.
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

type custom struct {
	Policy   string `json:"policy"`
	Provider string `json:"provider"`
}

// object is what is read of every kind.
type object struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Namespace string            `json:"namespace"`
		Name      string            `json:"name"`
		Labels    map[string]string `json:"labels"`
	} `json:"metadata"`
	Data map[string]string `json:"data"`
	Spec struct {
		Hosts []string `json:"hosts"`
	} `json:"spec"`
}

func main() {
	for _, scope := range log.Scopes() {
		scope.SetOutputLevel(log.NoneLevel)
	}
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "istiod:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	written := bufio.NewWriter(out)
	encoder := json.NewEncoder(written)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("reading worlds: %w", err)
		}
		var read world
		if err := json.Unmarshal(line, &read); err != nil {
			return fmt.Errorf("decoding a world: %w", err)
		}
		judged, err := judge(read)
		if err != nil {
			return fmt.Errorf("judging the world %s: %w", read.World, err)
		}
		if err := encoder.Encode(judged); err != nil {
			return fmt.Errorf("writing a verdict: %w", err)
		}
		if err := written.Flush(); err != nil { // who asks may wait for this one
			return fmt.Errorf("writing a verdict: %w", err)
		}
	}
}

// cluster is a world as istiod holds it.
type cluster struct {
	push    *model.PushContext
	pods    []object
	refused map[string]string
}

func judge(read world) (verdict, error) {
	judged := verdict{World: read.World, Providers: map[string]bool{}, Pods: []pod{}}
	held, problem, err := hold(read)
	if err != nil {
		return verdict{}, err
	}
	if problem != "" {
		judged.Error = problem
		return judged, nil
	}
	judged.Refused = held.refused
	for _, provider := range held.push.Mesh.ExtensionProviders {
		if _, ok := provider.Provider.(*meshpb.MeshConfig_ExtensionProvider_EnvoyExtAuthzHttp); ok {
			judged.Providers[provider.Name] = held.takes(provider.Name)
		}
	}
	for _, one := range held.pods {
		judged.Pods = append(judged.Pods, held.judge(one))
	}
	for _, one := range read.Requests {
		said, err := held.answer(one)
		if err != nil {
			return verdict{}, fmt.Errorf("answering %s %s%s: %w", one.Method, one.Host, one.Path, err)
		}
		judged.Outcomes = append(judged.Outcomes, said)
	}
	return judged, nil
}

// hold reads a world; problem says why istiod would not take the mesh configuration.
func hold(read world) (held cluster, problem string, err error) {
	held = cluster{push: model.NewPushContext(), refused: map[string]string{}}
	policies := &model.AuthorizationPolicies{NamespaceToPolicies: map[string][]model.AuthorizationPolicy{}}
	held.push.AuthzPolicies = policies
	config := ""
	for _, raw := range read.Objects {
		var one object
		if err := json.Unmarshal(raw, &one); err != nil {
			return cluster{}, "", fmt.Errorf("decoding an object: %w", err)
		}
		switch one.Kind {
		case "Service":
			held.register(one.Metadata.Namespace, one.Metadata.Name+"."+one.Metadata.Namespace+".svc.cluster.local")
		case "ServiceEntry":
			for _, name := range one.Spec.Hosts {
				held.register(one.Metadata.Namespace, name)
			}
		case "Pod":
			held.pods = append(held.pods, one)
		case "ConfigMap":
			if one.Metadata.Namespace == "istio-system" && one.Metadata.Name == "istio" {
				config = one.Data["mesh"]
			}
		case "AuthorizationPolicy":
			if err := held.addPolicy(raw); err != nil {
				return cluster{}, "", err
			}
		}
	}
	applied, err := mesh.ApplyMeshConfigDefaults(config)
	if err != nil {
		return cluster{}, err.Error(), nil
	}
	held.push.Mesh, policies.RootNamespace = applied, applied.GetRootNamespace()
	return held, "", nil
}

func (c cluster) register(namespace, name string) {
	known := c.push.ServiceIndex.HostnameAndNamespace
	if known[host.Name(name)] == nil {
		known[host.Name(name)] = map[string]*model.Service{}
	}
	known[host.Name(name)][namespace] = &model.Service{Hostname: host.Name(name)}
}

func (c cluster) addPolicy(raw json.RawMessage) error {
	var kind crd.IstioKind
	if err := json.Unmarshal(raw, &kind); err != nil {
		return fmt.Errorf("decoding an AuthorizationPolicy: %w", err)
	}
	name := kind.Namespace + "/" + kind.Name
	converted, err := crd.ConvertObject(collections.AuthorizationPolicy, &kind, "cluster.local")
	if err == nil {
		_, err = collections.AuthorizationPolicy.ValidateConfig(*converted)
	}
	if err != nil {
		c.refused[name] = err.Error()
		return nil
	}
	spec, ok := converted.Spec.(*authpb.AuthorizationPolicy)
	if !ok {
		return fmt.Errorf("the policy %s has the type %T", name, converted.Spec)
	}
	known := c.push.AuthzPolicies.NamespaceToPolicies
	known[kind.Namespace] = append(known[kind.Namespace], model.AuthorizationPolicy{
		Name: kind.Name, Namespace: kind.Namespace, Annotations: kind.Annotations, Spec: spec,
	})
	return nil
}

func (c cluster) judge(of object) pod {
	attached := c.push.AuthzPolicies.ListAuthorizationPolicies(
		model.PolicyMatcherFor(of.Metadata.Namespace, labels.Instance(of.Metadata.Labels), false).WithRootNamespace(c.push.AuthzPolicies.RootNamespace))
	judged := pod{Pod: of.Metadata.Namespace + "/" + of.Metadata.Name, Custom: []custom{}, Allow: names(attached.Allow), Deny: names(attached.Deny)}
	for _, policy := range attached.Custom {
		judged.Custom = append(judged.Custom, custom{policy.Namespace + "/" + policy.Name, policy.Spec.GetProvider().GetName()})
	}
	slices.SortFunc(judged.Custom, func(a, b custom) int {
		if a.Policy < b.Policy {
			return -1
		}
		return 1
	})
	judged.Denied = c.denied(attached)
	return judged
}

// takes is true if istiod asks the provider, where a policy names it.
func (c cluster) takes(provider string) bool {
	policy := model.AuthorizationPolicy{Name: "any", Namespace: "any", Spec: &authpb.AuthorizationPolicy{
		Action:       authpb.AuthorizationPolicy_CUSTOM,
		ActionDetail: &authpb.AuthorizationPolicy_Provider{Provider: &authpb.AuthorizationPolicy_ExtensionProvider{Name: provider}},
		Rules:        []*authpb.Rule{{}},
	}}
	return len(c.denied(model.AuthorizationPoliciesResult{Custom: []model.AuthorizationPolicy{policy}})) == 0
}

// denied returns the CUSTOM policies whose requests the built filters deny.
func (c cluster) denied(attached model.AuthorizationPoliciesResult) []string {
	denied := []string{}
	built := builder.New(trustdomain.NewBundle("cluster.local", nil), c.push, attached, builder.Option{IsCustomBuilder: true})
	if built == nil {
		return denied
	}
	for _, filter := range built.BuildHTTP() {
		for _, name := range enforced(filter) {
			if !slices.Contains(denied, name) {
				denied = append(denied, name)
			}
		}
	}
	slices.Sort(denied)
	return denied
}

// enforced returns the policies, as namespace/name, whose rules a filter enforces
// by itself: those of a CUSTOM policy only where something is wrong with it.
func enforced(filter *hcm.HttpFilter) []string {
	if filter.Name != wellknown.HTTPRoleBasedAccessControl {
		return nil
	}
	var rbac rbachttp.RBAC
	if err := filter.GetTypedConfig().UnmarshalTo(&rbac); err != nil {
		return nil
	}
	place := regexp.MustCompile(`ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[\d+\]-deny-due-to-bad-CUSTOM-action$`)
	var found []string
	for name := range rbac.GetRules().GetPolicies() {
		if parts := place.FindStringSubmatch(name); parts != nil {
			found = append(found, parts[1]+"/"+parts[2])
		}
	}
	return found
}

func names(of []model.AuthorizationPolicy) []string {
	var found []string
	for _, policy := range of {
		found = append(found, policy.Namespace+"/"+policy.Name)
	}
	slices.Sort(found)
	return found
}
