// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package job is the composition root of the bootstrap job: it reads the command
// line and the configuration, connects the steps with a cluster, runs them under
// a lock, and reports.
//
// It is the only root that reaches Helm.
package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/bootstrap/steps"
	"github.com/extauth-guard/extauth-guard/pkg/config"
)

// Name is that of the lock and of the ConfigMap with the results.
const Name = "extauth-guard-bootstrap"

// options are the command line. There is no secret among them, and there never
// may be: arguments are visible to everybody on the node.
type options struct {
	configFile     string
	dryRun         bool
	kubeconfig     string
	namespace      string
	output         string
	terminationLog string
	proxyAddress   string
}

// Run executes the command line. Results go to stdout, Helm's chatter to stderr.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	//nolint:contextcheck // cobra hands the context to the command.
	return newCommand(args, stdout, stderr, execute).ExecuteContext(ctx)
}

// operation is one of the two things that can be done.
type operation struct {
	name  string
	steps func(steps.Environment) []bootstrap.Step
}

func install() operation { return operation{name: "run", steps: steps.New} }

func uninstall() operation { return operation{name: "uninstall", steps: steps.Uninstall} }

// executor carries out an operation; tests of the command line put another one in
// its place.
type executor func(ctx context.Context, op operation, opts options, stdout, stderr io.Writer) error

func newCommand(args []string, stdout, stderr io.Writer, run executor) *cobra.Command {
	var opts options
	root := &cobra.Command{
		Use:   "bootstrap",
		Short: "Install oauth2-proxy and register it as an authorizer of Kyma's APIRules",
		Long: `Leads from an issuer's URL and a Secret to "no token: 401, a client-credentials token: 200".

Every step looks first and changes only what is not as wanted, so the command can
be stopped at any point and run again. Exit codes: 0 done, 1 failed, 2 wrong usage,
3 blocked by something that somebody else has to change, 124 out of time.`,
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), install(), opts, stdout, stderr)
		},
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit.UsageError(err) })
	flags := root.PersistentFlags()
	flags.StringVar(&opts.configFile, "config", "", "file with the BootstrapConfig (required)")
	flags.BoolVar(&opts.dryRun, "dry-run", false, "print what would be done and change nothing")
	flags.StringVar(&opts.kubeconfig, "kubeconfig", "", "kubeconfig file; default: the ServiceAccount in a Pod, else KUBECONFIG or ~/.kube/config")
	flags.StringVar(&opts.namespace, "namespace", fromEnv("POD_NAMESPACE", "extauth-guard"), "namespace of the job's lock and results")
	flags.StringVar(&opts.output, "output", outputAuto, "text, json, or auto: text on a terminal and JSON lines elsewhere")
	flags.StringVar(&opts.terminationLog, "termination-log", "/dev/termination-log", "file for the termination message; left alone where it does not exist")
	flags.StringVar(&opts.proxyAddress, "proxy-address", "", "host:port at which verify reaches the proxy, for runs outside of the cluster (kubectl port-forward); default: its Service")
	for _, op := range []struct {
		operation
		short string
	}{
		{install(), "Install and register (what happens without a subcommand, too)"},
		{uninstall(), "Undo it in reverse; refused while APIRules use the authorizer"},
	} {
		root.AddCommand(&cobra.Command{Use: op.name, Short: op.short, Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), op.operation, opts, stdout, stderr)
		}})
	}
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	return exit.UsageError(cobra.NoArgs(cmd, args))
}

// execute loads the configuration, and refuses it, before anything is touched.
func execute(ctx context.Context, op operation, opts options, stdout, stderr io.Writer) error {
	cfg, err := loadConfig(opts.configFile)
	if err != nil {
		return exit.UsageError(err)
	}
	out, err := newOutput(opts.output, stdout)
	if err != nil {
		return exit.UsageError(err)
	}
	restConfig, err := loadKubeconfig(opts.kubeconfig)
	if err != nil {
		return exit.UsageError(fmt.Errorf("finding the cluster: %w", err))
	}
	run, err := newRun(cfg, restConfig, opts, stderr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeouts.Total.Duration,
		fmt.Errorf("the run's %s are over (timeouts.total)", cfg.Timeouts.Total.Duration))
	defer cancel()
	return stopped(ctx, run.do(ctx, op, out))
}

// stopped gives a run that was asked to stop an exit code of its own: with 0 the
// Job of a drained node would count as complete.
func stopped(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.Canceled):
		return exit.With(exit.Failed, fmt.Errorf("asked to stop before it was done; run it again to go on: %w", err))
	default:
		return err
	}
}

func loadConfig(path string) (config.BootstrapConfig, error) {
	if path == "" {
		return config.BootstrapConfig{}, errors.New("--config is required: a file with a " + config.BootstrapKind)
	}
	raw, err := os.ReadFile(path) //nolint:gosec // The user chose the file.
	if err != nil {
		return config.BootstrapConfig{}, fmt.Errorf("reading the configuration: %w", err)
	}
	cfg, err := config.LoadBootstrap(raw)
	if err != nil {
		return config.BootstrapConfig{}, err
	}
	if err := config.ValidateBootstrap(cfg).ToAggregate(); err != nil {
		return config.BootstrapConfig{}, fmt.Errorf("checking %s: %w", path, err)
	}
	return cfg, nil
}

func loadKubeconfig(path string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	restConfig, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	// The API server has its own fairness; the client's default of 5 requests a
	// second would make preflight alone take several seconds.
	restConfig.QPS, restConfig.Burst = 50, 100
	return restConfig, nil
}

func fromEnv(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
