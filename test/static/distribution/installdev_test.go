// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// installDev runs make install-dev on a machine where each program only writes
// down how it was called, and where kubectl talks to the context.
func installDev(t *testing.T, context string, programs ...string) (calls, out string, err error) {
	t.Helper()
	bin, log := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	for _, program := range programs {
		script := "#!/bin/sh\necho \"" + program + " $*\" >>" + log + "\n"
		switch program {
		case "kubectl":
			script += "echo " + context + "\n"
		case "docker":
			script += "case \"$1 $2\" in \"image inspect\") echo sha256:built;; esac\n"
		}
		require.NoError(t, os.WriteFile(filepath.Join(bin, program), []byte(script), 0o700))
	}
	for _, program := range []string{"bash", "make", "git", "env", "dirname", "timeout", "go", "awk", "sh"} {
		if path, err := exec.LookPath(program); err == nil {
			require.NoError(t, os.Symlink(path, filepath.Join(bin, program)))
		}
	}
	command := exec.CommandContext(t.Context(), "make", "--no-print-directory", "install-dev")
	command.Dir = checkout.Path(t, ".")
	command.Env = append(os.Environ(), "PATH="+bin, "MAKEFLAGS=", "MAKELEVEL=")
	said, err := command.CombinedOutput()
	raw, readErr := os.ReadFile(log)
	if !os.IsNotExist(readErr) {
		require.NoError(t, readErr)
	}
	return string(raw), string(said), err
}

func TestACheckoutIsBuiltLoadedAndInstalled(t *testing.T) {
	for tool, load := range map[string]string{
		"kind": "kind load docker-image localhost/extauth-guard:dev --name play\n",
		"k3d":  "k3d image import localhost/extauth-guard:dev --cluster play\n",
	} {
		t.Run(tool, func(t *testing.T) {
			calls, out, err := installDev(t, tool+"-play", "kubectl", "helm", "docker", tool)
			require.NoError(t, err, out)
			build := strings.Index(calls, "docker build ")
			loaded := strings.Index(calls, load)
			install := strings.Index(calls, "helm upgrade extauth-guard charts/extauth-guard --install --namespace extauth-guard --create-namespace "+
				`--set image.repository=localhost/extauth-guard --set image.tag=dev --set image.pullPolicy=Never --set-string podAnnotations.extauth-guard\.io/image=sha256:built --wait`)
			test := strings.Index(calls, "helm test extauth-guard")
			assert.True(t, build >= 0 && build < loaded && loaded < install && install < test, calls)
		})
	}
}

func TestACheckoutIsInstalledOnlyWhereItsImageCanBeLoaded(t *testing.T) {
	for name, tc := range map[string]struct {
		context  string
		programs []string
		want     string
	}{
		"a cluster of somebody else": {"production", []string{"kubectl", "helm", "docker"}, "the context production is neither of kind (kind-NAME) nor of k3d (k3d-NAME), so its nodes cannot be given an image"},
		"no helm":                    {"kind-play", []string{"kubectl", "docker", "kind"}, "helm is not installed"},
		"no kind":                    {"kind-play", []string{"kubectl", "helm", "docker"}, "the context kind-play is of kind, which is not installed"},
		"no engine":                  {"kind-play", []string{"kubectl", "helm", "kind"}, "neither docker nor podman answers, and the image has to be built"},
	} {
		t.Run(name, func(t *testing.T) {
			calls, out, err := installDev(t, tc.context, tc.programs...)
			require.Error(t, err)
			assert.Contains(t, out, tc.want)
			assert.NotContains(t, calls, "helm upgrade")
			assert.NotContains(t, calls, "docker build")
		})
	}
}
