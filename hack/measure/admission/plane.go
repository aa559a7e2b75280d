// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// plane is one cluster with the webhook servers beside it.
type plane struct {
	client
	directory string
	control   *controlplane.ControlPlane
	programs  programs
	// collects is true if the API server collects garbage between blocks, and not
	// during them; sent is how many requests it has had since.
	collects bool
	sent     int
	settings config.WebhookConfig
	servers  map[string]*process
}

// programs are the paths of what was built.
type programs struct{ ours, noop string }

// openPlane starts a control plane in which everything exists that a request
// refers to, and nothing is registered.
func openPlane(ctx context.Context, root, directory string, programs programs, collects bool) (_ *plane, err error) {
	p := &plane{directory: directory, programs: programs, collects: collects, servers: map[string]*process{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	p.control, err = controlplane.Start(ctx, controlplane.Options{
		CRDs:     []string{filepath.Join(root, "pkg", "crd", "kyma")},
		Progress: os.Stderr,
	})
	if err != nil {
		return nil, err
	}
	if err := p.control.WriteKubeconfig(p.kubeconfig()); err != nil {
		return nil, err
	}
	p.client, err = newClient(p.control.Config())
	return p, err
}

func (p *plane) kubeconfig() string { return filepath.Join(p.directory, "kubeconfig") }

// serveOurs starts the webhook binary as it ships. env is added to its
// environment.
func (p *plane) serveOurs(ctx context.Context, env ...string) error {
	settings, err := guard.Settings(ctx, filepath.Join(p.directory, "ours"))
	if err != nil {
		return err
	}
	if p.servers[oursServer] != nil { // the registration points at the ports of the first
		if err := p.servers[oursServer].stop(); err != nil {
			return err
		}
		settings = p.settings
		settings.Certificates.Mode = config.CertificatesFromFiles // and so does its CA
	}
	spare, err := guard.Settings(ctx, settings.Certificates.Directory)
	if err != nil {
		return err
	}
	settings.Metrics.Address = spare.Probes.Address // any free one: metrics are off by default
	p.settings = settings
	raw, err := yaml.Marshal(settings)
	if err != nil {
		return err
	}
	file := filepath.Join(p.directory, "webhook.yaml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	ready := func(ctx context.Context, _ *bufio.Reader) error { return guard.Ready(ctx, settings) }
	p.servers[oursServer], err = start(ctx, env, ready, p.programs.ours, "--config", file, "--kubeconfig", p.kubeconfig())
	return err
}

// registerOurs registers the webhooks as they ship, for the given namespaces.
func (p *plane) registerOurs(ctx context.Context, namespaces []string) error {
	registration, err := guard.Registration(p.settings)
	if err != nil {
		return err
	}
	only := metav1.LabelSelectorRequirement{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: namespaces}
	mutating, validating := registration.Mutating(), registration.Validating()
	for i := range mutating.Webhooks {
		selector := mutating.Webhooks[i].NamespaceSelector
		selector.MatchExpressions = append(selector.MatchExpressions, only)
	}
	for i := range validating.Webhooks {
		selector := validating.Webhooks[i].NamespaceSelector
		selector.MatchExpressions = append(selector.MatchExpressions, only)
	}
	return errors.Join(p.create(ctx, registrations+"/mutatingwebhookconfigurations", mutating),
		p.create(ctx, registrations+"/validatingwebhookconfigurations", validating))
}

// serveNoop starts the webhooks that do nothing.
func (p *plane) serveNoop(ctx context.Context) error {
	settings, err := guard.Settings(ctx, filepath.Join(p.directory, "noop"))
	if err != nil {
		return err
	}
	patch := filepath.Join(p.directory, "patch.json")
	if err := os.WriteFile(patch, constantPatch(), 0o600); err != nil {
		return err
	}
	ready := func(_ context.Context, output *bufio.Reader) error {
		line, err := output.ReadString('\n')
		if err == nil && strings.TrimSpace(line) != "ready" {
			err = fmt.Errorf("it printed %q", line)
		}
		return err
	}
	p.servers[noopServer], err = start(ctx, nil, ready, p.programs.noop,
		"-certificates", settings.Certificates.Directory, "-port", strconv.Itoa(settings.Server.Port), "-patch", patch)
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(filepath.Join(settings.Certificates.Directory, "ca.crt"))
	if err != nil {
		return err
	}
	base := "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(settings.Server.Port))
	return errors.Join(
		p.create(ctx, registrations+"/mutatingwebhookconfigurations", noopMutating("n", base+"/mutate", ca)),
		p.create(ctx, registrations+"/validatingwebhookconfigurations", noopValidating("n", base+"/validate", ca)),
		p.create(ctx, registrations+"/mutatingwebhookconfigurations", noopMutating("b", base+"/mutate-constant", ca)),
		p.create(ctx, registrations+"/validatingwebhookconfigurations", noopValidating("b", base+"/validate", ca)))
}

// heap returns the heap in use by the webhook binary, in MiB, by its own metrics.
func (p *plane) heap(ctx context.Context) (float64, error) {
	figures, err := p.figures(ctx, "go_memstats_heap_inuse_bytes")
	return figures[0] / (1 << 20), err
}

// sweep waits until the webhook binary has looked at all APIRules, and returns how
// long that takes it for 10,000, in seconds.
func (p *plane) sweep(ctx context.Context, objects int) (float64, error) {
	var seconds float64
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		figures, err := p.figures(ctx, "extauth_guard_audit_evaluations_total", "extauth_guard_audit_seconds_total")
		if err != nil || figures[0] < float64(objects) {
			return false, err
		}
		seconds = figures[1] / figures[0] * 10_000
		return true, nil
	})
	if err != nil {
		return 0, fmt.Errorf("waiting for the audit to look at %d APIRules: %w", objects, err)
	}
	return seconds, nil
}

// figures returns metrics without labels of the webhook binary, in the order of
// their names; zeros with an error.
func (p *plane) figures(ctx context.Context, names ...string) ([]float64, error) {
	found := make([]float64, len(names))
	own := client{http: http.DefaultClient, base: "http://" + p.settings.Metrics.Address}
	metrics, err := own.send(ctx, http.MethodGet, "/metrics", "", nil)
	if err != nil {
		return found, fmt.Errorf("reading the metrics of the webhook: %w", err)
	}
	for i, name := range names {
		_, rest, has := strings.Cut("\n"+string(metrics), "\n"+name+" ")
		value, _, _ := strings.Cut(rest, "\n")
		if !has {
			return found, fmt.Errorf("reading the metrics of the webhook: they do not have %s", name)
		}
		if found[i], err = strconv.ParseFloat(strings.TrimSpace(value), 64); err != nil {
			return found, fmt.Errorf("reading the metrics of the webhook: %s: %w", name, err)
		}
	}
	return found, nil
}

// close stops everything. It may be called on a plane that is half open.
func (p *plane) close() error {
	if p == nil {
		return nil
	}
	var errs []error
	for _, server := range p.servers {
		errs = append(errs, server.stop())
	}
	if p.control != nil {
		errs = append(errs, p.control.Stop())
	}
	return errors.Join(errs...)
}
