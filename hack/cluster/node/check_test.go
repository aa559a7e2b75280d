// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package node tests what the scripts beside it promise to their callers.
package node

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// unavailable is the exit code for what a machine lacks, as opposed to a fault.
const unavailable = 69

// check runs node.sh check, and returns its exit code and what it says.
func check(t *testing.T, prepare func(*exec.Cmd), command ...string) (code int, says string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), command[0], command[1:]...)
	run.Dir = checkout.Path(t, ".")
	prepare(run)
	out, err := run.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(out)
	}
	require.NoError(t, err, string(out))
	return 0, string(out)
}

func asIs(*exec.Cmd) {}

// Continuous integration leaves the suite out for this code only, so a machine
// that cannot run it must not be told by any other.
func TestAMachineThatCannotRunANodeHasACodeOfItsOwn(t *testing.T) {
	code, says := check(t, asIs, "hack/cluster/node/node.sh", "check")
	assert.Contains(t, []int{0, unavailable}, code, says)
	if code == unavailable {
		assert.Contains(t, says, "node: this machine cannot run it: ")
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can take things away from itself")
	}
	t.Run("root", func(t *testing.T) {
		code, says := check(t, func(run *exec.Cmd) {
			run.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			run.Dir = "/"
			run.Path, run.Args = "/bin/bash", []string{"bash", "-s", "check"}
			script, err := os.ReadFile(checkout.Path(t, "hack/cluster/node/node.sh"))
			require.NoError(t, err)
			// Where nobody may enter the checkout.
			run.Stdin = strings.NewReader(strings.Replace(string(script), `here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)`, "here=/", 1))
		}, "/bin/bash")
		assert.Equal(t, unavailable, code, says)
		assert.Contains(t, says, "needs root")
	})
	if code, says := check(t, asIs, "hack/cluster/node/node.sh", "check"); code != 0 {
		t.Skipf("nothing can be taken away where something lacks: %s", says)
	}
	cases := map[string]struct{ script, want string }{
		"cgroups of version 1": {
			`mount -t tmpfs x /sys/fs/cgroup && touch /sys/fs/cgroup/cgroup.controllers && exec hack/cluster/node/node.sh check`,
			"there is no cpu: it has version 2 only",
		},
		"a place for images": {`EXTAUTH_NODE_DIR=/proc/nowhere exec hack/cluster/node/node.sh check`, "nothing can be written to /proc/nowhere"},
		"network interfaces": {`exec setpriv --bounding-set=-net_admin hack/cluster/node/node.sh check`, "of the kind veth"},
		"mounts":             {`exec setpriv --bounding-set=-sys_admin hack/cluster/node/node.sh check`, "in namespaces of its own, unshare"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			code, says := check(t, asIs, "unshare", "--mount", "bash", "-c", tc.script)
			assert.Equal(t, unavailable, code, says)
			assert.Contains(t, says, tc.want)
		})
	}
}
