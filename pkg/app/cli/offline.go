// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/facts/cluster"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/settings"
)

// worldFlags say where facts come from that are not in the manifests.
type worldFlags struct {
	authorizers []string
	istioCR     string
	config      string
	live        bool
	patience    time.Duration
	kube        *kubeFlags
	// notes is where a command says what it could not see, and what it waits for.
	notes io.Writer
}

// register adds the flags of a command that reads manifests.
func (f *worldFlags) register(cmd *cobra.Command, notes io.Writer) {
	f.registerCluster(cmd, notes)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.authorizers, "authorizers", nil, "the names of the registered `authorizers`, instead of an Istio CR")
	flags.StringVar(&f.istioCR, "istio-cr", "", "a `file` with the Istio CR that registers the authorizers")
	flags.StringVar(&f.config, "config", "", "the webhook's configuration `file`; without it the chart's defaults hold")
	flags.BoolVar(&f.live, "live", false, "read what the manifests lack from the current cluster")
	cmd.MarkFlagsMutuallyExclusive("authorizers", "istio-cr")
}

// registerCluster adds the flags of a command that reads the cluster.
func (f *worldFlags) registerCluster(cmd *cobra.Command, notes io.Writer) {
	f.notes = notes
	cmd.Flags().DurationVar(&f.patience, "live-timeout", 20*time.Second, "how long to wait for the cluster")
	f.kube = newKubeFlags()
	addKubeFlags(cmd, f.kube)
}

// known is what a command on manifests knows besides them.
type known struct {
	source    facts.Source
	settings  policy.Settings
	namespace string
	gateway   string
	complete  bool
	world     *facts.World
	istios    map[types.NamespacedName]istio.View
	now       time.Time
	// cluster is the address of the cluster, if one was read.
	cluster string
	// gaps are the kinds that could not be read.
	gaps []cluster.Gap
}

// linter returns a linter that knows all of it.
func (k *known) linter() lint.Linter {
	return lint.Linter{Source: k.source, Settings: k.settings, Namespace: k.namespace, Gateway: k.gateway, Now: k.now, Complete: k.complete, Istios: k.istios}
}

// gather collects everything that is known, from the manifests, the flags and,
// if asked to, the cluster.
func (f *worldFlags) gather(ctx context.Context, files []manifest.File) (*known, error) {
	settings, gateway, err := f.settings()
	if err != nil {
		return nil, exit.UsageError(err)
	}
	namespace := f.kube.namespace()
	if namespace == "" {
		namespace = "default"
	}
	world := facts.NewWorld("no Istio CR was given; give it with --istio-cr, name the --authorizers, or use --live")
	all := &known{source: world, world: world, settings: settings, gateway: gateway, namespace: namespace, now: time.Now()}
	if f.live {
		if world, err = all.read(ctx, f); err != nil {
			return nil, exit.UsageError(err)
		}
	}
	if err := all.linter().Collect(ctx, files, world); err != nil {
		return nil, err
	}
	if err := f.applyRegistry(world); err != nil {
		return nil, exit.UsageError(err)
	}
	return all, nil
}

// applyRegistry tells the world what the flags say about authorizers.
func (f *worldFlags) applyRegistry(world *facts.World) error {
	if len(f.authorizers) > 0 {
		world.SetRegistry(policy.StaticRegistry("--authorizers", f.authorizers))
	}
	if f.istioCR == "" {
		return nil
	}
	files, err := manifest.Find([]string{f.istioCR}, nil)
	if err != nil {
		return fmt.Errorf("reading --istio-cr: %w", err)
	}
	var views []istio.View
	for _, file := range files.List {
		for document, err := range file.Documents() {
			if err != nil {
				return fmt.Errorf("reading --istio-cr: %w", err)
			}
			objects, err := document.Parse()
			if err != nil {
				return fmt.Errorf("reading --istio-cr: %s: %w", file.Name, err)
			}
			for _, object := range objects {
				if object.Value["kind"] == istio.Kind {
					views = append(views, istio.Parse(object.Value))
				}
			}
		}
	}
	registry := world.RegistryOf(views)
	if !registry.Known {
		return fmt.Errorf("reading --istio-cr: %s has no Istio CR in the namespace %s", f.istioCR, istio.Namespace)
	}
	world.SetRegistry(registry)
	return nil
}

// settings returns those of the configuration, and the Gateway of Services that are
// exposed by annotation; "" if none is.
func (f *worldFlags) settings() (_ policy.Settings, gateway string, _ error) {
	choices := config.DefaultWebhook()
	if f.config != "" {
		raw, err := os.ReadFile(f.config)
		if err != nil {
			return policy.Settings{}, "", fmt.Errorf("reading --config: %w", err)
		}
		if choices, err = config.LoadWebhook(raw); err != nil {
			return policy.Settings{}, "", fmt.Errorf("reading --config: %w", err)
		}
	}
	inForce := settings.Of(choices)
	inForce.UnknownRegistry = policy.Deny // offline nothing is tried again
	if choices.Controllers.Expose.Enabled {
		gateway = choices.Controllers.Expose.Gateway
	}
	return inForce, gateway, nil
}
