// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/bootstrap/steps"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/helm"
	"github.com/extauth-guard/extauth-guard/pkg/oidc"
)

// pollInterval is the time between two looks at what is waited for.
const pollInterval = 500 * time.Millisecond

// chartTimeout bounds the fetching of the chart's index and of its archive.
const chartTimeout = time.Minute

// run is everything connected.
type run struct {
	env        steps.Environment
	kubernetes kubernetes.Interface
	clock      clock.Clock
	log        logr.Logger
	opts       options
}

// newRun connects the steps with the cluster and the network.
func newRun(cfg config.BootstrapConfig, restConfig *rest.Config, opts options, stderr io.Writer) (*run, error) {
	// A step has to see what it just wrote, hence no cache.
	direct, err := client.New(restConfig, client.Options{Scheme: clientgoscheme.Scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	typed, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	log := logr.FromSlogHandler(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	release, err := helm.New(restConfig, cfg.Proxy.Namespace, steps.Owner, log)
	if err != nil {
		return nil, err
	}
	issuer, err := oidc.NewHTTPClient(oidc.HTTPOptions{CA: []byte(cfg.Issuer.CABundle), Timeout: cfg.Timeouts.Request.Duration})
	if err != nil {
		return nil, err
	}
	return &run{
		env: steps.Environment{
			Config:     cfg,
			Client:     direct,
			Kubernetes: typed,
			Helm:       release,
			Charts:     helm.Fetcher{Client: &http.Client{Timeout: chartTimeout}, Scratch: os.TempDir()},
			Issuer:     issuer,
			Dial:       dialer(opts.proxyAddress),
			Clock:      clock.RealClock{},
			Poll:       pollInterval,
		},
		kubernetes: typed,
		clock:      clock.RealClock{},
		log:        log,
		opts:       opts,
	}, nil
}

// do runs the operation's steps and reports. A dry run takes no lock and writes
// nothing.
func (r *run) do(ctx context.Context, op operation, out output) error {
	options := bootstrap.Options{
		Reporter: out, Clock: r.clock, StepTimeout: r.env.Config.Timeouts.Step.Duration, DryRun: r.opts.dryRun,
	}
	if r.opts.dryRun {
		results, err := bootstrap.Run(ctx, op.steps(r.env), options)
		out.Summary(newSummary(op.name, results, err, r.clock.Now()))
		return err
	}
	var results []bootstrap.Result
	err := r.locked(ctx, func(ctx context.Context) error {
		var err error
		results, err = bootstrap.Run(ctx, op.steps(r.env), options)
		return err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
	summary := newSummary(op.name, results, stopped(ctx, err), r.clock.Now())
	out.Summary(summary)
	return errors.Join(err, r.record(ctx, summary))
}

// dialer leads to the given address whatever is dialled, or is nil.
func dialer(address string) func(context.Context, string, string) (net.Conn, error) {
	if address == "" {
		return nil
	}
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}
