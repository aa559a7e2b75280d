// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"sync/atomic"

	"k8s.io/client-go/rest"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/controllers/audit"
	"github.com/extauth-guard/extauth-guard/pkg/controllers/module"
	"github.com/extauth-guard/extauth-guard/pkg/facts/cluster"
	"github.com/extauth-guard/extauth-guard/pkg/settings"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// newSource returns the watches, with that of the ExtAuthGuards if this is a module.
func newSource(rest *rest.Config, module config.Module, holder *settings.Holder) (*cluster.Source, error) {
	source, err := cluster.New(rest)
	if err == nil && module.Enabled {
		source.WatchGuards(holder)
	}
	return source, err
}

// addModule adds the controller that tells Kyma how the installation is, and returns
// what the audit has to tell it. What an earlier term found is no part of it.
func (p parts) addModule(all *[]controller) (told func(audit.Coverage)) {
	options := module.Options{
		World: p.source.World(), Holder: p.holder, Typed: p.typed, Untyped: p.untyped, Recorder: p.manager.GetEventRecorder("extauth-guard-module"),
		Hooks: webhook.ConfigurationName, Certificate: p.serves.GetCertificate, Clock: p.clock, Log: p.log.WithName("module"),
	}
	var last atomic.Pointer[module.Coverage]
	if p.choices.Audit.Enabled {
		options.Coverage = last.Load
	}
	tells := module.New(options)
	*all = append(*all, tells)
	return func(found audit.Coverage) {
		coverage := module.Coverage(found)
		last.Store(&coverage)
		tells.Wake()
	}
}
