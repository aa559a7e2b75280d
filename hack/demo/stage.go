// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// stage is everything that runs during the demo.
type stage struct {
	directory  string
	kubeconfig string
	plane      *controlplane.ControlPlane
	server     *exec.Cmd
	log        *bytes.Buffer
}

// open starts a control plane with CRDs and an Istio CR, and the webhook binary.
func open(ctx context.Context) (_ *stage, err error) {
	root, err := checkout.Root()
	if err != nil {
		return nil, err
	}
	directory, err := os.MkdirTemp("", "extauth-guard-demo-")
	if err != nil {
		return nil, err
	}
	s := &stage{directory: directory, kubeconfig: filepath.Join(directory, "kubeconfig"), log: &bytes.Buffer{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	fmt.Println("Building the webhook binary …")
	binary := filepath.Join(directory, "webhook")
	if err := command(ctx, root, "go", "build", "-o", binary, "./cmd/webhook"); err != nil {
		return nil, fmt.Errorf("building the webhook binary: %w", err)
	}
	fmt.Println("Starting etcd and kube-apiserver …")
	crds := filepath.Join(root, "pkg", "crd", "kyma")
	s.plane, err = controlplane.Start(ctx, controlplane.Options{
		CRDs:     []string{crds, filepath.Join(root, "test", "testdata", "crds", "optional"), filepath.Join(root, "config", "crd")},
		Progress: os.Stderr,
	})
	if err != nil {
		return nil, err
	}
	if err := s.plane.WriteKubeconfig(s.kubeconfig); err != nil {
		return nil, err
	}
	for _, manifest := range []string{kymaSystem, demoNamespace} {
		if answer, err := s.kubectl(ctx, manifest, "apply", "-f", "-"); err != nil {
			return nil, fmt.Errorf("preparing the cluster: %w: %s", err, answer)
		}
	}
	return s, s.serve(ctx, binary)
}

// serve starts the webhook binary and registers it at the API server.
func (s *stage) serve(ctx context.Context, binary string) error {
	settings, err := guard.Settings(ctx, filepath.Join(s.directory, "tls"))
	if err != nil {
		return err
	}
	file := filepath.Join(s.directory, "webhook.yaml")
	if err := writeConfig(file, settings); err != nil {
		return err
	}
	fmt.Println("Starting the webhook binary …")
	s.server = exec.CommandContext(context.WithoutCancel(ctx), binary, "--config", file, "--kubeconfig", s.kubeconfig)
	s.server.Stderr = s.log
	s.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the demo, which stops it
	if err := s.server.Start(); err != nil {
		return fmt.Errorf("starting the webhook binary: %w", err)
	}
	ready, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := guard.Ready(ready, settings); err != nil {
		return fmt.Errorf("%w; it said last:\n%s", err, s.lastWords())
	}
	registration, err := guard.Registration(settings)
	if err != nil {
		return err
	}
	return guard.Register(ctx, s.plane.Config(), registration)
}

// lastWords returns the last lines of the webhook binary's log.
func (s *stage) lastWords() string {
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

func writeConfig(file string, settings config.WebhookConfig) error {
	raw, err := yaml.Marshal(settings)
	if err != nil {
		return fmt.Errorf("encoding the configuration: %w", err)
	}
	return os.WriteFile(file, raw, 0o600)
}

// close stops what runs and removes what was written. It may be called on a
// stage that is half open.
func (s *stage) close() error {
	var errs []error
	if s.server != nil && s.server.Process != nil {
		errs = append(errs, s.server.Process.Signal(syscall.SIGTERM), s.server.Wait())
	}
	if s.plane != nil {
		errs = append(errs, s.plane.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(s.directory))...)
}

// kubectl runs kubectl against the control plane and returns all that it printed.
func (s *stage) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	var out bytes.Buffer
	kubectl := exec.CommandContext(ctx, s.plane.Kubectl(), append([]string{"--kubeconfig", s.kubeconfig}, args...)...)
	kubectl.Stdin, kubectl.Stdout, kubectl.Stderr = strings.NewReader(stdin), &out, &out
	err := kubectl.Run()
	return out.String(), err
}

func command(ctx context.Context, directory, name string, args ...string) error {
	run := exec.CommandContext(ctx, name, args...)
	run.Dir, run.Stdout, run.Stderr = directory, os.Stderr, os.Stderr
	return run.Run()
}
