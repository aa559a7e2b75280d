// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"

	"github.com/go-logr/logr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/controllers/audit"
	"github.com/extauth-guard/extauth-guard/pkg/controllers/callers"
	"github.com/extauth-guard/extauth-guard/pkg/controllers/expose"
	"github.com/extauth-guard/extauth-guard/pkg/controllers/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/controllers/reinject"
	"github.com/extauth-guard/extauth-guard/pkg/facts/cluster"
	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/settings"
)

// addControllers adds the controllers that the settings ask for, to run on the
// one replica that leads.
func addControllers(mgr manager.Manager, config *rest.Config, source *cluster.Source, configured config.WebhookConfig,
	holder *settings.Holder, serves certificate, by clock.WithTicker, log logr.Logger,
) error {
	// The API server's own priority and fairness is the limit; what writes much
	// has a limit of its own.
	config = rest.CopyConfig(config)
	config.QPS = -1
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client for the controllers: %w", err)
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a dynamic client for the controllers: %w", err)
	}
	measured, err := metrics.NewAudit(ctrlmetrics.Registry)
	if err != nil {
		return fmt.Errorf("registering the metrics of the audit: %w", err)
	}
	parts := parts{
		measured: measured,
		source:   source, typed: typed, untyped: untyped, manager: mgr, clock: by, log: log,
		choices: configured.Controllers, module: configured.Module, holder: holder, serves: serves,
	}
	err = mgr.Add(&leader{
		config: config, election: configured.LeaderElection, synced: source.Synced,
		controllers: parts.controllers, log: log.WithName("leader"),
	})
	if err != nil {
		return fmt.Errorf("adding the controllers: %w", err)
	}
	return nil
}

// parts is what controllers are made of.
type parts struct {
	source  *cluster.Source
	typed   kubernetes.Interface
	untyped dynamic.Interface
	manager manager.Manager
	// serves is the certificate of this replica.
	serves   certificate
	choices  config.Controllers
	module   config.Module
	holder   *settings.Holder
	measured *metrics.Audit
	clock    clock.WithTicker
	log      logr.Logger
}

// controllers makes those that are switched on, for one term.
func (p parts) controllers() []controller {
	var all []controller
	var told func(audit.Coverage)
	if p.module.Enabled {
		told = p.addModule(&all)
	}
	if p.choices.Audit.Enabled {
		all = append(all, audit.New(audit.Options{
			World: p.source.World(), Untyped: p.untyped, Discovery: p.typed.Discovery(), Recorder: p.manager.GetEventRecorder("extauth-guard-audit"),
			Settings: p.holder.Settings, Metrics: p.measured, Covered: told, Period: p.choices.Audit.Period.Duration, Now: p.clock.Now, Log: p.log.WithName("audit"),
		}))
	}
	if p.choices.Reinject.Enabled {
		all = append(all, reinject.New(reinject.Options{
			World: p.source.World(), Untyped: p.untyped, Recorder: p.manager.GetEventRecorder("extauth-guard-reinject"),
			Settings: p.holder.Settings, Now: p.clock.Now, Log: p.log.WithName("reinject"),
		}))
	}
	if p.choices.Expose.Enabled {
		all = append(all, expose.New(expose.Options{
			World: p.source.World(), Typed: p.typed, Untyped: p.untyped, Recorder: p.manager.GetEventRecorder("extauth-guard-expose"),
			Settings: p.holder.Settings, Gateway: p.choices.Expose.Gateway, ForeignNames: p.holder.ForeignNames, Now: p.clock.Now, Log: p.log.WithName("expose"),
		}))
	}
	if p.choices.Internal.Enabled {
		all = append(all, callers.New(callers.Options{
			World: p.source.World(), Typed: p.typed, Untyped: p.untyped, Recorder: p.manager.GetEventRecorder("extauth-guard-internal"),
			Settings: p.holder.Settings, Clock: p.clock, Log: p.log.WithName("internal"),
		}))
	}
	if p.choices.Guarantee.Enabled {
		all = append(all, guarantee.New(guarantee.Options{
			World: p.source.World(), Typed: p.typed, Namespace: p.choices.Guarantee.Namespace,
			Settings: p.holder.Settings, Clock: p.clock, Log: p.log.WithName("guarantee"),
		}))
	}
	return all
}
