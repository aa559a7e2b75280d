// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/helm"
)

// proxy is the Helm release of oauth2-proxy.
type proxy struct {
	Environment
	// chart is loaded once in a run; it is pinned, so it cannot change.
	chart *helm.Chart
}

// Name is "proxy".
func (*proxy) Name() string { return "proxy" }

// Observe looks at the release and then at its Pods.
func (p *proxy) Observe(ctx context.Context) (bootstrap.Observation, error) {
	// First what needs neither the chart nor the credentials: preflight asks, too.
	state, err := p.Helm.Find(p.Config.Proxy.Release)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case state == helm.StateUnmanaged:
		return blocked("Foreign", "%s", &helm.UnmanagedError{Namespace: p.Config.Proxy.Namespace, Name: p.Config.Proxy.Release}), nil
	}
	release, err := p.release(ctx)
	switch {
	case errors.Is(err, helm.ErrDigest):
		return blocked("ChartDigest", "%s", err), nil
	case err != nil:
		return bootstrap.Observation{}, err
	}
	status, err := p.Helm.Observe(release)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case status.State != helm.StateInSync:
		return needed(string(status.State), "%s", status.Message), nil
	}
	unready, err := p.Helm.Unready(release.Name)
	switch {
	case err != nil:
		// A workload that is missing or stuck is for Apply to wait for, and to
		// explain if that does not help.
		return needed("Unready", "%s", err), nil
	case len(unready) > 0:
		return needed("Unready", "%s", strings.Join(unready, "; ")), nil
	}
	return done("Ready", "%s", status.Message), nil
}

// Apply installs, upgrades or heals, and waits for the Pods.
func (p *proxy) Apply(ctx context.Context) error {
	release, err := p.release(ctx)
	if err != nil {
		return err
	}
	if _, err := p.Helm.Ensure(ctx, release); err != nil {
		return err
	}
	err = bootstrap.Poll(ctx, p.Clock, p.Poll, func(context.Context) (string, error) {
		unready, err := p.Helm.Unready(release.Name)
		return strings.Join(unready, "; "), err
	})
	if err != nil {
		return p.explain(ctx, err)
	}
	return nil
}

// ObserveUndo says Needed if our release is there in any state.
func (p *proxy) ObserveUndo(context.Context) (bootstrap.Observation, error) {
	state, err := p.Helm.Find(p.Config.Proxy.Release)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case state == helm.StateAbsent:
		return done("Absent", "release %s is gone", p.key(p.Config.Proxy.Release)), nil
	case state == helm.StateUnmanaged:
		return done("Kept", "release %s is not the job's and is kept", p.key(p.Config.Proxy.Release)), nil
	}
	return needed("Present", "release %s is to be uninstalled", p.key(p.Config.Proxy.Release)), nil
}

// Undo uninstalls the release.
func (p *proxy) Undo(context.Context) error {
	_, err := p.Helm.Uninstall(p.Config.Proxy.Release)
	return err
}

// release says what is wanted. It needs the credentials to be there.
func (p *proxy) release(ctx context.Context) (helm.Release, error) {
	if p.chart == nil {
		from := p.Config.Proxy.Chart
		loaded, err := helm.Load(ctx, helm.Source{
			Repository: from.Repository, Name: from.Name, Version: from.Version, Digest: from.Digest,
		}, p.Charts)
		if err != nil {
			return helm.Release{}, err
		}
		p.chart = loaded
	}
	secret, err := p.secret(ctx)
	if err != nil {
		return helm.Release{}, err
	}
	if secret == nil {
		return helm.Release{}, fmt.Errorf("secret %s is not there yet", p.key(p.Config.Proxy.SecretName))
	}
	var domain, host string
	if p.Config.Flow == config.FlowAuthorizationCode {
		if domain, err = p.domain(ctx); err != nil {
			return helm.Release{}, err
		}
		host = p.callbackHost(domain)
	}
	values, err := newValues(p.Config, domain, host, fingerprint(secret))
	if err != nil {
		return helm.Release{}, err
	}
	return helm.Release{Name: p.Config.Proxy.Release, Chart: p.chart, Values: values}, nil
}
