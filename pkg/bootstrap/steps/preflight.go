// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/pkg/oidc"
)

// preflight changes nothing. It looks at everything that the later steps need
// and names all that is missing at once.
type preflight struct {
	Environment
	// later are the steps of the run that somebody else can block.
	later []bootstrap.Step
}

// Name is "preflight".
func (*preflight) Name() string { return "preflight" }

// Observe is Done or Blocked.
func (p *preflight) Observe(ctx context.Context) (bootstrap.Observation, error) {
	var gaps []string
	var notes []string
	for _, check := range []func(context.Context) ([]string, string, error){
		p.apis, p.permissions, p.istioCR, p.gateway, p.client, p.advisories, p.blocked,
	} {
		missing, note, err := check(ctx)
		if err != nil {
			return bootstrap.Observation{}, err
		}
		for _, gap := range missing {
			// A later step may say what was said already.
			if !strings.Contains(strings.Join(gaps, "; "), gap) {
				gaps = append(gaps, gap)
			}
		}
		if note != "" {
			notes = append(notes, note)
		}
	}
	if len(gaps) > 0 {
		return blocked("Missing", "%s", strings.Join(gaps, "; ")), nil
	}
	return done("Complete", "%s", strings.Join(notes, "; ")), nil
}

// Apply is never called: preflight is never Needed.
func (*preflight) Apply(context.Context) error { return nil }

// apis checks that the API server knows the kinds.
func (p *preflight) apis(context.Context) ([]string, string, error) {
	wanted := map[schema.GroupVersionKind]string{istioGVK(): "Kyma's Istio module", apiRuleGVK(): "Kyma's API Gateway module"}
	order := []schema.GroupVersionKind{istioGVK(), apiRuleGVK()}
	if p.Config.Domain == config.Auto {
		wanted[gatewayGVK()], order = "Istio", append(order, gatewayGVK())
	}
	if p.Config.Flow == config.FlowAuthorizationCode {
		wanted[authorizationPolicyGVK()], order = "Istio", append(order, authorizationPolicyGVK())
	}
	var gaps []string
	for _, gvk := range order {
		_, err := p.Client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
		switch {
		case meta.IsNoMatchError(err):
			gaps = append(gaps, fmt.Sprintf("the cluster does not serve %s %s; install %s", gvk.GroupVersion(), gvk.Kind, wanted[gvk]))
		case err != nil:
			return nil, "", fmt.Errorf("looking for %s %s: %w", gvk.GroupVersion(), gvk.Kind, err)
		}
	}
	return gaps, "", nil
}

// permissions asks the API server about every right that a run can need, so that
// it does not end half way.
func (p *preflight) permissions(ctx context.Context) ([]string, string, error) {
	var missing []string
	for _, want := range Permissions(p.Config) {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: want.Namespace, Group: want.Group, Resource: want.Resource,
				Subresource: want.Subresource, Name: want.Name, Verb: want.Verb,
			},
		}}
		if err := p.Client.Create(ctx, review); err != nil {
			return nil, "", fmt.Errorf("asking for the permission to %s: %w", want, err)
		}
		if !review.Status.Allowed {
			missing = append(missing, want.String())
		}
	}
	if len(missing) == 0 {
		return nil, "", nil
	}
	return []string{"this ServiceAccount may not " + strings.Join(missing, ", ") + "; add these rules to its Role or ClusterRole"}, "", nil
}

// istioCR checks that there is an active Istio CR whose list is worth adding to:
// with a duplicate in it Kyma stops reconciling, and our entry would never take
// effect (Kyma istio, internal/validation/validation.go).
func (p *preflight) istioCR(ctx context.Context) ([]string, string, error) {
	_, view, others, err := p.activeIstio(ctx)
	switch {
	case meta.IsNoMatchError(err), apierrors.IsForbidden(err):
		return nil, "", nil // The missing API or permission was named already.
	case err != nil:
		return nil, "", err
	case view.Name == "":
		return []string{"there is no Istio CR in " + istio.Namespace + "; create one (Kyma's default is named \"default\")"}, "", nil
	}
	var gaps []string
	seen := map[string]bool{}
	for _, entry := range view.Authorizers {
		if entry.Name != "" && seen[entry.Name] {
			gaps = append(gaps, fmt.Sprintf("%s of the Istio CR %s/%s repeats the authorizer name %q, and Kyma applies nothing until it is unique (state %s: %s); remove one of the two",
				entry.Field(), view.Namespace, view.Name, entry.Name, view.State, view.Description))
		}
		seen[entry.Name] = true
	}
	note := fmt.Sprintf("Istio CR %s/%s", view.Namespace, view.Name)
	if others > 0 {
		note += fmt.Sprintf(" (the oldest of %d; Kyma ignores the others, remove them)", others+1)
	}
	return gaps, note, nil
}

