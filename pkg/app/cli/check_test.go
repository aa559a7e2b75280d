// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPerformAndPrint(t *testing.T) {
	ends := func(detail string, err error) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return detail, err }
	}
	var text strings.Builder
	printer := &checkPrinter{w: &text}
	all := []checked{}
	failures := perform(t.Context(), []checkup{
		{"one", "is fine", "never shown", true, ends("v1", nil)},
		{"one", "could be better", "mend it", true, ends("", warning{errors.New("it is old")})},
		{"two", "does not apply", "never shown", true, ends("", skipping{errors.New("not asked for")})},
		{"two", "is broken", "repair it", false, ends("", errors.New("gone"))},
		{"two", "is fatally broken", "", true, ends("", errors.New("lost"))},
		{"two", "is not reached", "", true, ends("", nil)},
	}, func(one checked) {
		all = append(all, one)
		printer.print(one)
	})
	raw, err := json.MarshalIndent(all, "", "  ")
	require.NoError(t, err)
	golden(t, "check.json.golden", string(raw)+"\n")
	assert.Equal(t, 2, failures)
	assert.Equal(t, `one
  √ is fine: v1
  ‼ could be better
      it is old
      hint: mend it

two
  - does not apply
      not asked for
  × is broken
      gone
      hint: repair it
  × is fatally broken
      lost
`, text.String())
}

func TestCheckNeedsACluster(t *testing.T) {
	err := Run(t.Context(), []string{"check", "--kubeconfig", "/nowhere"}, Streams{In: strings.NewReader(""), Out: &strings.Builder{}, Err: &strings.Builder{}})
	assert.ErrorContains(t, err, "reading the kubeconfig")
}
