// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

const tag = "v1.2.3"

// render fills in .krew.yaml as krew-release-bot does (pkg/source/template.go: two
// functions and no others, and what it prints is indented by four).
func render(t *testing.T, sum string) (manifest string, archives []string) {
	t.Helper()
	functions := template.FuncMap{
		"indent": func(_ int, text string) string { return text },
		"addURIAndSha": func(url, tag string) string {
			var filled bytes.Buffer
			parsed, err := template.New("url").Parse(url)
			require.NoError(t, err)
			require.NoError(t, parsed.Execute(&filled, struct{ TagName string }{tag}))
			archives = append(archives, filepath.Base(filled.String()))
			return fmt.Sprintf("uri: %s\n    sha256: %s", filled.String(), sum)
		},
	}
	parsed, err := template.New(".krew.yaml").Funcs(functions).ParseFiles(checkout.Path(t, ".krew.yaml"))
	require.NoError(t, err)
	file, err := os.Create(filepath.Join(t.TempDir(), "extauth.yaml")) // krew wants the plugin's name
	require.NoError(t, err)
	require.NoError(t, parsed.Execute(file, struct{ TagName string }{tag}))
	require.NoError(t, file.Close())
	return file.Name(), archives
}

// krew returns a command of the krew that hack/tools pins.
func krew(args ...string) []string {
	return append([]string{"tool", "-modfile=hack/tools/krew/go.mod"}, args...)
}

func TestKrewAcceptsTheManifest(t *testing.T) {
	manifest, archives := render(t, strings.Repeat("ab", 32))
	code, out := run(t, checkout.Path(t, "."), nil, "go", krew("validate-krew-manifest", "-skip-install", "-manifest", manifest)...)
	assert.Equal(t, 0, code, out)
	assert.Contains(t, out, "structural validation OK")

	raw, err := os.ReadFile(manifest)
	require.NoError(t, err)
	var content struct {
		Spec struct {
			Version   string
			Platforms []struct {
				Selector struct{ MatchLabels map[string]string }
				URI, Bin string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(raw, &content))
	assert.Equal(t, tag, content.Spec.Version)
	require.Len(t, content.Spec.Platforms, len(archives))
	for i, one := range content.Spec.Platforms {
		system, machine := one.Selector.MatchLabels["os"], one.Selector.MatchLabels["arch"]
		assert.Equal(t, fmt.Sprintf("kubectl-extauth_%s_%s.tar.gz", system, machine), archives[i])
		assert.Equal(t, "https://github.com/extauth-guard/extauth-guard/releases/download/"+tag+"/"+archives[i], one.URI)
		assert.Equal(t, system == "windows", strings.HasSuffix(one.Bin, ".exe"))
	}
}

// The archives that a release packs are those that the manifest names.
func TestTheManifestNamesTheArchivesOfARelease(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(checkout.Path(t, "hack"), "archives.sh"))
	if os.IsNotExist(err) {
		t.Skip("hack/release/archives.sh, which packs a release, is not in this checkout")
	}
	require.NoError(t, err)
	_, archives := render(t, "")
	assert.Contains(t, string(script), "kubectl-extauth_${os}_$arch.tar.gz")
	var packed []string
	for system := range strings.FieldsSeq(loop(t, script, "os")) {
		for machine := range strings.FieldsSeq(loop(t, script, "arch")) {
			packed = append(packed, "kubectl-extauth_"+system+"_"+machine+".tar.gz")
		}
	}
	assert.ElementsMatch(t, archives, packed)
}

// loop returns what a loop of a shell script goes through.
func loop(t *testing.T, script []byte, variable string) string {
	t.Helper()
	_, rest, found := strings.Cut(string(script), "for "+variable+" in ")
	require.True(t, found, "there is no loop over %s", variable)
	values, _, _ := strings.Cut(rest, ";")
	return values
}

func TestKrewInstallsThePlugin(t *testing.T) {
	for _, program := range []string{"git", "tar"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s", program)
		}
	}
	packed := t.TempDir()
	plugin(t.Context(), t, packed)
	license, err := os.ReadFile(checkout.Path(t, "LICENSE"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(packed, "LICENSE"), license, 0o600))
	archive := filepath.Join(t.TempDir(), fmt.Sprintf("kubectl-extauth_%s_%s.tar.gz", runtime.GOOS, runtime.GOARCH))
	code, out := run(t, packed, nil, "tar", "-czf", archive, ".")
	require.Equal(t, 0, code, out)
	raw, err := os.ReadFile(archive)
	require.NoError(t, err)
	sum := sha256.Sum256(raw)
	manifest, _ := render(t, hex.EncodeToString(sum[:]))

	root := t.TempDir()
	code, out = run(t, checkout.Path(t, "."), []string{"KREW_ROOT=" + root, "KREW_NO_UPGRADE_CHECK=1"}, "go", krew("krew", "install", "--manifest", manifest, "--archive", archive)...)
	require.Equal(t, 0, code, out)
	installed := filepath.Join(root, "bin", "kubectl-extauth")
	code, out = run(t, root, nil, installed, "--version")
	assert.Equal(t, 0, code, out)
	assert.Contains(t, out, tag)
	code, out = run(t, write(t, map[string]string{"a.yaml": misspelled}), nil, installed, "lint", ".", "--authorizers", "oauth2-proxy")
	assert.Equal(t, 1, code, out)
	assert.Contains(t, out, "AuthorizerNotRegistered")
}
