// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/licenseclassifier/v2/assets"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// text is the text of a licence, from a file of the classifier.
func text(t *testing.T, file string) string {
	t.Helper()
	found, err := assets.ReadLicenseFile("License/" + file)
	require.NoError(t, err)
	return string(found)
}

func TestLicensesOf(t *testing.T) {
	known, err := assets.DefaultClassifier()
	require.NoError(t, err)
	mit, apache, gpl, lgpl := text(t, "MIT/pristine.txt"), text(t, "Apache-2.0/pristine.txt"), text(t, "GPL-2.0/license.txt"), text(t, "LGPL-3.0/pristine.txt")
	cases := map[string]struct {
		files map[string]string
		want  []string
		err   string
	}{
		"one":                       {map[string]string{"LICENSE": mit, "README.md": gpl}, []string{"MIT"}, ""},
		"two files":                 {map[string]string{"LICENSE-APACHE": apache, "COPYING.txt": mit}, []string{"Apache-2.0", "MIT"}, ""},
		"two in one file":           {map[string]string{"LICENSE.md": mit + "\n\n" + apache}, []string{"Apache-2.0", "MIT"}, ""},
		"that of its documents":     {map[string]string{"LICENSE": mit, "LICENSE.docs": gpl}, []string{"MIT"}, ""},
		"none":                      {map[string]string{"README": mit}, nil, "there is no file with its licence"},
		"one that nobody knows":     {map[string]string{"LICENCE": "Do no evil."}, nil, "LICENCE is no licence that is known"},
		"one that we cannot keep":   {map[string]string{"COPYING": gpl}, nil, "its licence is GPL-2.0; we can keep Apache-2.0, "},
		"a second one of that sort": {map[string]string{"LICENSE": mit, "LICENSE.lgpl": lgpl}, nil, "its licence is LGPL-3.0"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			for file, content := range tc.files {
				require.NoError(t, os.WriteFile(filepath.Join(directory, file), []byte(content), 0o600))
			}
			got, err := licensesOf(known, directory)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}
