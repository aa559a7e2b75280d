// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// FuzzParse holds Parse to what its users rely on, whatever the annotation:
// nothing asked for together with an error, names that a mesh can have, and the
// same answer each time.
func FuzzParse(f *testing.F) {
	for _, key := range []string{"inject", "authorizers", "replace", "injected", "expose", "allow-removal", "injet", ""} {
		for _, value := range []string{"true", "false", "", " ", "a,b", "a,,b", "a,a", "A", "noAuth", "noAuth,jwt", "jwt,jwt", "\xff", "é", strings.Repeat("a", 64), "[{\"rule\":0}]"} {
			f.Add(annotation.Prefix+key, value, "APIRule")
		}
	}
	f.Add(annotation.Expose, "shop", "Service")
	f.Add("example.com/a", "b", "Pod")
	f.Fuzz(func(t *testing.T, key, value, kind string) {
		annotations := map[string]string{key: value}
		got, errs := annotation.Parse(annotation.Kind(kind), annotations)
		again, errsAgain := annotation.Parse(annotation.Kind(kind), annotations)
		require.Empty(t, cmp.Diff(got, again))
		require.Equal(t, sentences(errs), sentences(errsAgain))
		require.Equal(t, map[string]string{key: value}, annotations)

		if !annotation.Ours(key) {
			require.Empty(t, errs)
		} else if !slices.Contains(annotation.Keys(annotation.Kind(kind)), key) {
			require.NotEmpty(t, errs, "an unknown key under our prefix is never read as nothing")
		}
		if len(errs) > 0 {
			require.Empty(t, cmp.Diff(annotation.Intent{}, got))
			for _, err := range errs {
				assert.Equal(t, annotation.Path(key).String(), err.Field)
			}
			return
		}
		if got.Authorizers != nil {
			require.NotEmpty(t, got.Authorizers)
			require.NotNil(t, got.Inject, "names ask")
		}
		for i, name := range got.Authorizers {
			assert.Empty(t, validation.IsDNS1123Label(name))
			assert.NotContains(t, got.Authorizers[:i], name)
		}
		if got.Replace != nil {
			assert.NotEqual(t, annotation.Strategies{}, *got.Replace)
		}
	})
}

// FuzzProvenance: anybody may write our record, and reading what we would write
// of it gives the same again.
func FuzzProvenance(f *testing.F) {
	for _, value := range []string{"", "null", "[]", "[null]", `[{"rule":-1}]`, `[{"rule":1e3}]`, `[{"rule":0,"authorizers":null,"from":"<&>"}]`, `[{"RULE":1}]`, "\xff", `[{"rule":99999999999999999999}]`} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		records := annotation.ParseProvenance(value)
		text := annotation.FormatProvenance(records)
		require.Equal(t, text, annotation.FormatProvenance(annotation.ParseProvenance(text)))
	})
}
