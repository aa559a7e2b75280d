// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
)

// callback exposes the proxy's own host, where the issuer sends people back to.
// Its APIRule has to be open (noAuth): who comes there has no session yet. That
// APIRule makes Kyma allow the ingress gateway alone, so a policy of ours lets
// the workloads' sidecars in, too; else every check would get 403. The shield is the
// other half of a flow with identity headers, see [istio.ShieldSpec].
type callback struct{ Environment }

// Name is "callback".
func (*callback) Name() string { return "callback" }

// Observe looks for the objects and for others that have the host.
func (c *callback) Observe(ctx context.Context) (bootstrap.Observation, error) {
	wanted, host, err := c.objects(ctx)
	if err != nil {
		return bootstrap.Observation{}, err
	}
	taken, err := c.taken(ctx, host)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case taken != "":
		return blocked("HostTaken", "host %s belongs to %s; remove it there, or set another callback.host", host, taken), nil
	}
	for _, want := range wanted {
		found, err := c.find(ctx, want)
		switch {
		case err != nil:
			return bootstrap.Observation{}, err
		case found == nil:
			return needed("Absent", "%s is to be created", describe(want)), nil
		case !ours(found):
			return blocked("Foreign", "%s exists and was not made by this job; remove or rename it", describe(want)), nil
		case !holds(found.Object["spec"], want.Object["spec"]):
			return needed("Differs", "%s is to be brought up to date", describe(want)), nil
		}
	}
	return done("Exposed", "https://%s/oauth2/callback", host), nil
}

// Apply creates or corrects the objects, the policies first.
func (c *callback) Apply(ctx context.Context) error {
	wanted, _, err := c.objects(ctx)
	if err != nil {
		return err
	}
	for _, want := range wanted {
		found, err := c.find(ctx, want)
		switch {
		case err != nil:
			return err
		case found == nil:
			err = c.Client.Create(ctx, want)
		default:
			found.Object["spec"] = want.Object["spec"]
			err = c.Client.Update(ctx, found)
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", describe(want), err)
		}
	}
	return nil
}

// ObserveUndo says Needed if one of ours is there.
func (c *callback) ObserveUndo(ctx context.Context) (bootstrap.Observation, error) {
	for _, name := range c.names() {
		found, err := c.find(ctx, name)
		switch {
		case err != nil:
			return bootstrap.Observation{}, err
		case found != nil && ours(found) && found.GetDeletionTimestamp() == nil:
			return needed("Present", "%s is to be deleted", describe(name)), nil
		}
	}
	return done("Absent", "the callback's objects are gone"), nil
}

// Undo deletes ours, the APIRule first.
func (c *callback) Undo(ctx context.Context) error {
	for _, name := range slices.Backward(c.names()) {
		found, err := c.find(ctx, name)
		if err != nil {
			return err
		}
		if found == nil || !ours(found) {
			continue
		}
		if err := c.Client.Delete(ctx, found); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting %s: %w", describe(name), err)
		}
	}
	return nil
}

// callbackHost returns the proxy's own host.
func (e Environment) callbackHost(domain string) string {
	if e.Config.Callback.Host != "" {
		return e.Config.Callback.Host
	}
	return "oauth2-proxy." + domain
}

// names returns the objects without content, in the order in which they are written.
func (c *callback) names() []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		newObject(authorizationPolicyGVK(), client.ObjectKey{Namespace: istio.MeshNamespace, Name: c.Config.Proxy.Namespace + "-" + c.Config.Proxy.Release + "-shield"}),
		newObject(authorizationPolicyGVK(), c.key(c.Config.Proxy.Release+"-allow-internal")),
		newObject(apiRuleGVK(), c.key(c.Config.Proxy.Release)),
	}
}

