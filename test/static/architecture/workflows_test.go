// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// workflow is the part of a GitHub workflow that the rules below are about.
type workflow struct {
	Permissions any `json:"permissions"`
	Jobs        map[string]struct {
		TimeoutMinutes int `json:"timeout-minutes"`
	} `json:"jobs"`
}

// A tag can be moved to other code, a commit cannot. The tag stays as a comment
// because that is what Dependabot reads and updates.
func TestActionsArePinnedByCommit(t *testing.T) {
	uses := regexp.MustCompile(`(?m)^\s*(?:-\s+)?uses:\s*(.*)$`)
	pinned := regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	for name, content := range workflows(t) {
		for _, match := range uses.FindAllStringSubmatch(string(content), -1) {
			assert.Regexp(t, pinned, match[1], "%s: pin the action as owner/name@<40 hex digits> # vX.Y.Z", name)
		}
	}
}

func TestWorkflowsAskForLittle(t *testing.T) {
	for name, content := range workflows(t) {
		var w workflow
		require.NoError(t, yaml.Unmarshal(content, &w), name)
		assert.Equal(t, map[string]any{"contents": "read"}, w.Permissions, "%s: top-level permissions are contents: read; a job that needs more says so itself, with a comment why", name)
		assert.NotEmpty(t, w.Jobs, name)
		for job, spec := range w.Jobs {
			assert.Positive(t, spec.TimeoutMinutes, "%s: job %s has no timeout-minutes; the default is six hours", name, job)
		}
	}
}

func workflows(t *testing.T) map[string][]byte {
	t.Helper()
	root, err := moduleRoot()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	contents := map[string][]byte{}
	for _, file := range files {
		contents[filepath.Base(file)], err = os.ReadFile(file)
		require.NoError(t, err)
	}
	return contents
}
