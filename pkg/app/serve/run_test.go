// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	guard "github.com/extauth-guard/extauth-guard/pkg/config"
)

func TestHelp(t *testing.T) {
	var out, errOut bytes.Buffer
	require.NoError(t, Run(t.Context(), []string{"--help"}, &out, &errOut))
	assert.Empty(t, errOut.String())
	const want = `webhook answers the admission requests of the API server: it injects authorizers
into annotated APIRules and refuses APIRules whose authorizers are not registered
in the Istio CR.

It reads one configuration file; without --config the defaults hold. It is ready,
by /readyz of the probes' address, when TLS is served and the watches have read
the cluster once. On SIGTERM it goes on answering for server.shutdownDelay.

Usage:
  webhook [flags]
  webhook [command]

Examples:
  # In a cluster, as the chart runs it
  webhook --config /etc/extauth-guard/config.yaml

  # On a laptop, with a certificate of its own
  webhook --config local.yaml --kubeconfig ~/.kube/config

Available Commands:
  help        Help about any command
  selfcheck   Try the webhooks of a cluster with two creates as a dry run

Flags:
      --config file       configuration file, of kind WebhookConfig
  -h, --help              help for webhook
      --kubeconfig file   kubeconfig file; default: $KUBECONFIG, the Pod's own service account, ~/.kube/config
  -v, --version           version for webhook

Use "webhook [command] --help" for more information about a command.
`
	assert.Equal(t, want, out.String())
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, Run(t.Context(), []string{"--version"}, &out, &out))
	assert.Contains(t, out.String(), "webhook version ")
}

func TestWrongUsageEndsWith2(t *testing.T) {
	directory := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(directory, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	const head = "apiVersion: config.extauth-guard.io/v1alpha1\nkind: WebhookConfig\n"
	cases := map[string]struct {
		args []string
		want string
	}{
		"an unknown flag":           {[]string{"--conf", "a"}, "unknown flag: --conf"},
		"a flag without value":      {[]string{"--config"}, "flag needs an argument: --config"},
		"an argument":               {[]string{"start"}, `unknown command "start" for "webhook"`},
		"a file that is not there":  {[]string{"--config", filepath.Join(directory, "none")}, "reading the configuration: open "},
		"a file with unknown field": {[]string{"--config", file("unknown", head+"servers: {}\n")}, `unknown: parsing the WebhookConfig: unknown field "servers"`},
		"a file with a wrong port":  {[]string{"--config", file("port", head+"server: {port: 70000}\n")}, "server.port: Invalid value: 70000: must be between 1 and 65535"},
		"a file of another kind":    {[]string{"--config", file("kind", "apiVersion: v1\nkind: Pod\n")}, `this is apiVersion "v1", kind "Pod"; expected apiVersion`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			err := Run(t.Context(), tc.args, &out, &errOut)
			require.ErrorContains(t, err, tc.want)
			assert.Equal(t, exit.Usage, exit.Code(err))
			assert.Empty(t, out.String(), "usage is not printed over the sentence")
			assert.Empty(t, errOut.String(), "main prints the error")
		})
	}
}

func TestWhatTheCommandLineSays(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(config, []byte("apiVersion: config.extauth-guard.io/v1alpha1\nkind: WebhookConfig\nserver: {port: 1234}\n"), 0o600))
	cases := map[string]struct {
		args           []string
		wantPort       int
		wantKubeconfig string
	}{
		"nothing":    {nil, 9443, ""},
		"everything": {[]string{"--config", config, "--kubeconfig", "k"}, 1234, "k"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ran := errors.New("ran")
			command := newCommand(&bytes.Buffer{}, func(_ context.Context, settings guard.WebhookConfig, kubeconfig string, _ logr.Logger) error {
				assert.Equal(t, tc.wantPort, settings.Server.Port)
				assert.Equal(t, tc.wantKubeconfig, kubeconfig)
				return ran
			})
			command.SetArgs(append([]string{}, tc.args...))
			err := command.ExecuteContext(t.Context())
			require.ErrorIs(t, err, ran)
			assert.Equal(t, exit.Failed, exit.Code(err))
		})
	}
}

func TestNoClusterIsAFailureWithAWayOut(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	err := Run(t.Context(), []string{"--kubeconfig", filepath.Join(t.TempDir(), "none")}, &bytes.Buffer{}, &bytes.Buffer{})
	require.ErrorContains(t, err, "finding the cluster: ")
	require.ErrorContains(t, err, "give --kubeconfig, or run in a Pod")
	assert.Equal(t, exit.Failed, exit.Code(err))
}

func TestVerbosity(t *testing.T) {
	for verbosity, want := range map[int]string{0: "0", 1: "01", 2: "012"} {
		var out bytes.Buffer
		log := newLogger(&out, verbosity)
		for level := range 4 {
			log.V(level).Info("line", "level", level)
		}
		for level, digit := range "0123" {
			assert.Equal(t, bytes.ContainsRune([]byte(want), digit), bytes.Contains(out.Bytes(), []byte(`"level":`+string(digit))), "verbosity %d, level %d", verbosity, level)
		}
	}
}
