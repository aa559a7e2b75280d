// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs runs the commands of README.md and of the pages in docs/ as they are
// written: a real API server with Kyma's CRDs, kubectl, helm and our own programs, and
// stand-ins for the hosts that the pages name.
//
// A page is a session in a directory of its own. What the pages suppose to be there is in
// testdata: world.yaml in the cluster, files in the directory. No Pod runs: the webhooks
// of an installation are answered by a replica beside the cluster, and Helm neither waits
// nor runs hooks. A block that cannot run has a mark with the reason before it:
//
//	<!-- not run: needs a kubelet -->
package docs

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// most is how many blocks may be marked as not run.
const most = 15

// patience bounds one command. Most take less than a second.
const patience = time.Minute

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	m.Run()
}

// journey is read from its first step to its last, in a cluster of its own; each of the
// other pages is by itself.
func journey() []string {
	return []string{"docs/sap-cloud-identity-services.md", "docs/uninstall.md"}
}

func TestTheCommandsOfTheDocsRun(t *testing.T) {
	for _, name := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("skipped: there is no %s here, which the pages use", name)
		}
	}
	tools := build(t)
	net := open(t)
	blocks, run := everyBlock(t), 0
	t.Run("pages", func(t *testing.T) {
		cluster := start(t, tools, net)
		for _, page := range slices.Sorted(maps.Keys(blocks)) {
			if page != journey()[0] && page != journey()[1] {
				t.Run(page, func(t *testing.T) {
					cluster.prepare(t, blocks[page])
					run += session{cluster, t.TempDir()}.page(t, page, blocks[page])
					cluster.leave(t)
				})
			}
		}
	})
	t.Run("journey", func(t *testing.T) {
		cluster := start(t, tools, net)
		for _, page := range journey() {
			t.Run(page, func(t *testing.T) { run += session{cluster, t.TempDir()}.page(t, page, blocks[page]) })
			if page == journey()[0] {
				assert.Equal(t, "oauth2-proxy", cluster.must(t, `kubectl -n shop get apirule httpbin --output jsonpath='{.spec.rules[0].extAuth.authorizers[0]}'`), "the page protects it")
				// The first step of an end is that no APIRule uses the authorizer.
				cluster.must(t, "kubectl delete apirules --all --all-namespaces")
			}
		}
	})
	t.Logf("%d commands ran", run)
}

func TestFewBlocksAreNotRun(t *testing.T) {
	marked, commands := 0, 0
	for page, blocks := range everyBlock(t) {
		for _, block := range blocks {
			commands += len(block.commands)
			if block.reason != "" {
				marked++
				t.Logf("%s:%d is not run: %s", page, block.line, block.reason)
			}
		}
	}
	assert.LessOrEqual(t, marked, most)
	assert.Greater(t, commands, 80)
}

// session runs the commands of one page.
type session struct {
	cluster   *cluster
	directory string
}

// page runs the blocks of a page in their order and returns how many commands that were.
func (s session) page(t *testing.T, page string, blocks []block) int {
	t.Helper()
	require.NoError(t, os.CopyFS(s.directory, os.DirFS(checkout.Path(t, "test/integration/docs/testdata/files"))))
	ran := 0
	for _, block := range blocks {
		if block.reason != "" {
			continue
		}
		for _, command := range block.commands {
			ran++
			at := fmt.Sprintf("%s:%d: %s", page, block.line, command.text)
			start := time.Now()
			out, code := s.run(t, strings.ReplaceAll(command.text, "sha256:DIGEST", s.cluster.net.digest))
			t.Logf("%s\nexit code %d after %d ms\n%.1500s", at, code, time.Since(start).Milliseconds(), out)
			assert.True(t, code == 0 || code == 1 && judges(command.text), "%s\nends with %d:\n%s", at, code, out)
			assert.NotRegexp(t, `panic:|unknown (flag|command)|undefined`, out, at)
			if command.answer != "" {
				assert.Equal(t, squeeze(command.answer), squeeze(out), at)
			}
		}
	}
	return ran
}

// judges is true for a command whose exit code 1 is an answer: something is not protected
// or not installed, which is so in a cluster without Pods.
func judges(command string) bool {
	return regexp.MustCompile(`kubectl extauth (lint|explain|report|check)\b`).MatchString(command)
}

// squeeze makes columns comparable, however wide they are.
func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }

// run runs a command as somebody who types it, and returns what it prints.
func (s session) run(t *testing.T, command string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", "set -o pipefail\n"+command)
	shell.Dir, shell.Env = s.directory, s.cluster.environment()
	shell.WaitDelay = time.Second
	raw, err := shell.CombinedOutput()
	if shell.ProcessState == nil {
		require.NoError(t, err)
	}
	return string(raw), shell.ProcessState.ExitCode()
}

// everyBlock returns the blocks of README.md and the pages in docs/.
func everyBlock(t *testing.T) map[string][]block {
	t.Helper()
	files, err := filepath.Glob(checkout.Path(t, "docs/*.md"))
	require.NoError(t, err)
	all, count := map[string][]block{}, 0
	for _, file := range append(files, checkout.Path(t, "README.md")) {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		name, err := filepath.Rel(checkout.Path(t, "."), file)
		require.NoError(t, err)
		if found := blocks(string(raw)); len(found) > 0 {
			all[filepath.ToSlash(name)] = found
			count += len(found)
		}
	}
	require.Greater(t, count, 40)
	return all
}
