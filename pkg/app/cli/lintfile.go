// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"sigs.k8s.io/yaml"
)

// lintFileName is looked for in the working directory.
const lintFileName = ".extauth-lint.yaml"

// lintFile are choices of a repository that hold for everybody who lints it. Lists
// add to those of the flags; a flag that is given wins otherwise.
type lintFile struct {
	Exclude     []string `json:"exclude"`
	Ignore      []string `json:"ignore"`
	FailOn      string   `json:"failOn"`
	FailOnEmpty bool     `json:"failOnEmpty"`
	Strict      bool     `json:"strict"`
	Authorizers []string `json:"authorizers"`
}

// readLintFile reads the choices; none if there is no file.
func readLintFile() (lintFile, error) {
	var choices lintFile
	raw, err := os.ReadFile(lintFileName)
	if errors.Is(err, fs.ErrNotExist) {
		return choices, nil
	}
	if err != nil {
		return choices, fmt.Errorf("reading the choices of lint: %w", err)
	}
	if err := yaml.UnmarshalStrict(raw, &choices); err != nil {
		return choices, fmt.Errorf("reading %s: %w", lintFileName, err)
	}
	return choices, nil
}
