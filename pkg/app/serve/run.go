// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package serve is the composition root of the webhook server: it turns a
// command line into a running manager. Nothing else imports it but the command
// and the tests that run what ships.
package serve

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	guard "github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/version"
)

// Run runs the webhook server with the arguments of a command line until ctx
// ends. Logs go to stderr, help to stdout. Wrong usage changes nothing.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return RunAt(ctx, clock.RealClock{}, args, stdout, stderr)
}

// RunAt is Run by another clock. Everything that this project decides by the time
// goes by it: the end of an exemption, the renewal of a certificate, the dates of
// a report. What libraries decide does not: TLS, the Lease, timeouts.
func RunAt(ctx context.Context, by clock.WithTicker, args []string, stdout, stderr io.Writer) error {
	run := func(ctx context.Context, settings guard.WebhookConfig, kubeconfig string, log logr.Logger) error {
		return serve(ctx, settings, kubeconfig, by, log)
	}
	command := newCommand(stderr, run) //nolint:contextcheck // the command carries the context
	command.SetArgs(args)
	command.SetOut(stdout)
	command.SetErr(stderr)
	return command.ExecuteContext(ctx)
}

// newCommand takes the function that runs, so that a test can parse a command
// line without starting a server.
func newCommand(stderr io.Writer, run func(context.Context, guard.WebhookConfig, string, logr.Logger) error) *cobra.Command {
	var file, kubeconfig string
	command := &cobra.Command{
		Use:   "webhook",
		Short: "Serve the admission webhooks of extauth-guard",
		Long: `webhook answers the admission requests of the API server: it injects authorizers
into annotated APIRules and refuses APIRules whose authorizers are not registered
in the Istio CR.

It reads one configuration file; without --config the defaults hold. It is ready,
by /readyz of the probes' address, when TLS is served and the watches have read
the cluster once. On SIGTERM it goes on answering for server.shutdownDelay.`,
		Example: `  # In a cluster, as the chart runs it
  webhook --config /etc/extauth-guard/config.yaml

  # On a laptop, with a certificate of its own
  webhook --config local.yaml --kubeconfig ~/.kube/config`,
		Args:          func(command *cobra.Command, args []string) error { return exit.UsageError(cobra.NoArgs(command, args)) },
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			settings, err := load(file)
			if err != nil {
				return exit.UsageError(err)
			}
			log := newLogger(stderr, settings.Log.Verbosity)
			return run(command.Context(), settings, kubeconfig, log)
		},
	}
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit.UsageError(err) })
	command.Flags().StringVar(&file, "config", "", "configuration `file`, of kind "+guard.WebhookKind)
	command.PersistentFlags().StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig `file`; default: $KUBECONFIG, the Pod's own service account, ~/.kube/config")
	command.AddCommand(selfCheckCommand(&kubeconfig))
	command.CompletionOptions.DisableDefaultCmd = true
	return command
}

func load(file string) (guard.WebhookConfig, error) {
	if file == "" {
		return guard.DefaultWebhook(), nil
	}
	raw, err := os.ReadFile(file) //nolint:gosec // the file is the operator's own choice
	if err != nil {
		return guard.WebhookConfig{}, fmt.Errorf("reading the configuration: %w", err)
	}
	settings, err := guard.LoadWebhook(raw)
	if err != nil {
		return guard.WebhookConfig{}, fmt.Errorf("reading the configuration %s: %w", file, err)
	}
	return settings, nil
}

// newLogger logs JSON lines. logr's V(n) is slog's level -n.
func newLogger(to io.Writer, verbosity int) logr.Logger {
	return logr.FromSlogHandler(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: slog.Level(-verbosity)}))
}

func findCluster(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	cluster, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w; give --kubeconfig, or run in a Pod", err)
	}
	return cluster, nil
}

func serve(ctx context.Context, settings guard.WebhookConfig, kubeconfig string, by clock.WithTicker, log logr.Logger) error {
	cluster, err := findCluster(kubeconfig)
	if err != nil {
		return err
	}
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client-go"))
	log.Info("Starting", "version", version.String(), "config", settings)
	manager, err := NewManagerAt(cluster, settings, by, log)
	if err != nil {
		return err
	}
	if err := manager.Start(ctx); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	log.Info("Stopped")
	return nil
}
