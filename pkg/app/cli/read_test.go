// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/facts/cluster"
)

// kubeconfigOf leads to a server.
func kubeconfigOf(t *testing.T, server string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, server), 0o600))
	return file
}

func TestAServerThatCannotBeReachedIsAnErrorWithinSeconds(t *testing.T) {
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, silent.Close()) })
	gone, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	for name, tc := range map[string]struct{ server, want string }{
		"nobody listens":      {"https://" + gone.Addr().String(), "connection refused"},
		"nobody answers":      {"https://" + silent.Addr().String(), "the API server did not answer within 4s"},
		"no such host":        {"https://nowhere.invalid", "the API server cannot be reached: "},
		"plain HTTP, refused": {"http://" + gone.Addr().String(), "connection refused"},
	} {
		for _, command := range [][]string{{"explain", "shop/cart"}, {"report"}} {
			t.Run(name+", "+command[0], func(t *testing.T) {
				var out, errs bytes.Buffer
				began := time.Now()
				err := Run(t.Context(), append(command, "--kubeconfig", kubeconfigOf(t, tc.server)), Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
				require.Error(t, err)
				assert.Less(t, time.Since(began), 5*time.Second)
				assert.Contains(t, errs.String(), tc.want)
				assert.Contains(t, errs.String(), "reading the cluster "+tc.server)
				assert.NotRegexp(t, `(?m)^[EWI]\d{4} `, errs.String(), "lines of client libraries")
			})
		}
	}
}

func TestWhatCouldNotBeSeenIsSaid(t *testing.T) {
	assert.Empty(t, unseen(nil))
	assert.Equal(t, `note: only the namespace shop was read: you may not list APIRule, Service in the whole cluster
note: not read, because you may not list them: ExtAuthPolicy, Istio
note: what depends on them is not known; the ClusterRole extauth-guard-reader allows all of it
`, unseen([]cluster.Gap{{Kind: "APIRule", Namespace: "shop"}, {Kind: "ExtAuthPolicy"}, {Kind: "Istio"}, {Kind: "Service", Namespace: "shop"}}))
}

func TestACommandThatIsMistyped(t *testing.T) {
	var errs bytes.Buffer
	err := Run(t.Context(), []string{"lnt"}, Streams{In: strings.NewReader(""), Out: &errs, Err: &errs})
	require.Error(t, err)
	assert.Contains(t, errs.String(), "Did you mean this? lint; see ")
}

func TestTheVersionIsPrinted(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, Run(t.Context(), []string{"version"}, Streams{In: strings.NewReader(""), Out: &out, Err: &out}))
	assert.Equal(t, "0.0.0-dev\n", out.String())
}
