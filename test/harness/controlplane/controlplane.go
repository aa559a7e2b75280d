// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs a real etcd and kube-apiserver on loopback, for
// integration tests and for the demo.
//
// Any number may run at the same time: each has ports, data and certificates of
// its own, in one folder under the temporary directory that Stop removes. If the
// process ends without Stop, its control planes end too, and their files go. There
// is no kubelet and no controller manager: Pods never run, nothing is garbage
// collected, and a deleted namespace stays Terminating.
//
// It is built on controller-runtime's envtest, whose logger is that of the whole
// process: a program that uses this package sets one, or is told to after half a
// minute.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// startTimeout bounds the start of each of the two programs. It takes 3 to 6
// seconds on two idle cores; the rest is room for a machine that is busy.
const startTimeout = 60 * time.Second

// stopTimeout bounds the end of each program, after which it is killed.
const stopTimeout = 30 * time.Second

// Options say what a control plane has beyond the defaults. The zero value is a
// plain one.
type Options struct {
	// CRDs are files, or folders whose files but not subfolders are read. They are
	// installed and served before Start returns. A conversion webhook that they ask
	// for is not there, so conversion is always None: versions differ by name only.
	CRDs []string
	// APIServerFlags are flags of kube-apiserver, without dashes, that are set in
	// place of the defaults.
	APIServerFlags map[string][]string
	// AuditLog is the file that gets one JSON audit event per request, level
	// Metadata, which includes what webhooks annotate. Empty: no audit log.
	AuditLog string
	// Output gets what etcd and kube-apiserver print, mixed, from several goroutines.
	// Nil discards it; the error about a failed start has the end of it either way.
	Output io.Writer
	// Progress gets a line for each thing that may take minutes, such as building
	// the programs on a machine that has none. Nil means standard error.
	Progress io.Writer
}

// ControlPlane is a running control plane. Its methods may be called from several
// goroutines.
type ControlPlane struct {
	env    *envtest.Environment
	dir    string
	reaper *reaper

	mu      sync.Mutex
	stopped bool
}

// Start starts a control plane and waits until it answers and serves the CRDs.
// The context bounds the start, not the life: the caller ends that with Stop.
// After an error nothing of it is left running.
//
// The programs are taken from KUBEBUILDER_ASSETS, else from the folder that
// hack/cluster/control-plane.sh finds or builds.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	crds, err := readCRDs(o.CRDs)
	if err != nil {
		return nil, fmt.Errorf("starting a control plane: %w", err)
	}
	assets, err := findAssets(ctx, o.Progress)
	if err != nil {
		return nil, fmt.Errorf("starting a control plane: %w", err)
	}
	dir, err := os.MkdirTemp("", "extauth-control-plane-")
	if err != nil {
		return nil, fmt.Errorf("starting a control plane: %w", err)
	}
	c := &ControlPlane{dir: dir}
	if c.reaper, err = startReaper(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a control plane: %w", err), os.RemoveAll(dir))
	}
	etcd, apiServer := &tail{next: o.Output}, &tail{next: o.Output}
	if c.env, err = environment(dir, assets, etcd, apiServer, o); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a control plane: %w", err), os.RemoveAll(dir), c.reaper.stop())
	}
	c.env.CRDInstallOptions.CRDs = crds
	if _, err := c.env.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a control plane from %s: %w\netcd said last:\n%s\nkube-apiserver said last:\n%s", assets, err, etcd, apiServer), c.Stop())
	}
	// envtest also makes certificates for a webhook server, outside the folder that the
	// reaper knows. Nobody here uses them.
	err = errors.Join(ctx.Err(), os.RemoveAll(c.env.WebhookInstallOptions.LocalServingCertDir))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting a control plane: %w", err), c.Stop())
	}
	return c, nil
}

