// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/report"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

func TestThePageHasEveryCommandFlagAndFormat(t *testing.T) {
	raw, err := os.ReadFile(checkout.Path(t, "docs/cli.md"))
	require.NoError(t, err)
	page := string(raw)
	for _, command := range cli.NewCommand().Commands() {
		assert.Contains(t, page, "\n## "+command.Name()+"\n")
		assert.NotEmpty(t, command.Example, "%s --help has no example", command.Name())
		command.Flags().VisitAll(func(flag *pflag.Flag) {
			short := "`-" + flag.Shorthand
			known := strings.Contains(page, "--"+flag.Name) || (flag.Shorthand != "" && strings.Contains(page, short))
			assert.True(t, known, "%s --%s is not on the page", command.Name(), flag.Name)
		})
	}
	for _, format := range append(lint.Formats(), report.Formats()...) {
		assert.Contains(t, page, "`"+format, "the format %s is not on the page", format)
	}
}

// A shell offers the formats of every command, and the other fixed values.
func TestFixedValuesAreCompleted(t *testing.T) {
	for _, tc := range [][]string{
		append([]string{"lint", "--output"}, lint.Formats()...), append([]string{"report", "--output"}, report.Formats()...),
		{"explain", "--output", "text", "json"},
		{"check", "--output", "text", "json"},
		{"lint", "--color", "auto", "always", "never"},
	} {
		code, stdout, stderr := run(t, "", "__complete", tc[0], tc[1], "")
		assert.Equal(t, 0, code, stderr)
		assert.Equal(t, strings.Join(tc[2:], "\n")+"\n:4\n", stdout, tc)
	}
}
