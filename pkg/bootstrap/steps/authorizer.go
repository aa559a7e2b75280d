// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/profile"
)

// profile is the form of our entry.
func (e Environment) profile() profile.Profile {
	if e.Config.Flow == config.FlowAuthorizationCode {
		return profile.OAuth2ProxySignIn()
	}
	return profile.OAuth2ProxyTokens()
}

// authorizer is our entry in the active Istio CR.
type authorizer struct{ Environment }

// Name is "authorizer".
func (*authorizer) Name() string { return "authorizer" }

// Observe compares our entry.
func (a *authorizer) Observe(ctx context.Context) (bootstrap.Observation, error) {
	object, view, _, err := a.activeIstio(ctx)
	if err != nil {
		return bootstrap.Observation{}, err
	}
	if object == nil {
		return blocked("NoIstioCR", "there is no Istio CR in %s", istio.Namespace), nil
	}
	if foreign := a.foreign(view); foreign != "" {
		return blocked("Foreign", "%s", foreign), nil
	}
	_, changed := istio.EnsureAuthorizer(authorizers(object), a.entry())
	if changed {
		return needed("Differs", "authorizer %q is to be registered in Istio CR %s", a.Config.Authorizer.Name, view.NamespacedName()), nil
	}
	return done("Registered", "authorizer %q in Istio CR %s", a.Config.Authorizer.Name, view.NamespacedName()), nil
}

// Apply writes the list as it was read, with our entry in it, under the version
// that was read. Whoever wrote in between makes it start over from what they
// wrote.
func (a *authorizer) Apply(ctx context.Context) error {
	return a.edit(ctx, func(list []any) ([]any, bool) { return istio.EnsureAuthorizer(list, a.entry()) })
}

// ObserveUndo is Blocked while APIRules name the authorizer: without it every
// request to them is denied.
func (a *authorizer) ObserveUndo(ctx context.Context) (bootstrap.Observation, error) {
	object, view, _, err := a.activeIstio(ctx)
	if err != nil {
		return bootstrap.Observation{}, err
	}
	name := a.Config.Authorizer.Name
	registered := false
	for _, entry := range view.Authorizers {
		registered = registered || entry.Name == name
	}
	switch {
	case object == nil || !registered:
		return done("Absent", "no authorizer %q is registered", name), nil
	case a.foreign(view) != "":
		return done("Kept", "authorizer %q is not the job's and is kept", name), nil
	}
	users, err := a.users(ctx)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case len(users) > 0:
		return blocked("InUse", "authorizer %q is used by the APIRules %s; without it all their requests are denied; take it out of them first",
			name, strings.Join(users, ", ")), nil
	}
	return needed("Registered", "authorizer %q is to be removed from Istio CR %s", name, view.NamespacedName()), nil
}

// Undo removes our entry and nothing else.
func (a *authorizer) Undo(ctx context.Context) error {
	return a.edit(ctx, func(list []any) ([]any, bool) { return istio.RemoveAuthorizer(list, a.Config.Authorizer.Name) })
}