// objects returns what is wanted, beside the shield as in Kyma's authorization-code tutorial.
func (c *callback) objects(ctx context.Context) ([]*unstructured.Unstructured, string, error) {
	domain, err := c.domain(ctx)
	if err != nil {
		return nil, "", err
	}
	host := c.callbackHost(domain)
	names := c.names()
	for _, object := range names {
		object.SetLabels(map[string]string{managedBy: Owner})
	}
	// Envoy replaces only the headers that the proxy answers with; one that it leaves out,
	// such as the groups of somebody without any, would reach the workload as it was sent.
	names[0].Object["spec"] = istio.ShieldSpec(domain, oauth2proxy.IdentityHeaders())
	names[1].Object["spec"] = map[string]any{
		"action": "ALLOW",
		"selector": map[string]any{"matchLabels": map[string]any{
			"app.kubernetes.io/instance": c.Config.Proxy.Release,
			"app.kubernetes.io/name":     c.Config.Proxy.Chart.Name,
		}},
		"rules": []any{map[string]any{
			"from": []any{map[string]any{"source": map[string]any{"principals": strings2any("cluster.local/ns/*")}}},
			"to":   []any{map[string]any{"operation": map[string]any{"notPaths": strings2any("/ping", "/ready")}}},
		}},
	}
	names[2].Object["spec"] = map[string]any{
		"gateway": c.Config.Gateway,
		"hosts":   []any{host},
		"service": map[string]any{"name": c.Config.Proxy.Release, "port": int64(proxyPort)},
		"rules": []any{map[string]any{
			"path": "/*", "methods": strings2any("GET", "POST", "PATCH", "DELETE", "OPTIONS"), "noAuth": true,
		}},
	}
	return names, host, nil
}

// taken names who else has the host: an APIRule, or a VirtualService that does
// not stem from ours.
func (c *callback) taken(ctx context.Context, host string) (string, error) {
	own := c.key(c.Config.Proxy.Release)
	for _, gvk := range []schema.GroupVersionKind{apiRuleGVK(), virtualServiceGVK()} {
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(gvk)
		err := c.Client.List(ctx, &list)
		switch {
		case meta.IsNoMatchError(err):
			continue
		case err != nil:
			return "", fmt.Errorf("looking who has host %s: %w", host, err)
		}
		for i := range list.Items {
			item := &list.Items[i]
			hosts, _, _ := unstructured.NestedStringSlice(item.Object, "spec", "hosts")
			if slices.Contains(hosts, host) && client.ObjectKeyFromObject(item) != own && !madeFor(item, own) {
				return describe(item), nil
			}
		}
	}
	return "", nil
}

// madeFor says whether Kyma made a VirtualService for the APIRule (Kyma
// api-gateway 3.5, owner labels).
func madeFor(item *unstructured.Unstructured, apiRule client.ObjectKey) bool {
	labels := item.GetLabels()
	return labels["apirule.gateway.kyma-project.io/name"] == apiRule.Name &&
		labels["apirule.gateway.kyma-project.io/namespace"] == apiRule.Namespace
}

// find returns the object as it is, or nil.
func (c *callback) find(ctx context.Context, want *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	found := newObject(want.GroupVersionKind(), client.ObjectKeyFromObject(want))
	err := c.Client.Get(ctx, client.ObjectKeyFromObject(want), found)
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", describe(want), err)
	}
	return found, nil
}

func describe(object *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
}

// holds says whether have has everything of want; what the API server or
// somebody else added in maps does not matter.
func holds(have, want any) bool {
	haveMap, haveIsMap := have.(map[string]any)
	wantMap, wantIsMap := want.(map[string]any)
	if !haveIsMap || !wantIsMap {
		return equality.Semantic.DeepEqual(have, want)
	}
	for key, value := range wantMap {
		if !holds(haveMap[key], value) {
			return false
		}
	}
	return true
}

func strings2any(names ...string) []any {
	out := make([]any, 0, len(names))
	for _, name := range names {
		out = append(out, name)
	}
	return out
}
