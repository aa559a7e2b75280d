// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// tools are the programs that the pages use, in one directory.
type tools struct {
	directory string
	// chart is the archive of the chart as a release has it.
	chart string
}

// stands are commands that stand for others, by name. ROOT is the checkout, TOOLS the
// directory of the tools.
//
//   - helm installs the chart of the checkout where a page names a release. It does not
//     wait and runs no hooks, since no Pod runs, and points the webhooks to a replica
//     that the test runs.
//   - kubectl is itself, but does not wait for a namespace that nobody empties.
//   - kustomize is kubectl's.
//   - make says what it would do: the target has to exist.
//   - go installs from the checkout what a page installs from a release.
func stands() map[string]string {
	return map[string]string{
		"helm": `set -euo pipefail
name=$1 args=()
while (($#)); do
  case $1 in
  oci://ghcr.io/extauth-guard/charts/extauth-guard) args+=("$TOOLS/chart/extauth-guard-1.0.0.tgz") ;;
  --wait) ;;
  --timeout) shift ;;
  *) args+=("$1") ;;
  esac
  shift
done
case $name in install | upgrade | uninstall) args+=(--no-hooks) ;; esac
# Helm would merge the chart's service into what points to the replica.
[[ $name != upgrade ]] || kubectl delete mutatingwebhookconfiguration,validatingwebhookconfiguration extauth-guard >/dev/null
"$TOOLS/real/helm" "${args[@]}"
case $name in install | upgrade)
  for kind in mutating validating; do kubectl patch ${kind}webhookconfiguration extauth-guard --type merge --patch-file "$HOME/$kind.json" >/dev/null; done ;;
esac`,
		"kubectl":   `case "$*" in "delete namespace"*) set -- "$@" --wait=false ;; esac; exec "$TOOLS/real/kubectl" "$@"`,
		"kustomize": `[ "$1" = build ] && exec kubectl kustomize "$2"`,
		"make":      `exec /usr/bin/env -i "PATH=/usr/local/bin:/usr/bin:/bin" "HOME=$HOME" make --no-print-directory -n -C "$ROOT" "$@"`,
		"go":        `[ "$1" = install ] && path=${2%@latest} && test -e "$ROOT/${path#github.com/extauth-guard/extauth-guard/}/main.go"`,
	}
}

// build builds the programs and the chart.
func build(t *testing.T) tools {
	t.Helper()
	root := checkout.Path(t, ".")
	made := tools{directory: t.TempDir()}
	made.chart = filepath.Join(made.directory, "chart")
	genuine := filepath.Join(made.directory, "real")
	succeed(t, root, "go", "build", "-o", made.directory+"/", "./cmd/kubectl-extauth", "./cmd/bootstrap", "./cmd/webhook")
	// helm template supposes the Kubernetes that helm was linked with.
	const kubernetes = "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=37"
	succeed(t, filepath.Join(root, "test/integration/docs/helm"), "go", "build", "-ldflags", kubernetes, "-o", genuine+"/", "helm.sh/helm/v3/cmd/helm")
	succeed(t, root, filepath.Join(genuine, "helm"), "package", "charts/extauth-guard", "--version", "1.0.0", "--app-version", "1.0.0", "--destination", made.chart)
	for name, script := range stands() {
		text := fmt.Sprintf("#!/bin/bash\nROOT=%s TOOLS=%s\n%s\n", root, made.directory, script)
		require.NoError(t, os.WriteFile(filepath.Join(made.directory, name), []byte(text), 0o700))
	}
	return made
}

// succeed runs a program that has to.
func succeed(t *testing.T, directory, name string, args ...string) {
	t.Helper()
	program := exec.CommandContext(t.Context(), name, args...)
	program.Dir = directory
	out, err := program.CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
}

// cluster is an API server with Kyma's CRDs and the objects of testdata/world.yaml, and
// the home of somebody who administers it.
type cluster struct {
	tools tools
	net   internet
	home  string
	// installed is true while there is a release.
	installed bool
}

