// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
)

// unregistered is a name that no authorizer has.
const unregistered = "extauth-guard-self-check-unregistered"

// selfCheck tries our own webhooks by two dry-run creates: one has to come back
// injected, one has to be refused. Nothing is stored.
type selfCheck struct{ Environment }

// Name is "selfcheck".
func (*selfCheck) Name() string { return "selfcheck" }

// Observe makes the two creates.
func (s *selfCheck) Observe(ctx context.Context) (bootstrap.Observation, error) {
	domain, err := s.domain(ctx)
	if err != nil {
		return bootstrap.Observation{}, err
	}
	for _, try := range []func(context.Context, string) (string, error){s.injects, s.refuses} {
		wrong, err := try(ctx, domain)
		if err != nil {
			return bootstrap.Observation{}, err
		}
		if wrong != "" {
			return needed("Unexpected", "%s", wrong), nil
		}
	}
	return done("Checked", "an annotated APIRule is injected, an unregistered authorizer is refused"), nil
}

// Apply waits: the webhooks may still be starting, and they learn of the new
// authorizer by a watch.
func (s *selfCheck) Apply(ctx context.Context) error {
	return bootstrap.Poll(ctx, s.Clock, s.Poll, func(ctx context.Context) (string, error) {
		seen, err := s.Observe(ctx)
		if err != nil || seen.State == bootstrap.Done {
			return "", err
		}
		return seen.Message, nil
	})
}

// injects creates an annotated APIRule without a strategy.
func (s *selfCheck) injects(ctx context.Context, domain string) (string, error) {
	rule := s.apiRule(domain, nil)
	rule.SetAnnotations(map[string]string{annotation.Inject: "true", annotation.Authorizers: s.Config.Authorizer.Name})
	err := s.Client.Create(ctx, rule, client.DryRunAll)
	switch {
	case apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err):
		return fmt.Sprintf("an APIRule that asks for injection was refused: %s; is the mutating webhook running?", err), nil
	case err != nil:
		return "", fmt.Errorf("creating an APIRule as a dry run: %w", err)
	case !usesAuthorizer(rule.Object, s.Config.Authorizer.Name):
		return "an APIRule that asks for injection came back without the authorizer; is the mutating webhook running?", nil
	}
	return "", nil
}

// refuses creates an APIRule whose authorizer nobody registered.
func (s *selfCheck) refuses(ctx context.Context, domain string) (string, error) {
	err := s.Client.Create(ctx, s.apiRule(domain, map[string]any{"authorizers": []any{unregistered}}), client.DryRunAll)
	switch {
	case err == nil:
		return "an APIRule with an unregistered authorizer was let through; is the validating webhook running?", nil
	case apierrors.IsInvalid(err) && strings.Contains(err.Error(), unregistered):
		return "", nil
	case apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err):
		return fmt.Sprintf("an APIRule with an unregistered authorizer was refused for another reason: %s", err), nil
	default:
		return "", fmt.Errorf("creating an APIRule as a dry run: %w", err)
	}
}

func (s *selfCheck) apiRule(domain string, extAuth map[string]any) *unstructured.Unstructured {
	object := newObject(apiRuleGVK(), client.ObjectKey{Namespace: s.Config.SelfCheck.Namespace, Name: "extauth-guard-self-check"})
	rule := map[string]any{"path": "/*", "methods": []any{"GET"}}
	if extAuth != nil {
		rule["extAuth"] = extAuth
	}
	object.Object["spec"] = map[string]any{
		"hosts":   []any{"extauth-guard-self-check." + domain},
		"gateway": s.Config.Gateway,
		"service": map[string]any{"name": "extauth-guard-self-check", "port": int64(80)},
		"rules":   []any{rule},
	}
	return object
}
