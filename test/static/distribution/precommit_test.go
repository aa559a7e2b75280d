// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// hook is one entry of .pre-commit-hooks.yaml, with the keys that are used here of
// those that pre-commit knows (https://pre-commit.com/#creating-new-hooks).
type hook struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	Description   string   `json:"description"`
	Entry         string   `json:"entry"`
	Language      string   `json:"language"`
	TypesOr       []string `json:"types_or"`
	RequireSerial bool     `json:"require_serial"`
}

// extensions are those by which pre-commit's library identify gives a file a type.
func extensions() map[string][]string {
	return map[string][]string{"yaml": {".yaml", ".yml"}, "json": {".json"}}
}

func TestThePreCommitHook(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git")
	}
	raw, err := os.ReadFile(checkout.Path(t, ".pre-commit-hooks.yaml"))
	require.NoError(t, err)
	var hooks []hook
	require.NoError(t, yaml.UnmarshalStrict(raw, &hooks))
	require.Len(t, hooks, 1)
	one := hooks[0]
	assert.Equal(t, "extauth-lint", one.ID)
	assert.NotEmpty(t, one.Name)
	assert.True(t, one.RequireSerial, "files tell about each other, so they have to come together")
	// For golang, pre-commit runs go install ./... and puts the commands in front of
	// the search path.
	require.Equal(t, "golang", one.Language)
	commands := t.TempDir()
	plugin(t.Context(), t, commands)
	environment := []string{"PATH=" + commands + string(os.PathListSeparator) + os.Getenv("PATH")}

	repository := write(t, map[string]string{
		"deploy/cart.yaml": protected, "deploy/istio.yml": registered, "notes.txt": "APIRule", "values.json": "{}",
		"later/pay.yaml": misspelled, // not staged
	})
	git := func(args ...string) string {
		t.Helper()
		code, out := run(t, repository, nil, "git", args...)
		require.Equal(t, 0, code, out)
		return out
	}
	git("init", "-q")
	git("add", "deploy", "notes.txt", "values.json")
	commit := func() (int, string) {
		t.Helper()
		arguments := strings.Fields(one.Entry)
		for file := range strings.SplitSeq(strings.TrimSuffix(git("diff", "--staged", "--name-only", "--no-ext-diff", "-z", "--diff-filter=ACMRTUXB"), "\x00"), "\x00") {
			for _, kind := range one.TypesOr {
				require.Contains(t, extensions(), kind, "pre-commit does not know the type")
				if slices.Contains(extensions()[kind], filepath.Ext(file)) {
					arguments = append(arguments, file)
				}
			}
		}
		program, err := exec.LookPath(filepath.Join(commands, arguments[0]))
		require.NoError(t, err)
		return run(t, repository, environment, program, arguments[1:]...)
	}
	code, out := commit()
	assert.Equal(t, 0, code, out)
	assert.Regexp(t, `^checked .* no errors\n$`, out)

	git("add", "later")
	code, out = commit()
	assert.Equal(t, 1, code, out)
	assert.Contains(t, out, "later/pay.yaml:9:")
}