func start(t *testing.T, tools tools, net internet) *cluster {
	t.Helper()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{CRDs: []string{checkout.Path(t, "pkg/crd/kyma"), checkout.Path(t, "test/testdata/crds/optional")}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, plane.Stop()) })
	c := &cluster{tools: tools, net: net, home: t.TempDir()}
	for _, directory := range []string{".kube", ".local/bin", ".local/share/bash-completion/completions"} {
		require.NoError(t, os.MkdirAll(filepath.Join(c.home, directory), 0o700))
	}
	require.NoError(t, plane.WriteKubeconfig(filepath.Join(c.home, ".kube/config")))
	if link := filepath.Join(tools.directory, "real/kubectl"); !exists(link) {
		require.NoError(t, os.Symlink(plane.Kubectl(), link))
	}
	c.must(t, "kubectl apply -f "+checkout.Path(t, "test/integration/docs/testdata/world.yaml"))
	c.must(t, `kubectl patch apirule httpbin --subresource status --type merge --patch '{"status": {"state": "Ready", "lastProcessedTime": "2026-11-30T12:00:00Z"}}'`)
	c.replica(t)
	return c
}

// replica runs the webhook as it ships, beside the cluster, and writes for helm what the
// API server has to know of it. Its controllers are off. It needs the CRD of the chart,
// which Helm takes over when it is marked as Helm's.
func (c *cluster) replica(t *testing.T) {
	t.Helper()
	c.must(t, "helm template "+release+` --show-only templates/crds.yaml | kubectl apply --server-side -f -
kubectl annotate crd extauthpolicies.extauth-guard.io meta.helm.sh/release-name=extauth-guard meta.helm.sh/release-namespace=extauth-guard
kubectl label --overwrite crd extauthpolicies.extauth-guard.io app.kubernetes.io/managed-by=Helm`)
	settings, err := guard.Settings(t.Context(), filepath.Join(c.home, "tls"))
	require.NoError(t, err)
	kyma.WithoutControllers(&settings)
	process, err := guard.Run(t.Context(), filepath.Join(c.tools.directory, "webhook"), filepath.Join(c.home, ".kube/config"), c.home, settings)
	require.NoError(t, err)
	t.Cleanup(process.Stop)
	registration, err := guard.Registration(settings)
	require.NoError(t, err)
	for kind, webhooks := range map[string]any{"mutating": registration.Mutating().Webhooks, "validating": registration.Validating().Webhooks} {
		raw, err := json.Marshal(map[string]any{"webhooks": webhooks})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(c.home, kind+".json"), raw, 0o600))
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// environment is what the programs find: the tools first, the internet behind its proxy.
func (c *cluster) environment() []string {
	return []string{
		"HOME=" + c.home, "PATH=" + c.tools.directory + ":" + filepath.Join(c.home, ".local/bin") + ":/usr/local/bin:/usr/bin:/bin", "HELM_CACHE_HOME=" + c.home,
		"HTTPS_PROXY=" + c.net.proxy, "SSL_CERT_FILE=" + c.net.authorities, "CURL_CA_BUNDLE=" + c.net.authorities,
	}
}

// must runs a command that has to succeed, and returns what it prints.
func (c *cluster) must(t *testing.T, command string) string {
	t.Helper()
	out, code := session{c, t.TempDir()}.run(t, command)
	require.Zero(t, code, "%s: %s", command, out)
	return out
}

// release is the chart, and where the pages install it.
const release = "extauth-guard oci://ghcr.io/extauth-guard/charts/extauth-guard --namespace extauth-guard"

// prepare gives a page an installation to begin with, or none where it installs one.
func (c *cluster) prepare(t *testing.T, blocks []block) {
	t.Helper()
	installs := begins(blocks, "helm install") || begins(blocks, "helm template extauth-guard")
	switch {
	case installs && c.installed:
		c.must(t, "helm uninstall extauth-guard --namespace extauth-guard")
	case !installs && !c.installed:
		c.must(t, "helm install "+release+" --create-namespace")
	}
	c.installed = !begins(blocks, "helm template extauth-guard")
	if !installs {
		c.must(t, "kubectl -n extauth-guard create secret generic client --from-literal=client-id=shop --from-literal=client-secret=not-a-secret --dry-run=client -o yaml | kubectl apply -f -")
	}
}

// leave takes away what a page installed by kubectl, which Helm does not take over.
func (c *cluster) leave(t *testing.T) {
	t.Helper()
	if !c.installed {
		c.must(t, "helm template "+release+" | kubectl delete --ignore-not-found --wait=false -f -")
	}
}

// begins is true if a command of the page begins so.
func begins(blocks []block, text string) bool {
	return slices.ContainsFunc(blocks, func(one block) bool {
		return slices.ContainsFunc(one.commands, func(one command) bool { return strings.HasPrefix(one.text, text) })
	})
}