func (p *preflight) gateway(ctx context.Context) ([]string, string, error) {
	domain, err := p.domain(ctx)
	switch {
	case meta.IsNoMatchError(err), apierrors.IsForbidden(err):
		return nil, "", nil
	case err != nil && ctx.Err() == nil:
		return []string{err.Error()}, "", nil
	case err != nil:
		return nil, "", err
	}
	return nil, "domain " + domain, nil
}

// client looks at the user's Secret and at the issuer, and then tries the one at
// the other, so that a wrong secret is known before anything is installed.
func (p *preflight) client(ctx context.Context) ([]string, string, error) {
	credentials, gaps, err := p.userCredentials(ctx)
	readable := !apierrors.IsForbidden(err)
	if err != nil && readable {
		return nil, "", err
	}
	// That it may not be read was named already.
	complete := readable && len(gaps) == 0
	metadata, problem := p.discover(ctx)
	note := "issuer " + metadata.Issuer
	if problem == nil && complete && p.Config.Flow == config.FlowClientCredentials {
		var doubts []string
		doubts, problem = p.try(ctx, metadata, credentials)
		note = strings.Join(append([]string{note}, doubts...), "; ")
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, "", ctx.Err()
	}
	if problem != nil {
		gaps = append(gaps, problem.Error())
	}
	return gaps, note, nil
}

// advisories holds the image and the flags that will be installed against the known
// holes of oauth2-proxy.
func (p *preflight) advisories(context.Context) ([]string, string, error) {
	// Neither domain nor fingerprint is part of what is looked at.
	values, err := newValues(p.Config, "example.com", "example.com", "")
	if err != nil {
		return nil, "", err
	}
	var gaps, notes []string
	for _, problem := range oauth2proxy.Check(imageTag(values), flagsOf(values)) {
		if problem.Unknown {
			notes = append(notes, "warning: "+problem.Message)
			continue
		}
		gaps = append(gaps, problem.Message)
	}
	return gaps, strings.Join(notes, "; "), nil
}

// blocked asks the later steps whether somebody else stands in their way, so that
// nothing is installed before that is known. What they cannot tell yet is for their
// own turn.
func (p *preflight) blocked(ctx context.Context) ([]string, string, error) {
	var gaps []string
	for _, step := range p.later {
		seen, err := step.Observe(ctx)
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		if err == nil && seen.State == bootstrap.Blocked {
			gaps = append(gaps, seen.Message)
		}
	}
	return gaps, "", nil
}

// discover reads the discovery document just as the proxy will when it starts, and
// exits if it does not like it.
func (p *preflight) discover(ctx context.Context) (oidc.Metadata, error) {
	metadata, err := oidc.Discover(ctx, p.Issuer, p.Config.Issuer.URL)
	if err == nil && p.Config.Flow == config.FlowClientCredentials {
		err = metadata.CheckClientCredentials()
	}
	return metadata, err
}

// try gets a token and says what may be wrong with it. Whether the proxy takes it
// depends on the proxy's flags, which users extend: only verify, which asks the
// proxy, decides.
func (p *preflight) try(ctx context.Context, metadata oidc.Metadata, credentials oidc.Credentials) ([]string, error) {
	token, err := oidc.ClientCredentials(ctx, p.Issuer, metadata, credentials, p.Config.Verify.Scopes...)
	if err != nil {
		return nil, err
	}
	var doubts []string
	for _, problem := range p.explainToken(token.Access, credentials.ClientID) {
		doubts = append(doubts, "warning: the proxy may refuse the client's tokens: "+problem)
	}
	return doubts, nil
}
