// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node

package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// withoutHelm installs config/default with kubectl, as docs/operations.md says, but
// for the image.
func withoutHelm(t *testing.T, c *cluster) {
	t.Helper()
	step := steps(t)
	overlay := t.TempDir()
	base, err := filepath.Rel(overlay, checkout.Path(t, "config/default"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(
		"resources: ["+base+"]\nimages: [{name: ghcr.io/extauth-guard/extauth-guard, newName: localhost/extauth-guard, newTag: test}]\n"), 0o600))
	step("kubectl apply -k", func(t *testing.T) {
		kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", overlay)
		eventually(t, "all replicas", c.allReady)
	})
	step("what is asked for is injected, what is misspelled is refused", func(t *testing.T) {
		eventually(t, "the webhooks", c.injected)
		eventually(t, "the webhooks", c.refused)
	})
	step("kubectl delete -k, after the webhook configurations", func(t *testing.T) {
		kubectl(t, "delete", "mutatingwebhookconfiguration,validatingwebhookconfiguration", "extauth-guard")
		kubectl(t, "delete", "--ignore-not-found", "-k", overlay)
		c.gone(t, "after-kustomize")
	})
}

func kubectl(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), os.Getenv("EXTAUTH_KUBECTL"), args...).CombinedOutput()
	require.NoError(t, err, "kubectl %s: %s", strings.Join(args, " "), out)
}
