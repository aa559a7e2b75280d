// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"bytes"
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Collect puts what the manifests tell about the world into it, which has to be
// the Source or what the Source asks: Istio CRs, Services, Namespaces,
// ExtAuthPolicies, Gateways, AuthorizationPolicies, and the authorizers
// that APIRules would have once stored. What cannot be read is passed over;
// checking reports it.
//
// Memory grows with the number of Services and of hosts, not with the input: of the APIRules
// that bring one authorizer to one Service the first two by name are enough to
// tell each that there is another. Only a policy that forbids to opt out needs
// to know all.
func (l Linter) Collect(ctx context.Context, files []manifest.File, world *facts.World) error {
	c := collector{world: world, linter: l}
	kinds := []string{istio.Kind, "Service", "Namespace", "AuthorizationPolicy", v1alpha1.Kind, "Gateway", "VirtualService"}
	if err := each(ctx, files, kinds, c.fact); err != nil {
		return err
	}
	whole := slices.ContainsFunc(world.Policies(), policy.ClusterPolicy.ForbidsOptOut)
	// Injection depends on facts that may come later in the input.
	brought := users{}
	var exposed []exposure
	err := each(ctx, files, []string{apirule.Kind, annotation.Expose}, func(object map[string]any) {
		open, ok := l.apirule(object)
		if !ok {
			return
		}
		view := l.injected(ctx, open).View
		exposed = append(exposed, exposure{view.NamespacedName(), view.Gateway, view.Hosts})
		if whole {
			world.SetAPIRule(view)
		} else {
			brought.add(view)
		}
	})
	for _, view := range brought.views() {
		world.SetAPIRule(view)
	}
	for _, one := range exposed {
		world.Renew(one.name, one.gateway, one.hosts)
	}
	return err
}

// exposure is where an APIRule exposes something.
type exposure struct {
	name    types.NamespacedName
	gateway string
	hosts   []string
}

// each calls use for every object of a document that mentions one of words.
func each(ctx context.Context, files []manifest.File, words []string, use func(map[string]any)) error {
	for _, file := range files {
		if file.Patch {
			continue
		}
		for document, err := range file.Documents() {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil || !mentions(document.Text, words) {
				continue
			}
			objects, err := document.Parse()
			if err != nil {
				continue
			}
			for _, object := range objects {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				use(object.Value)
			}
		}
	}
	return nil
}

func mentions(text []byte, words []string) bool {
	for _, word := range words {
		if bytes.Contains(text, []byte(word)) {
			return true
		}
	}
	return false
}

type collector struct {
	world  *facts.World
	linter Linter
}

func (c collector) fact(object map[string]any) {
	about := identify(object, c.linter.Namespace)
	switch about.groupKind() {
	case istio.Kind + "." + istio.Group:
		c.world.SetIstio(c.linter.istio(object))
	case "Service":
		c.world.SetService(about.namespacedName(), service(object))
	case "Namespace":
		c.world.SetNamespace(about.name, policy.Namespace{Annotations: annotation.Own(annotation.Of(object)), Labels: namespaceLabels(about.name, object)})
	case v1alpha1.Kind + "." + v1alpha1.GroupVersion.Group:
		c.world.SetPolicy(clusterPolicy(object))
	case "Gateway.networking.istio.io":
		c.world.SetGateway(about.namespacedName(), istio.GatewayDomain(object))
	case "VirtualService.networking.istio.io":
		if !istio.MadeByKyma(object) {
			c.world.SetVirtualService(about.namespacedName(), istio.ParseVirtualService(object))
		}
	case "AuthorizationPolicy.security.istio.io":
		c.world.SetShields(about.namespacedName(), istio.ParseShields(object))
		// Of the APIRules among the manifests not all is kept, so that nobody can tell what
		// of Kyma's is left over.
		if parsed := istio.ParseAuthorizationPolicy(object); !parsed.Kyma {
			c.world.SetAuthorizationPolicy(about.namespacedName(), facts.AuthorizationPolicyOf(parsed))
		}
	}
}

// namespaceLabels returns the labels that a Namespace has in a cluster: the API
// server adds its name (KEP-2161), which policies select by.
func namespaceLabels(name string, object map[string]any) map[string]string {
	labels := maps.Clone(annotation.LabelsOf(object))
	if labels == nil {
		labels = make(map[string]string, 1)
	}
	labels[corev1.LabelMetadataName] = name
	return labels
}

// clusterPolicy compiles an ExtAuthPolicy; one that does not decode has a fault,
// and matches nothing.
func clusterPolicy(object map[string]any) policy.ClusterPolicy {
	typed := &v1alpha1.ExtAuthPolicy{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, typed); err != nil {
		return policy.ClusterPolicy{Name: identify(object, "").name, Fault: err.Error()}
	}
	return policy.CompilePolicy(typed)
}

func service(object map[string]any) policy.Service {
	value := policy.Service{Annotations: annotation.Own(annotation.Of(object))}
	selector, _, _ := unstructured.NestedStringMap(object, "spec", "selector")
	value.Selector = policy.SelectorOf(selector)
	spec, _ := object["spec"].(map[string]any)
	ports, _ := spec["ports"].([]any)
	for _, entry := range ports {
		port, _ := entry.(map[string]any)
		if number, ok := port["port"].(int64); ok && number > 0 && number <= 65535 {
			value.Ports = append(value.Ports, int32(number))
		}
	}
	return value
}

// users keeps, for each Service and authorizer, the first two APIRules by name.
type users map[use][]types.NamespacedName

type use struct {
	service    types.NamespacedName
	authorizer string
	strategy   apirule.Strategy
}

func (u users) add(view apirule.View) {
	for _, rule := range view.Rules {
		if !rule.Protected() || rule.Service.Name == "" {
			continue
		}
		if rule.Strategy == apirule.JWT {
			u.keep(use{service: rule.Service, strategy: apirule.JWT}, view.NamespacedName())
		}
		for _, authorizer := range rule.Authorizers {
			u.keep(use{rule.Service, authorizer, apirule.ExtAuth}, view.NamespacedName())
		}
	}
}

func (u users) keep(of use, name types.NamespacedName) {
	names := u[of]
	for i, other := range names {
		switch {
		case other == name:
			return
		case name.Namespace < other.Namespace || (name.Namespace == other.Namespace && name.Name < other.Name):
			names[i], name = name, other
		}
	}
	if len(names) < 2 {
		u[of] = append(names, name)
	}
}

// views returns APIRules that have nothing but what they bring.
func (u users) views() []apirule.View {
	byName := map[types.NamespacedName]apirule.View{}
	for of, names := range u {
		for _, name := range names {
			view := byName[name]
			view.Namespace, view.Name = name.Namespace, name.Name
			rule := apirule.Rule{Index: len(view.Rules), Strategy: of.strategy, Service: of.service}
			if of.authorizer != "" {
				rule.Authorizers = []string{of.authorizer}
			}
			view.Rules = append(view.Rules, rule)
			byName[name] = view
		}
	}
	views := make([]apirule.View, 0, len(byName))
	for _, view := range byName {
		views = append(views, view)
	}
	return views
}
