// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// modulePath is the path every package of this module starts with.
const modulePath = "github.com/extauth-guard/extauth-guard"

// pkg is what go list says about one package of this module.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// local is the path inside the module: "pkg/policy".
func (p pkg) local() string { return strings.TrimPrefix(p.ImportPath, modulePath+"/") }

// isUnder reports whether the package is dir or below it.
func (p pkg) isUnder(dirs ...string) bool {
	for _, dir := range dirs {
		if p.local() == dir || strings.HasPrefix(p.local(), dir+"/") {
			return true
		}
	}
	return false
}

// module lists the packages of this module, once for all tests.
func module(t *testing.T) []pkg {
	t.Helper()
	packages, err := list()
	require.NoError(t, err)
	require.NotEmpty(t, packages)
	return packages
}

var list = sync.OnceValues(func() ([]pkg, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, errors.New("running go list: " + err.Error() + ": " + stderr.String())
	}
	var packages []pkg
	for dec := json.NewDecoder(&stdout); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
})

// moduleRoot walks up from the working directory to the first go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("looking for the module root: no go.mod in this directory or above it")
		}
		dir = parent
	}
}
