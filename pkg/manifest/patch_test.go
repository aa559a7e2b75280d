// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
)

func fill(rule int, authorizers ...string) apirule.Edit {
	return apirule.Edit{Rule: rule, Authorizers: authorizers}
}

func TestPatchChangesNothingElse(t *testing.T) {
	record := `[{"rule":0}]`
	cases := map[string]struct {
		text  string
		edits apirule.Edits
		want  string
	}{
		"a rule in lines, with everything around it": {
			text: `# a shop
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  name: "cart"   # quoted
  annotations:
    a: b

    # of somebody
    c: d

# the spec
spec:
  rules:

  # first
  - path: /*       # everything
    methods: [GET]
    # in the rule

  # second
  - path: /b
`,
			edits: apirule.Edits{Rules: []apirule.Edit{fill(0, "oauth2-proxy"), fill(1, "a", "b")}, Provenance: &record},
			want: `# a shop
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  name: "cart"   # quoted
  annotations:
    a: b

    # of somebody
    c: d
    extauth-guard.io/injected: '[{"rule":0}]'

# the spec
spec:
  rules:

  # first
  - path: /*       # everything
    methods: [GET]
    # in the rule
    extAuth:
      authorizers:
      - oauth2-proxy

  # second
  - path: /b
    extAuth:
      authorizers:
      - a
      - b
`,
		},
		"lists are indented as the author does, and annotations come to be": {
			text: `metadata:
    name: cart
spec:
    rules:
      - path: /*
        methods:
          - GET`,
			edits: apirule.Edits{Rules: []apirule.Edit{fill(0, "oauth2-proxy")}, Provenance: &record},
			want: `metadata:
    name: cart
    annotations:
        extauth-guard.io/injected: '[{"rule":0}]'
spec:
    rules:
      - path: /*
        methods:
          - GET
        extAuth:
            authorizers:
              - oauth2-proxy`,
		},
		"noAuth goes": {
			text:  "spec:\n  rules:\n  - path: /a\n    noAuth: true # for now\n    # the methods\n    methods: [GET]\n",
			edits: apirule.Edits{Rules: []apirule.Edit{{Replaces: apirule.NoAuth, Authorizers: []string{"x"}}}},
			want:  "spec:\n  rules:\n  - path: /a\n    # the methods\n    methods: [GET]\n    extAuth:\n      authorizers:\n      - x\n",
		},
		"noAuth goes from behind the dash": {
			text:  "spec:\n  rules:\n  - noAuth: true\n    path: /a\n",
			edits: apirule.Edits{Rules: []apirule.Edit{{Replaces: apirule.NoAuth, Authorizers: []string{"x"}}}},
			want:  "spec:\n  rules:\n  - path: /a\n    extAuth:\n      authorizers:\n      - x\n",
		},
		"a jwt moves with its comments": {
			text: `spec:
  rules:
  - path: /a
    jwt: # who
      authentications:
      # the tenant
      - issuer: https://a
        jwksUri: |
          https://b
          # not a comment
    methods: [GET]
`,
			edits: apirule.Edits{Rules: []apirule.Edit{{Replaces: apirule.JWT, Authorizers: []string{"x"}}}},
			want: `spec:
  rules:
  - path: /a
    methods: [GET]
    extAuth:
      authorizers:
      - x
      restrictions: # who
        authentications:
        # the tenant
        - issuer: https://a
          jwksUri: |
            https://b
            # not a comment
`,
		},
		"an empty list is filled in its place": {
			text:  "spec:\n  rules:\n  - extAuth:\n      authorizers: []\n    path: /a\n",
			edits: apirule.Edits{Rules: []apirule.Edit{{Replaces: apirule.ExtAuth, Authorizers: []string{"x"}}}},
			want:  "spec:\n  rules:\n  - extAuth:\n      authorizers:\n      - x\n    path: /a\n",
		},
		"an old record is replaced in its place": {
			text:  "metadata:\n  annotations:\n    extauth-guard.io/injected: >-\n      [{\"rule\":7}]\n    z: y\nspec: {}\n",
			edits: apirule.Edits{Provenance: &record},
			want:  "metadata:\n  annotations:\n    extauth-guard.io/injected: '[{\"rule\":0}]'\n    z: y\nspec: {}\n",
		},
		"a rule in braces": {
			text:  "spec:\n  rules: [{noAuth: true, path: /a}, {path: /ö, methods: [GET]}] # all\n",
			edits: apirule.Edits{Rules: []apirule.Edit{{Replaces: apirule.NoAuth, Authorizers: []string{"x"}}, fill(1, "a", "b")}},
			want: "spec:\n  rules: [{path: /a, extAuth: {authorizers: [x]}}, " +
				"{path: /ö, methods: [GET], extAuth: {authorizers: [a, b]}}] # all\n",
		},
		"JSON stays JSON": {
			text:  "{\n  \"metadata\": {\n    \"name\": \"a\"\n  },\n  \"spec\": {\n    \"rules\": [\n      {\n        \"path\": \"/a\"\n      }\n    ]\n  }\n}\n",
			edits: apirule.Edits{Rules: []apirule.Edit{fill(0, "oauth2-proxy")}, Provenance: &record},
			want: "{\n  \"metadata\": {\n    \"name\": \"a\",\n    \"annotations\": {\"extauth-guard.io/injected\": \"[{\\\"rule\\\":0}]\"}\n  },\n" +
				"  \"spec\": {\n    \"rules\": [\n      {\n        \"path\": \"/a\",\n        \"extAuth\": {\"authorizers\": [\"oauth2-proxy\"]}\n      }\n    ]\n  }\n}\n",
		},
		"windows line ends": {
			text:  "spec:\r\n  rules:\r\n  - path: /a\r\n\r\nstatus: {}\r\n",
			edits: apirule.Edits{Rules: []apirule.Edit{fill(0, "oauth2-proxy")}},
			want:  "spec:\r\n  rules:\r\n  - path: /a\r\n    extAuth:\r\n      authorizers:\r\n      - oauth2-proxy\r\n\r\nstatus: {}\r\n",
		},
		"in front of the end marker": {
			text:  "---\nspec:\n  rules:\n  - path: /a\n...\n",
			edits: apirule.Edits{Rules: []apirule.Edit{fill(0, "oauth2-proxy")}},
			want:  "---\nspec:\n  rules:\n  - path: /a\n    extAuth:\n      authorizers:\n      - oauth2-proxy\n...\n",
		},
		"an anchor makes it be written anew, with comments and order": {
			text: `spec:
  # the rules
  rules:
  - {path: /a, noAuth: !!bool true} # open
`,
			edits: apirule.Edits{Rules: []apirule.Edit{{Replaces: apirule.NoAuth, Authorizers: []string{"x"}}}},
			want: `spec:
  # the rules
  rules:
  - {path: /a, extAuth: {authorizers: [x]}} # open
`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			document := manifest.Document{Text: []byte(tc.text), Line: 1}
			content, err := document.Read()
			require.NoError(t, err)
			got, err := content.Patch([]manifest.Patch{{Operations: apirule.JSONPatch(apirule.Parse(content.Objects[0].Value, ""), tc.edits)}})
			require.NoError(t, err)
			assert.Empty(t, cmp.Diff(tc.want, string(got)), "(-want +got)")
		})
	}
}

