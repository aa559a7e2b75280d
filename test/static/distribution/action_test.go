// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// action is what is read of action.yml.
type action struct {
	Name, Description string
	Inputs            map[string]struct {
		Description, Default string
		Required             bool
	}
	Runs struct {
		Using string
		Steps []struct {
			Uses, Shell, Run string
			With, Env        map[string]string
		}
	}
}

func readAction(t *testing.T) action {
	t.Helper()
	raw, err := os.ReadFile(checkout.Path(t, "action.yml"))
	require.NoError(t, err)
	var read action
	require.NoError(t, yaml.UnmarshalStrict(raw, &read))
	return read
}

func TestTheActionIsComposite(t *testing.T) {
	read := readAction(t)
	assert.Equal(t, "composite", read.Runs.Using)
	assert.NotEmpty(t, read.Name)
	assert.NotEmpty(t, read.Description)
	for name, input := range read.Inputs {
		assert.NotEmpty(t, input.Description, name)
	}
	for _, step := range read.Runs.Steps {
		switch {
		case step.Uses != "":
			assert.Regexp(t, `^[\w-]+/[\w-]+@[0-9a-f]{40}$`, step.Uses, "pinned by a commit")
		default:
			assert.Equal(t, "bash", step.Shell)
			assert.NotContains(t, step.Run, "${{", "an expression in a script is taken for code")
		}
	}
}

// perform runs the steps of the action as a runner does, in a workspace, and stops
// at the first that fails. What it uses of others, Go, is there already. Runs that
// share temp link only once.
func perform(t *testing.T, temp, workspace string, inputs map[string]string) (code int, out string) {
	t.Helper()
	read := readAction(t)
	root := checkout.Path(t, ".")
	expression := regexp.MustCompile(`\$\{\{ *([\w.]+) *\}\}`)
	evaluate := func(text string) string {
		return expression.ReplaceAllStringFunc(text, func(match string) string {
			name := expression.FindStringSubmatch(match)[1]
			if input, found := strings.CutPrefix(name, "inputs."); found {
				require.Contains(t, read.Inputs, input)
				if value, given := inputs[input]; given {
					return value
				}
				return read.Inputs[input].Default
			}
			require.Equal(t, "github.action_path", name)
			return root
		})
	}
	for _, step := range read.Runs.Steps {
		if step.Run == "" {
			continue
		}
		script := filepath.Join(temp, "script.sh")
		require.NoError(t, os.WriteFile(script, []byte(step.Run), 0o600))
		environment := []string{"RUNNER_TEMP=" + temp, "GITHUB_ACTIONS=true", "GITHUB_WORKSPACE=" + workspace}
		for key, value := range step.Env {
			environment = append(environment, key+"="+evaluate(value))
		}
		var printed string
		// What a runner means by "bash".
		code, printed = run(t, workspace, environment, "bash", "--noprofile", "--norc", "-eo", "pipefail", script)
		out += printed
		if code != 0 {
			return code, out
		}
	}
	return code, out
}

func TestTheActionLints(t *testing.T) {
	temp := t.TempDir()
	for name, tc := range map[string]struct {
		files    map[string]string
		inputs   map[string]string
		wantCode int
		want     string
		wantNot  string
	}{
		"nothing given, all is well": {
			files: map[string]string{"deploy/cart.yaml": protected, "deploy/istio.yaml": registered},
		},
		"a finding is an annotation at a line of a file": {
			files:    map[string]string{"deploy/pay.yaml": misspelled, "istio.yaml": registered},
			wantCode: 1, want: "::error file=deploy/pay.yaml,line=9,col=",
		},
		"only what is named is looked at": {
			files:  map[string]string{"a/cart.yaml": protected, "b/pay.yaml": misspelled, "istio.yaml": registered},
			inputs: map[string]string{"paths": "a istio.yaml", "arguments": "--strict"},
		},
		"every line of the paths is looked at": {
			files:    map[string]string{"a/cart.yaml": protected, "b/pay.yaml": misspelled, "istio.yaml": registered},
			inputs:   map[string]string{"paths": "a istio.yaml\n  b\n"},
			wantCode: 1, want: "file=b/pay.yaml",
		},
		"arguments and formats": {
			files:    map[string]string{"pay.yaml": misspelled},
			inputs:   map[string]string{"paths": ".", "arguments": "--authorizers oauth2-proxy --strict", "output": "sarif"},
			wantCode: 1, want: `"ruleId": "AuthorizerNotRegistered"`,
		},
		"an input is never code": {
			files:    map[string]string{"cart.yaml": protected},
			inputs:   map[string]string{"paths": `$(touch${IFS}pwned) ; touch pwned`},
			wantCode: 2, want: "no such file", wantNot: "pwned\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			workspace := write(t, tc.files)
			code, out := perform(t, temp, workspace, tc.inputs)
			assert.Equal(t, tc.wantCode, code, out)
			assert.Contains(t, out, tc.want)
			assert.NoFileExists(t, filepath.Join(workspace, "pwned"))
			if tc.wantCode == 0 {
				assert.Regexp(t, `^checked .* no errors\n$`, out)
			}
		})
	}
}