// environment prepares an envtest environment that keeps all its files in dir and
// takes its programs from assets, whatever the process's environment says.
func environment(dir, assets string, etcdOut, apiServerOut io.Writer, o Options) (*envtest.Environment, error) {
	certs, data := filepath.Join(dir, "certs"), filepath.Join(dir, "data")
	for _, d := range []string{certs, data} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, err
		}
	}
	if err := reapable(dir, assets); err != nil {
		return nil, err
	}
	never := false
	env := &envtest.Environment{
		UseExistingCluster:       &never,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  stopTimeout,
	}
	env.ControlPlane.Etcd = &envtest.Etcd{
		Path:    filepath.Join(dir, "etcd"),
		DataDir: data,
		Out:     etcdOut,
		Err:     etcdOut,
	}
	env.ControlPlane.KubectlPath = filepath.Join(assets, "kubectl")
	api := env.ControlPlane.GetAPIServer()
	api.Path = filepath.Join(dir, "kube-apiserver")
	api.CertDir = certs
	api.Out, api.Err = apiServerOut, apiServerOut

	flags := api.Configure()
	// Without these two kube-apiserver looks for a route to the outside to advertise
	// itself at, and refuses to start on a machine that has none.
	flags.Set("advertise-address", "127.0.0.1")
	flags.Set("endpoint-reconciler-type", "none")
	// By default open watches hold the end of kube-apiserver up for a minute.
	flags.Set("shutdown-watch-termination-grace-period", "1s")
	if o.AuditLog != "" {
		policy := filepath.Join(dir, "audit-policy.yaml")
		if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
			return nil, err
		}
		flags.Set("audit-policy-file", policy)
		flags.Set("audit-log-path", o.AuditLog)
	}
	for name, values := range o.APIServerFlags {
		flags.Set(name, values...)
	}
	return env, nil
}

// auditPolicy writes an event once a request is answered: then the annotations of
// all webhooks are in it.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
`

// readCRDs reads CRDs and takes away their conversion, see [Options].
func readCRDs(paths []string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	read := envtest.CRDInstallOptions{Paths: paths, ErrorIfPathMissing: true}
	if err := envtest.ReadCRDFiles(&read); err != nil {
		return nil, fmt.Errorf("reading CRDs: %w", err)
	}
	for _, crd := range read.CRDs {
		crd.Spec.Conversion = nil
	}
	return read.CRDs, nil
}

// InstallCRDs installs more CRDs, read as those of [Options] are, and waits until
// they are served.
func (c *ControlPlane) InstallCRDs(paths ...string) error {
	crds, err := readCRDs(paths)
	if err != nil {
		return err
	}
	if _, err := envtest.InstallCRDs(c.Config(), envtest.CRDInstallOptions{CRDs: crds}); err != nil {
		return fmt.Errorf("installing CRDs: %w", err)
	}
	return nil
}

// Config returns a configuration of its own for a client that may do everything.
func (c *ControlPlane) Config() *rest.Config {
	return rest.CopyConfig(c.env.Config)
}

// Kubectl returns the path of a kubectl of the same version.
func (c *ControlPlane) Kubectl() string {
	return c.env.ControlPlane.KubectlPath
}

// RestartAPIServer ends kube-apiserver and starts it again with the same address,
// certificates and flags, over the same etcd. Requests fail meanwhile. It returns
// when the API server is ready.
func (c *ControlPlane) RestartAPIServer(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errors.New("restarting the API server: the control plane has been stopped")
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("restarting the API server: %w", err)
	}
	api := c.env.ControlPlane.GetAPIServer()
	if err := api.Stop(); err != nil {
		return fmt.Errorf("restarting the API server: stopping it: %w", err)
	}
	if err := api.Start(); err != nil {
		return fmt.Errorf("restarting the API server: starting it: %w", err)
	}
	return nil
}

// Stop ends both programs and removes their files. It may be called again, and
// then does nothing.
func (c *ControlPlane) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	// The API server first, then the etcd it writes to; a program that did not start
	// is not an error here.
	err := errors.Join(c.env.Stop(), os.RemoveAll(c.dir), c.reaper.stop())
	if err != nil {
		return fmt.Errorf("stopping the control plane: %w", err)
	}
	return nil
}
