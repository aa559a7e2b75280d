// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/registry"
	"github.com/extauth-guard/extauth-guard/pkg/registry/cluster"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// Manager is the webhook server with everything that it needs.
type Manager struct {
	manager manager.Manager
	delay   time.Duration
	ready   *readiness
	log     logr.Logger
}

// NewManager wires the webhook server for the cluster behind rest. It connects
// to nothing yet; in the mode "local" it writes certificates.
func NewManager(rest *rest.Config, settings config.WebhookConfig, log logr.Logger) (*Manager, error) {
	return NewManagerAt(rest, settings, clock.RealClock{}, log)
}

// NewManagerAt is NewManager by another clock; see [RunAt].
func NewManagerAt(rest *rest.Config, settings config.WebhookConfig, by clock.WithTicker, log logr.Logger) (*Manager, error) {
	certificate, err := newCertificate(rest, settings.Certificates, by, log)
	if err != nil {
		return nil, err
	}
	who, err := newClients(settings.Server)
	if err != nil {
		return nil, err
	}
	server := ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: settings.Server.Host,
		Port: settings.Server.Port,
		TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.MinVersion = tls.VersionTLS13
			c.GetCertificate = certificate.GetCertificate
			who.ask(c)
		}},
	})
	mgr, err := ctrl.NewManager(rest, ctrl.Options{
		Logger:                 log,
		WebhookServer:          server,
		Metrics:                metricsserver.Options{BindAddress: settings.Metrics.Address},
		HealthProbeBindAddress: settings.Probes.Address,
	})
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	if err := mgr.Add(certificate); err != nil {
		return nil, fmt.Errorf("adding the certificate: %w", err)
	}
	source, err := cluster.New(rest)
	if err != nil {
		return nil, fmt.Errorf("preparing the registry: %w", err)
	}
	if err := mgr.Add(source); err != nil {
		return nil, fmt.Errorf("adding the registry: %w", err)
	}
	if err := mgr.Add(garbage{clock: by, live: liveHeap, set: debug.SetGCPercent}); err != nil {
		return nil, fmt.Errorf("adding the care for garbage: %w", err)
	}
	measured, err := metrics.NewAdmission(ctrlmetrics.Registry)
	if err != nil {
		return nil, fmt.Errorf("registering the metrics: %w", err)
	}
	if err := metrics.RegisterWorld(ctrlmetrics.Registry, func() metrics.World { return worldInNumbers(source.World()) }); err != nil {
		return nil, fmt.Errorf("registering the metrics: %w", err)
	}
	decider := webhook.Decider{Source: source, Settings: policySettings(settings.Policy), Metrics: measured, Now: by.Now, Log: log.WithName("webhook")}
	if err := addControllers(mgr, rest, source, settings, by, log); err != nil {
		return nil, err
	}
	ready := &readiness{serving: serving(certificate, server.StartedChecker()), synced: source.Synced}
	register(mgr.GetWebhookServer(), decider, func(next http.Handler) http.Handler { return who.only(limited(ready.leaving(next))) }) // asking for the server is what makes the manager start it
	if err := ready.register(mgr); err != nil {
		return nil, err
	}
	return &Manager{manager: mgr, delay: settings.Server.ShutdownDelay.Duration, ready: ready, log: log}, nil
}

// Start serves until ctx ends, then becomes unready and goes on answering for
// the shutdown delay, so that no request meets a closed port. It may be called
// once.
func (m *Manager) Start(ctx context.Context) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go func() {
		select {
		case <-ctx.Done():
		case <-serving.Done(): // the manager ended by itself
			return
		}
		m.ready.drain()
		m.log.Info("Stopping", "delay", m.delay.String())
		delay := time.NewTimer(m.delay)
		defer delay.Stop()
		select {
		case <-delay.C:
		case <-serving.Done():
		}
		stop()
	}()
	return m.manager.Start(serving)
}

func register(server ctrlwebhook.Server, decider webhook.Decider, around func(http.Handler) http.Handler) {
	for path, handler := range map[string]webhook.Handler{
		webhook.MutateAPIRulePath:   &webhook.Injector{Decider: decider},
		webhook.ValidateAPIRulePath: &webhook.Validator{Decider: decider},
		webhook.ValidateIstioPath:   &webhook.IstioGuard{Decider: decider},
		webhook.ValidateServicePath: &webhook.AnnotationGuard{
			Decider: decider, Hook: webhook.ValidateService, Kind: annotation.Service, Resource: "services",
		},
		webhook.ValidateNamespacePath: &webhook.AnnotationGuard{
			Decider: decider, Hook: webhook.ValidateNamespace, Kind: annotation.Namespace, Resource: "namespaces",
		},
	} {
		server.Register(path, around(webhook.Serving(handler, decider.Log)))
	}
}

func worldInNumbers(world *registry.World) metrics.World {
	authorizers := world.Registry()
	numbers := metrics.World{RegistryKnown: authorizers.Known, Authorizers: len(authorizers.Names()), Objects: map[string]int{}}
	for kind, count := range world.Sizes() {
		numbers.Objects[string(kind)] = count
	}
	return numbers
}

func policySettings(choices config.WebhookPolicy) policy.Settings {
	settings := policy.Settings{
		DefaultAuthorizers: choices.DefaultAuthorizers,
		ExcludedNamespaces: map[string]bool{},
		UnknownRegistry:    policy.Deny,
		SeveralAuthorizers: choices.SeveralAuthorizers == config.Warn,
	}
	for _, names := range [][]string{webhook.SystemNamespaces(), choices.ExcludedNamespaces} {
		for _, name := range names {
			settings.ExcludedNamespaces[name] = true
		}
	}
	if choices.UnknownRegistry == config.Warn {
		settings.UnknownRegistry = policy.Warn
	}
	return settings
}
