// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/selfcheck"
)

// selfCheck tries our own webhooks.
type selfCheck struct{ Environment }

// Name is "selfcheck".
func (*selfCheck) Name() string { return "selfcheck" }

// Observe makes the two creates of [selfcheck.Try].
func (s *selfCheck) Observe(ctx context.Context) (bootstrap.Observation, error) {
	domain, err := s.domain(ctx)
	if err != nil {
		return bootstrap.Observation{}, err
	}
	try := selfcheck.Try{
		Namespace: s.Config.SelfCheck.Namespace, Domain: domain, Gateway: s.Config.Gateway, Authorizer: s.Config.Authorizer.Name,
		Create: func(ctx context.Context, rule *unstructured.Unstructured) error {
			return s.Client.Create(ctx, rule, client.DryRunAll)
		},
	}
	for _, one := range []func(context.Context) error{try.Injects, try.Refuses} {
		err := one(ctx)
		var wrong *selfcheck.Wrong
		switch {
		case errors.As(err, &wrong):
			return needed("Unexpected", "%s", wrong), nil
		case err != nil:
			return bootstrap.Observation{}, err
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