func TestPatchAnItemOfAList(t *testing.T) {
	document := manifest.Document{Line: 1, Text: []byte("kind: List\nitems:\n- a: 1\n- spec:\n    rules:\n    - path: /\n")}
	content, err := document.Read()
	require.NoError(t, err)
	got, err := content.Patch([]manifest.Patch{{Pointer: "/items/1", Operations: apirule.JSONPatch(apirule.View{}, apirule.Edits{Rules: []apirule.Edit{fill(0, "oauth2-proxy")}})}})
	require.NoError(t, err)
	assert.Equal(t, string(document.Text)+"      extAuth:\n        authorizers:\n        - oauth2-proxy\n", string(got))
}

func TestPatchRefusesToChangeTwoPlaces(t *testing.T) {
	document := manifest.Document{Line: 1, Text: []byte("spec:\n  rules:\n  - &r\n    path: /\n  - *r\n")}
	content, err := document.Read()
	require.NoError(t, err)
	_, err = content.Patch([]manifest.Patch{{Operations: apirule.JSONPatch(apirule.View{}, apirule.Edits{Rules: []apirule.Edit{fill(0, "oauth2-proxy")}})}})
	require.Error(t, err, "the second rule would change as well")
}

// Whatever the shape of the text, the result means what the API server would
// make of the patch: Patch checks that by itself, so it must only succeed.
func TestPatchEveryRuleOfTheCorpus(t *testing.T) {
	patched := 0
	for _, file := range corpus(t) {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, document := range split(t, string(raw)) {
			content, err := document.Read()
			if err != nil {
				continue
			}
			var patches []manifest.Patch
			for _, object := range content.Objects {
				view := apirule.Parse(object.Value, "")
				var edits apirule.Edits
				for _, rule := range view.Rules {
					if rule.Strategy != apirule.Malformed && len(rule.Authorizers) == 0 {
						edits.Rules = append(edits.Rules, apirule.Edit{Rule: rule.Index, Replaces: rule.Strategy, Authorizers: []string{"oauth2-proxy"}})
					}
				}
				if len(edits.Rules) == 0 {
					continue
				}
				record := "[]"
				edits.Provenance = &record
				patches = append(patches, manifest.Patch{Pointer: object.Pointer, Operations: apirule.JSONPatch(view, edits)})
			}
			got, err := content.Patch(patches)
			require.NoError(t, err, filepath.Base(file))
			assert.Subset(t, strings.Split(string(got), "\n"), comments(string(document.Text)), filepath.Base(file))
			patched += len(patches)
		}
	}
	assert.Greater(t, patched, 10)
}

func comments(text string) []string {
	var all []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			all = append(all, line)
		}
	}
	return all
}
