// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package distribution runs what others run of this repository to get and to use
// kubectl-extauth: the krew manifest, the composite action, and the pre-commit hook.
package distribution

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

const (
	protected = `apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  gateway: kyma-system/kyma-gateway
  service: {name: cart, port: 8080}
  rules:
  - {path: /*, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}
`
	misspelled = `apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {name: pay, namespace: shop}
spec:
  hosts: [pay]
  gateway: kyma-system/kyma-gateway
  service: {name: pay, port: 8080}
  rules:
  - {path: /*, methods: [GET], extAuth: {authorizers: [ouath2-proxy]}}
`
	registered = `apiVersion: operator.kyma-project.io/v1alpha2
kind: Istio
metadata: {name: default, namespace: kyma-system}
spec:
  config:
    authorizers:
    - {name: oauth2-proxy, service: oauth2-proxy.auth.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}
`
)

// write puts files, by name, into a new folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	return folder
}

// run runs a command in a folder and returns its exit code and both outputs.
func run(t *testing.T, folder string, environment []string, name string, args ...string) (code int, out string) {
	t.Helper()
	var printed bytes.Buffer
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir, command.Env = folder, append(os.Environ(), environment...)
	command.Stdout, command.Stderr = &printed, &printed
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return command.ProcessState.ExitCode(), printed.String()
}

// plugin builds kubectl-extauth as a release does, into a folder.
func plugin(ctx context.Context, t *testing.T, folder string) {
	t.Helper()
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w -X github.com/extauth-guard/extauth-guard/pkg/version.version=v1.2.3",
		"-o", folder+"/", "./cmd/kubectl-extauth")
	build.Dir, build.Env = checkout.Path(t, "."), append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
