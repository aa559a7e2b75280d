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

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/facts/cluster"
	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/settings"
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
func NewManager(rest *rest.Config, configured config.WebhookConfig, log logr.Logger) (*Manager, error) {
	return NewManagerAt(rest, configured, clock.RealClock{}, log)
}

// NewManagerAt is NewManager by another clock; see [RunAt].
func NewManagerAt(rest *rest.Config, configured config.WebhookConfig, by clock.WithTicker, log logr.Logger) (*Manager, error) {
	certificate, err := newCertificate(rest, configured.Certificates, by, log)
	if err != nil {
		return nil, err
	}
	who, err := newClients(configured.Server)
	if err != nil {
		return nil, err
	}
	secured := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, GetCertificate: certificate.GetCertificate}
	who.ask(secured)
	server := newServer(configured.Server.Host, configured.Server.Port, secured, log.WithName("server"))
	mgr, err := ctrl.NewManager(rest, ctrl.Options{
		Logger:                 log,
		WebhookServer:          server,
		Metrics:                metricsserver.Options{BindAddress: configured.Metrics.Address},
		HealthProbeBindAddress: configured.Probes.Address,
	})
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	mgr.GetWebhookServer() // asking for the server is what makes the manager start it
	if err := mgr.Add(certificate); err != nil {
		return nil, fmt.Errorf("adding the certificate: %w", err)
	}
	holder := settings.New(configured)
	source, err := newSource(rest, configured.Module, holder)
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
	decider := webhook.Decider{
		Source: source, Settings: holder.Settings, Recent: facts.NewRecent(source.World()), ForeignNames: holder.ForeignNames,
		Metrics: measured, Now: by.Now, Log: log.WithName("webhook"),
	}
	if err := addControllers(mgr, rest, source, configured, holder, certificate, by, log); err != nil {
		return nil, err
	}
	ready := &readiness{serving: serving(certificate, server.StartedChecker()), synced: source.Synced, log: log.WithName("readiness")}
	register(server, decider, func(next http.Handler) http.Handler { return who.only(limited(ready.leaving(next))) })
	if err := ready.register(mgr); err != nil {
		return nil, err
	}
	return &Manager{manager: mgr, delay: configured.Server.ShutdownDelay.Duration, ready: ready, log: log}, nil
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

func register(server *server, decider webhook.Decider, around func(http.Handler) http.Handler) {
	limits := webhook.NewLimits(memoryLimit())
	for path, one := range map[string]struct {
		hook    webhook.Hook
		handler webhook.Handler
	}{
		webhook.MutateAPIRulePath:   {webhook.MutateAPIRule, &webhook.Injector{Decider: decider}},
		webhook.ValidateAPIRulePath: {webhook.ValidateAPIRule, &webhook.Validator{Decider: decider}},
		webhook.ValidateIstioPath:   {webhook.ValidateIstio, &webhook.IstioGuard{Decider: decider}},
		webhook.ValidateServicePath: {webhook.ValidateService, &webhook.AnnotationGuard{
			Decider: decider, Hook: webhook.ValidateService, Kind: annotation.Service, Resource: "services",
		}},
		webhook.ValidateNamespacePath: {webhook.ValidateNamespace, &webhook.AnnotationGuard{
			Decider: decider, Hook: webhook.ValidateNamespace, Kind: annotation.Namespace, Resource: "namespaces",
		}},
	} {
		server.Register(path, around(&webhook.Endpoint{
			Hook: one.hook, Handler: one.handler, Limits: limits, LiveReads: cluster.LiveReadLimit, Metrics: decider.Metrics, Now: decider.Now, Log: decider.Log,
		}))
	}
}

func worldInNumbers(world *facts.World) metrics.World {
	authorizers := world.Registry()
	numbers := metrics.World{RegistryKnown: authorizers.Known, Authorizers: len(authorizers.Names()), Objects: map[string]int{}}
	for kind, count := range world.Sizes() {
		numbers.Objects[string(kind)] = count
	}
	return numbers
}
