// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs holds the documentation to what there is: its links lead somewhere,
// every page is in the index, and its commands have flags, values and targets that
// exist. Here the commands are read; test/integration/docs runs them.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// pages returns all pages by their path in the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	root, all := checkout.Path(t, "."), map[string]string{}
	read := func(path string) {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		name, err := filepath.Rel(root, path)
		require.NoError(t, err)
		all[name] = string(raw)
	}
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") && !entry.IsDir() {
			read(path)
		}
		return err
	}))
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "RELEASE.md", "charts/extauth-guard/README.md"} {
		read(filepath.Join(root, name))
	}
	require.Greater(t, len(all), 20)
	return all
}

// anchors returns those that GitHub gives to the headings of a page.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		text := strings.ToLower(regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`).ReplaceAllString(heading[1], "$1"))
		text = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(text, "")
		all[strings.ReplaceAll(text, " ", "-")] = true
	}
	return all
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	all := pages(t)
	for name, page := range all {
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(page, -1) {
			path, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(path, ":") {
				continue // another site, which this test does not ask
			}
			to := name
			if path != "" {
				to = filepath.Join(filepath.Dir(name), path)
				_, err := os.Stat(checkout.Path(t, to))
				assert.NoError(t, err, "%s links to %s", name, link[1])
			}
			if anchor != "" && strings.HasSuffix(to, ".md") {
				assert.True(t, anchors(all[to])[anchor], "%s links to %s, where no heading is %q", name, link[1], anchor)
			}
		}
	}
}

// What the first screen shows is what the API server says.
func TestTheReadmeShowsARealAnswer(t *testing.T) {
	answer, err := os.ReadFile(checkout.Path(t, "test/integration/webhook/testdata/kubectl/authorizer-not-registered.txt"))
	require.NoError(t, err)
	assert.Contains(t, pages(t)["README.md"], strings.TrimSpace(string(answer)))
}

func TestEveryPageIsInTheIndex(t *testing.T) {
	all := pages(t)
	for name := range all {
		below, found := strings.CutPrefix(name, "docs/")
		if found && below != "README.md" {
			assert.Contains(t, all["docs/README.md"], "("+below+")")
		}
	}
}

// commands returns the lines of all shell blocks, with continued ones in one.
func commands(page string) []string {
	var all []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", " ")) {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

func TestCommandsOfTheCommandLineHaveFlagsThatThereAre(t *testing.T) {
	looked := 0
	for name, page := range pages(t) {
		for _, line := range commands(page) {
			for _, call := range regexp.MustCompile(`kubectl extauth ([a-z]+)([^|)]*)`).FindAllStringSubmatch(line, -1) {
				if call[1] == "completion" {
					continue
				}
				command, _, err := cli.NewCommand().Find([]string{call[1]})
				if assert.NoError(t, err, "%s: %s", name, line) {
					looked++
					for _, flag := range regexp.MustCompile(` --([a-z][a-z-]*)`).FindAllStringSubmatch(call[2], -1) {
						assert.True(t, flag[1] == "help" || command.Flag(flag[1]) != nil, "%s: %s has no --%s", name, call[1], flag[1])
					}
				}
			}
		}
	}
	assert.Greater(t, looked, 20)
}

func TestValuesThatAreSetAreValuesOfTheChart(t *testing.T) {
	directory, err := chart.Directory()
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(directory, "values.yaml"))
	require.NoError(t, err)
	values := map[string]any{}
	require.NoError(t, yaml.Unmarshal(raw, &values))
	looked := 0
	for name, page := range pages(t) {
		for _, line := range commands(page) {
			if !strings.HasPrefix(line, "helm ") {
				continue
			}
			for _, set := range regexp.MustCompile(`--set(?:-json|-string)? '?([\w.]+)`).FindAllStringSubmatch(line, -1) {
				looked++
				assert.True(t, reaches(values, strings.Split(set[1], ".")), "%s sets %s, which is no value of the chart", name, set[1])
			}
		}
	}
	assert.Greater(t, looked, 8)
}

// reaches is true if there is a value at a path, or above it a map that is empty
// for the user to fill.
func reaches(values map[string]any, path []string) bool {
	value, found := values[path[0]]
	if !found {
		return len(values) == 0
	}
	below, isMap := value.(map[string]any)
	return len(path) == 1 || (isMap && reaches(below, path[1:]))
}

func TestTargetsOfMakeExist(t *testing.T) {
	var rules strings.Builder
	files, err := filepath.Glob(checkout.Path(t, "hack/make/*.mk"))
	require.NoError(t, err)
	for _, file := range append(files, checkout.Path(t, "Makefile")) {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		rules.Write(raw)
	}
	for name, page := range pages(t) {
		for _, target := range regexp.MustCompile("`make ([a-z][a-z0-9-]*)`").FindAllStringSubmatch(page, -1) {
			assert.Contains(t, rules.String(), "\n"+target[1]+":", "%s: make %s", name, target[1])
		}
	}
}

// The examples are what the pages say: they leave alone what the webhook writes.
func TestExamplesOfGitOpsLeaveAloneWhatTheWebhookWrites(t *testing.T) {
	for _, name := range []string{"argo-cd/application.yaml", "flux/release.yaml"} {
		raw, err := os.ReadFile(checkout.Path(t, "config/examples/"+name))
		require.NoError(t, err)
		for document := range strings.SplitSeq(string(raw), "\n---\n") {
			var object map[string]any
			require.NoError(t, yaml.UnmarshalStrict([]byte(document), &object), name)
		}
		for _, kind := range []string{"Secret", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} {
			assert.Contains(t, string(raw), "kind: "+kind, name)
		}
	}
}
