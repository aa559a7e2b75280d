// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// binary builds kubectl-extauth as it ships.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubectl-extauth")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./cmd/kubectl-extauth")
	build.Dir, build.Env = checkout.Path(t, "."), append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// spend runs lint on what is good, so that it has to end with 0, and silently. It
// returns how long that took.
func spend(t *testing.T, binary string, args ...string) time.Duration {
	t.Helper()
	command := exec.CommandContext(t.Context(), binary, append([]string{"lint", "--authorizers", "oauth2-proxy"}, args...)...)
	start := time.Now()
	out, err := command.CombinedOutput()
	took := time.Since(start)
	require.NoError(t, err, "%s", out)
	require.Regexp(t, `^checked \d+ APIRules? in \d+ files?: no errors\n$`, string(out))
	return took
}

// heap runs lint on a stream and returns the mean size of the heap, in MiB, when it
// was about to be collected. The resident set would not do: a child begins with
// that of this process.
func heap(t *testing.T, binary, stdin string) float64 {
	t.Helper()
	command := exec.CommandContext(t.Context(), binary, "lint", "--authorizers", "oauth2-proxy", "-")
	file, err := os.Open(stdin)
	require.NoError(t, err)
	defer func() { assert.NoError(t, file.Close()) }()
	command.Stdin, command.Env = file, append(os.Environ(), "GODEBUG=gctrace=1")
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	sum, count := 0.0, 0
	for _, match := range regexp.MustCompile(`(\d+)->\d+->\d+ MB`).FindAllSubmatch(out, -1) {
		size, err := strconv.ParseFloat(string(match[1]), 64)
		require.NoError(t, err)
		sum, count = sum+size, count+1
	}
	require.Positive(t, count, "%s", out)
	return sum / float64(count)
}

// best is the shortest of some runs: others may use the machine too.
func best(t *testing.T, runs int, run func() time.Duration) time.Duration {
	t.Helper()
	shortest := time.Duration(1<<63 - 1)
	for range runs {
		shortest = min(shortest, run())
	}
	return shortest
}

// version prints the version and returns how long that took: what it takes to start.
func version(t *testing.T, binary string) time.Duration {
	t.Helper()
	start := time.Now()
	require.NoError(t, exec.CommandContext(t.Context(), binary, "version").Run())
	return time.Since(start)
}

// stream writes many documents: APIRules, for ten Services, that are to be
// injected, and every tenth document something else.
func stream(t *testing.T, documents int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), strconv.Itoa(documents)+".yaml")
	file, err := os.Create(path)
	require.NoError(t, err)
	out := bufio.NewWriter(file)
	for i := range documents {
		if i%10 == 9 {
			_, err = fmt.Fprintf(out, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\ndata: {text: %q}\n---\n", i, bytes.Repeat([]byte("x"), 300))
		} else {
			_, err = fmt.Fprintf(out, "apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata:\n  name: rule-%[1]d\n  annotations:\n    extauth-guard.io/inject: \"true\"\n"+
				"spec:\n  hosts: [rule-%[1]d.example.com]\n  gateway: kyma-system/kyma-gateway\n  service: {name: s%[2]d, port: 80}\n  rules:\n  - path: /*\n    methods: [GET]\n---\n", i, i%10)
		}
		require.NoError(t, err)
	}
	require.NoError(t, out.Flush())
	require.NoError(t, file.Close())
	return path
}

func TestTheProcessIsQuickAndSmall(t *testing.T) {
	path := binary(t)
	clean, err := os.ReadFile(checkout.Path(t, "pkg/lint/testdata/clean.yaml"))
	require.NoError(t, err)

	t.Run("lint of one file takes at most five times as long as printing the version", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "clean.yaml")
		require.NoError(t, os.WriteFile(file, clean, 0o600))
		start, took := best(t, 20, func() time.Duration { return version(t, path) }), best(t, 20, func() time.Duration { return spend(t, path, file) })
		t.Logf("%s to print the version, %s to lint", start, took)
		assert.LessOrEqual(t, took, 5*start)
	})
	t.Run("1,000 files take at most five times as long as 250", func(t *testing.T) {
		lint := func(files int) time.Duration {
			folder := t.TempDir()
			for i := range files {
				require.NoError(t, os.WriteFile(filepath.Join(folder, strconv.Itoa(i)+".yaml"), clean, 0o600))
			}
			return best(t, 5, func() time.Duration { return spend(t, path, folder) })
		}
		few, many := lint(250), lint(1000)
		t.Logf("%s and %s", few, many)
		assert.LessOrEqual(t, many, 5*few)
	})
	t.Run("100,000 documents of a stream take the memory of 1,000 and of their hosts", func(t *testing.T) {
		few, many := heap(t, path, stream(t, 1000)), heap(t, path, stream(t, 100_000))
		t.Logf("%.2f and %.2f MiB", few, many)
		// lint keeps the host of each APIRule, to tell who else has it.
		assert.Less(t, many-few, 99_000*512.0/(1<<20))
	})
}
