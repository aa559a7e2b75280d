// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/registry"
	"github.com/extauth-guard/extauth-guard/pkg/registry/cluster"
)

// worldFlags say where facts come from that are not in the manifests.
type worldFlags struct {
	authorizers []string
	istioCR     string
	config      string
	live        bool
	patience    time.Duration
	kube        *genericclioptions.ConfigFlags
}

func (f *worldFlags) register(cmd *cobra.Command) {
	f.kube = kubeFlags()
	flags := cmd.Flags()
	flags.StringSliceVar(&f.authorizers, "authorizers", nil, "the names of the registered `authorizers`, instead of an Istio CR")
	flags.StringVar(&f.istioCR, "istio-cr", "", "a `file` with the Istio CR that registers the authorizers")
	flags.StringVar(&f.config, "config", "", "the webhook's configuration `file`; default: that of an installation that configures nothing")
	flags.BoolVar(&f.live, "live", false, "take what the manifests do not tell from the cluster")
	flags.DurationVar(&f.patience, "live-timeout", 20*time.Second, "how long --live waits for the cluster")
	cmd.MarkFlagsMutuallyExclusive("authorizers", "istio-cr")
	f.kube.AddFlags(flags)
}

// kubeFlags are the flags of kubectl that say which cluster is meant.
func kubeFlags() *genericclioptions.ConfigFlags {
	flags := genericclioptions.NewConfigFlags(true)
	flags.CacheDir, flags.CertFile, flags.KeyFile, flags.CAFile = nil, nil, nil, nil
	flags.BearerToken, flags.TLSServerName, flags.DisableCompression = nil, nil, nil
	flags.ImpersonateUID, flags.AuthInfoName, flags.ClusterName, flags.APIServer = nil, nil, nil, nil
	flags.Insecure = nil
	return flags
}

// known is what a command on manifests knows besides them.
type known struct {
	source    registry.Source
	settings  policy.Settings
	namespace string
	gateway   string
	complete  bool
	world     *registry.World
	istios    map[types.NamespacedName]istio.View
	now       time.Time
	// cluster is the address of the cluster, if one was read.
	cluster string
	// stop ends the watches, if there are any.
	stop func()
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
	namespace := *f.kube.Namespace
	if namespace == "" {
		namespace = "default"
	}
	world := registry.NewWorld("no Istio CR was given; give it with --istio-cr, name the --authorizers, or use --live")
	all := &known{source: world, world: world, settings: settings, gateway: gateway, namespace: namespace, now: time.Now(), stop: func() {}}
	if f.live {
		if world, err = all.connect(ctx, f); err != nil {
			return nil, exit.UsageError(err)
		}
	}
	if err := all.linter().Collect(ctx, files, world); err != nil {
		all.stop()
		return nil, err
	}
	if err := f.applyRegistry(world); err != nil {
		all.stop()
		return nil, exit.UsageError(err)
	}
	return all, nil
}

// applyRegistry tells the world what the flags say about authorizers.
func (f *worldFlags) applyRegistry(world *registry.World) error {
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
	settings := policy.Settings{
		DefaultAuthorizers: choices.Policy.DefaultAuthorizers,
		ExcludedNamespaces: map[string]bool{},
		UnknownRegistry:    policy.Deny,
		SeveralAuthorizers: choices.Policy.SeveralAuthorizers == config.Warn,
	}
	for _, name := range append(policy.SystemNamespaces(), choices.Policy.ExcludedNamespaces...) {
		settings.ExcludedNamespaces[name] = true
	}
	if choices.Controllers.Expose.Enabled {
		gateway = choices.Controllers.Expose.Gateway
	}
	return settings, gateway, nil
}

// connect starts watches and waits until they have read the cluster.
func (k *known) connect(ctx context.Context, flags *worldFlags) (*registry.World, error) {
	config, err := flags.kube.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if k.namespace, _, err = flags.kube.ToRawKubeConfigLoader().Namespace(); err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	source, err := cluster.New(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = source.Start(ctx)
	}()
	k.source, k.world, k.complete, k.cluster = source, source.World(), true, config.Host
	k.stop = func() {
		cancel()
		<-ended
	}
	if err := waitFor(ctx, flags.patience, source.Synced); err != nil {
		k.stop()
		return nil, fmt.Errorf("reading the cluster %s: %w; is it there, and may you read it? Without --live no cluster is needed", config.Host, err)
	}
	k.istios = source.World().Istios()
	return source.World(), nil
}

// waitFor asks until ready returns nil, and returns what it said last when time
// is up.
func waitFor(ctx context.Context, patience time.Duration, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return err
		case <-ticker.C:
		}
	}
}
