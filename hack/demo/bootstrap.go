// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
	"github.com/extauth-guard/extauth-guard/test/harness/standin"
)

const proxyNamespace = "oauth2-proxy"

// bootstrap runs the bootstrap job against the control plane. What a cluster has
// and a bare control plane lacks is stood in for: the kubelet and Kyma's Istio
// module. The OIDC provider, the tokens, oauth2-proxy, Helm, the API server and the
// job are real.
func (s *stage) bootstrap(ctx context.Context) (err error) {
	fmt.Print(`
Last: the bootstrap job, from an issuer URL and a Secret to an authorizer that answers.
The OIDC provider and its tokens, oauth2-proxy, Helm, the API server and the job are real;
stand-ins make Deployments ready as a kubelet would, and play Kyma's Istio module.

`)
	c, err := client.New(s.plane.Config(), client.Options{})
	if err != nil {
		return err
	}
	secret := rand.Text()
	provider, err := oidcprovider.New(ctx, oidcprovider.Options{Clients: map[string]string{"demo": secret}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, provider.Close()) }()
	kubelet, err := standin.NewKubelet(ctx, c, proxyNamespace)
	if err != nil {
		return err
	}
	defer kubelet.Close()
	standing, stop := context.WithCancel(ctx)
	var loops sync.WaitGroup
	loops.Go(func() { kubelet.Run(standing) })
	loops.Go(func() { standin.RunIstioModule(standing, c) })
	defer func() { stop(); loops.Wait() }()

	manifest := fmt.Sprintf(jobObjects, secret)
	if answer, err := s.kubectl(ctx, manifest, "apply", "-f", "-"); err != nil {
		return fmt.Errorf("preparing the job: %w: %s", err, answer)
	}
	return s.runJob(ctx, provider.Issuer(), kubelet.Address())
}

const jobObjects = `apiVersion: v1
kind: Namespace
metadata: {name: extauth-guard}
---
apiVersion: v1
kind: Secret
metadata: {name: idp-client, namespace: extauth-guard}
stringData: {client-id: demo, client-secret: %q}
---
apiVersion: networking.istio.io/v1beta1
kind: Gateway
metadata: {name: kyma-gateway, namespace: kyma-system}
spec: {servers: [{hosts: ["*.example.com"]}]}
`

// runJob builds and runs the job, and prints what it says.
func (s *stage) runJob(ctx context.Context, issuer, proxy string) error {
	root, err := checkout.Root()
	if err != nil {
		return err
	}
	binary := filepath.Join(s.directory, "bootstrap")
	if err := command(ctx, root, "go", "build", "-o", binary, "./cmd/bootstrap"); err != nil {
		return fmt.Errorf("building the job: %w", err)
	}
	raw, err := yaml.Marshal(map[string]any{
		"apiVersion":  "config.extauth-guard.io/v1alpha1",
		"kind":        "BootstrapConfig",
		"issuer":      map[string]any{"url": issuer},
		"credentials": map[string]any{"namespace": "extauth-guard", "name": "idp-client"},
		"timeouts":    map[string]any{"step": "30s"},
		"proxy": map[string]any{
			"namespace": proxyNamespace,
			"chart":     map[string]any{"repository": filepath.Join(root, "test", "testdata", "charts", "oauth2-proxy-standin")},
		},
	})
	if err != nil {
		return err
	}
	file := filepath.Join(s.directory, "bootstrap.yaml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	var out, log bytes.Buffer
	job := exec.CommandContext(ctx, binary, "--config", file, "--kubeconfig", s.kubeconfig,
		"--namespace", "extauth-guard", "--proxy-address", proxy, "--termination-log", "", "--output", "text")
	job.Stdout, job.Stderr = &out, &log
	fmt.Printf("   $ bootstrap --config bootstrap.yaml\n")
	err = job.Run()
	fmt.Print(indent(out.String()))
	if err != nil {
		return fmt.Errorf("running the job: %w; it said:\n%s", err, log.String())
	}
	for _, want := range []string{"no token: 401", "garbage token: 401", "client-credentials token: 200", "own paths: denied"} {
		if !bytes.Contains(out.Bytes(), []byte(want)) {
			return fmt.Errorf("the job does not say %q", want)
		}
	}
	return nil
}
