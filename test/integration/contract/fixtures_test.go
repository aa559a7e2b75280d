// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package contract_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// fixture is a file of manifests about whose last one the engines are asked; the
// others are applied before. Its first lines are comments: "code" is why the last
// one is refused at admission, "expect" the codes of the warnings about it, "lint"
// what only lint can see, "given" what is unusual about the cluster.
type fixture struct {
	name, file          string
	code, given         string
	expect              []string
	before              []*unstructured.Unstructured
	last                *unstructured.Unstructured
	lastText, wholeText string
}

// fixtures are all invalid examples, all samples, and what is in testdata.
func fixtures(t *testing.T) []fixture {
	t.Helper()
	var all []fixture
	for _, folder := range []string{checkout.Path(t, "hack/invalid-examples"), checkout.Path(t, "config/samples"), "testdata"} {
		files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		require.NoError(t, err)
		require.NotEmpty(t, files, folder)
		for _, file := range files {
			all = append(all, readFixture(t, filepath.Base(folder), file))
		}
	}
	return all
}

func readFixture(t *testing.T, folder, file string) fixture {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	one := fixture{name: folder + "/" + strings.TrimSuffix(filepath.Base(file), ".yaml"), file: file, wholeText: string(raw)}
	for line := range strings.Lines(string(raw)) {
		comment, found := strings.CutPrefix(strings.TrimSpace(line), "# ")
		if !found {
			break
		}
		switch key, value, _ := strings.Cut(comment, ": "); key {
		case "code":
			one.code = value
		case "expect":
			one.expect = strings.Split(value, ", ")
		case "given":
			one.given = value
		}
	}
	slices.Sort(one.expect)
	documents := strings.Split(string(raw), "\n---\n")
	for _, document := range documents {
		one.before = append(one.before, kyma.Object(t, document))
		one.lastText = document
	}
	one.last, one.before = one.before[len(documents)-1], one.before[:len(documents)-1]
	return one
}

// expected is true if the webhooks answered what the file announces. A refusal
// may come with warnings that a file need not announce.
func (f fixture) expected(answer admitted) bool {
	var warned, denied []string
	for field, severity := range answer.verdict {
		if severity == "deny" {
			denied = append(denied, field.code)
		} else {
			warned = append(warned, field.code)
		}
	}
	if f.code != "" {
		return slices.Contains(denied, f.code)
	}
	slices.Sort(warned)
	return len(denied) == 0 && slices.Equal(slices.Compact(warned), f.expect)
}