// edit changes the list by a merge patch with the resourceVersion in it. Nothing
// but the list is sent, and the API server refuses it if anything was changed
// since it was read.
func (a *authorizer) edit(ctx context.Context, change func([]any) ([]any, bool)) error {
	err := retry.RetryOnConflict(patience(), func() error {
		object, view, _, err := a.activeIstio(ctx)
		if err != nil {
			return err
		}
		if object == nil {
			return fmt.Errorf("there is no Istio CR in %s", istio.Namespace)
		}
		if foreign := a.foreign(view); foreign != "" {
			return &bootstrap.BlockedError{Step: a.Name(), Observation: blocked("Foreign", "%s", foreign)}
		}
		list, changed := change(authorizers(object))
		if !changed {
			return nil
		}
		before := object.DeepCopy()
		if err := setAuthorizers(object, list); err != nil {
			return err
		}
		return a.Client.Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
	if apierrors.IsConflict(err) {
		return fmt.Errorf("writing the Istio CR: somebody else keeps changing it: %w", err)
	}
	if err != nil {
		return fmt.Errorf("writing the Istio CR: %w", err)
	}
	return nil
}

// patience is how often the list is read and written again while others write it
// too: some ten seconds, at moments that are not theirs.
func patience() wait.Backoff {
	return wait.Backoff{Steps: 36, Duration: 5 * time.Millisecond, Factor: 1.15, Jitter: 1}
}

// foreign says why an entry of our name is not ours: it sends requests to
// something else than the proxy that this job installs.
func (a *authorizer) foreign(view istio.View) string {
	for _, entry := range view.Authorizers {
		if entry.Name != a.Config.Authorizer.Name {
			continue
		}
		host := entry.Service
		if _, rest, found := strings.Cut(host, "/"); found {
			host = rest
		}
		if host != a.serviceHost() {
			return fmt.Sprintf("%s of Istio CR %s is named %q and points to %q, not to %s; rename or remove it there, or set another authorizer.name",
				entry.Field(), view.NamespacedName(), entry.Name, entry.Service, a.serviceHost())
		}
		return ""
	}
	return ""
}

// users names the APIRules that the authorizer would be missing for.
func (a *authorizer) users(ctx context.Context) ([]string, error) {
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(apiRuleGVK())
	if err := a.Client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing the APIRules that use the authorizer: %w", err)
	}
	var users []string
	for _, item := range list.Items {
		if usesAuthorizer(item.Object, a.Config.Authorizer.Name) {
			users = append(users, item.GetNamespace()+"/"+item.GetName())
		}
	}
	return users, nil
}

func usesAuthorizer(apiRule map[string]any, name string) bool {
	rules, _, _ := unstructured.NestedSlice(apiRule, "spec", "rules")
	for _, rule := range rules {
		object, _ := rule.(map[string]any)
		names, _, _ := unstructured.NestedStringSlice(object, "extAuth", "authorizers")
		if slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// entry is what we register.
func (a *authorizer) entry() map[string]any {
	return a.profile().Entry(a.Config.Authorizer.Name, a.serviceHost(), proxyPort, a.Config.Authorizer.Timeout.Duration.String())
}

// asEnvoy returns our entry as the ext_authz filter gets it.
func (e Environment) asEnvoy() extauthz.Authorizer {
	form := e.profile()
	entry := form.Headers()
	list := func(fields ...string) []string {
		names, _, _ := unstructured.NestedStringSlice(entry, fields...)
		return names
	}
	add, _, _ := unstructured.NestedStringMap(entry, "inCheck", "add")
	return extauthz.Authorizer{
		Service: e.serviceHost(), Port: proxyPort, PathPrefix: form.PathPrefix,
		Timeout:           min(e.Config.Authorizer.Timeout.Duration, e.Config.Timeouts.Request.Duration, time.Minute),
		IncludeHeaders:    list("inCheck", "include"),
		AddHeaders:        add,
		UpstreamOnAllow:   list("toUpstream", "onAllow"),
		DownstreamOnAllow: list("toDownstream", "onAllow"),
		DownstreamOnDeny:  list("toDownstream", "onDeny"),
	}
}

// authorizers returns the raw list; something that is no list is none, and the
// API server's schema does not let it be anything else.
func authorizers(object *unstructured.Unstructured) []any {
	list, _, _ := unstructured.NestedSlice(object.Object, "spec", "config", "authorizers")
	return list
}

// setAuthorizers puts the list back; an empty one is removed, as before the first
// run.
func setAuthorizers(object *unstructured.Unstructured, list []any) error {
	if len(list) == 0 {
		unstructured.RemoveNestedField(object.Object, "spec", "config", "authorizers")
		return nil
	}
	if err := unstructured.SetNestedSlice(object.Object, list, "spec", "config", "authorizers"); err != nil {
		return fmt.Errorf("setting spec.config.authorizers: %w", err)
	}
	return nil
}
