// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// hostile are texts that mean something to some output.
func hostile() []string {
	return []string{
		"", "a", "\x1b[31mred", "a\n::error file=x::pwned", "::stop-commands::t", " \t::set-output name=a::b", "##[add-mask]x", "a\r::x::", "\u2028::x::y", "\u0085x",
		"</script><script>", "a,b:c%d", "%0A::error::x", "]]>", "&amp;", "\xff", "\x7f", "\u0080", " \u0085", "\ufeff", "\uffff", "\x00", "a b/c#d?e", "a:b.yaml", "..//x", "/abs/ü", "C:/x", "%25", "[x]", "a\\b", "'", "\"", "a long text with a lot of words in it, so that whoever folds lines folds this one ::error::here",
	}
}

// What a finding says comes out of every format as it went in, for the parser of
// the format, and is a line of nothing else.
func FuzzFindingsStayFindings(f *testing.F) {
	for _, one := range hostile() {
		for _, other := range []string{"a", "\n::error::x", "a b"} {
			f.Add(one, other)
		}
	}
	f.Fuzz(func(t *testing.T, text, other string) {
		finding := lint.Finding{
			Code: "SomeCode", Severity: policy.Deny, File: text, Line: 3, Column: 4, Kind: "APIRule", Namespace: other, Name: text,
			Path: "metadata.annotations[" + text + "]", Message: other + text, Source: text, Subject: other,
		}
		out := map[lint.Format]string{}
		for _, format := range lint.Formats() {
			var text bytes.Buffer
			printer, err := lint.NewPrinter(lint.Format(format), &text, lint.PrintOptions{})
			require.NoError(t, err)
			require.NoError(t, printer.Print(finding))
			require.NoError(t, printer.Close(lint.Summary{Objects: 1, Deny: 1, Unchecked: 1, Reason: other}))
			out[lint.Format(format)] = text.String()
			if lint.Format(format) != lint.GitHub {
				noCommand(t, text.String())
			}
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(out[lint.Text], "\n"), "\n") {
			assert.Equal(t, quote.Line(line), line, "nothing that a terminal obeys")
		}
		commands := strings.Split(strings.TrimSuffix(out[lint.GitHub], "\n"), "\n")
		assert.Len(t, commands, 2, "one command for the finding and one for what was not checked: %q", commands)
		for _, command := range commands {
			assert.Equal(t, quote.Line(command), command)
			assert.Regexp(t, `^::(error|notice) [^:]*::`, command)
		}
		readAgain(t, finding, out)
	})
}

func readAgain(t *testing.T, finding lint.Finding, out map[lint.Format]string) {
	t.Helper()
	same := func(want, got string) {
		t.Helper()
		assert.Equal(t, utf8.RuneCountInString(want), utf8.RuneCountInString(got), "%q %q", want, got)
	}
	var asJSON, asYAML struct{ Findings []lint.Finding }
	require.NoError(t, json.Unmarshal([]byte(out[lint.JSON]), &asJSON))
	require.NoError(t, yaml.Unmarshal([]byte(out[lint.YAML]), &asYAML), out[lint.YAML])
	for _, read := range [][]lint.Finding{asJSON.Findings, asYAML.Findings} {
		require.Len(t, read, 1)
		same(finding.Name, read[0].Name)
		same(finding.Message, read[0].Message)
	}
	var sarif struct {
		Runs []struct {
			Results []struct {
				Locations []struct {
					PhysicalLocation struct{ ArtifactLocation struct{ URI string } }
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out[lint.SARIF]), &sarif))
	require.Len(t, sarif.Runs[0].Results, 1)
	uri := sarif.Runs[0].Results[0].Locations[0].PhysicalLocation.ArtifactLocation.URI
	parsed, err := url.Parse(uri)
	require.NoError(t, err, uri)
	assert.Contains(t, []string{"", "file"}, parsed.Scheme, uri)
	assert.Empty(t, parsed.RawQuery+parsed.Fragment+parsed.Host, uri)
	assert.Regexp(t, "^([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})*$", uri)
	decoder := xml.NewDecoder(strings.NewReader(out[lint.JUnit]))
	cases := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "testcase" {
			cases++
		}
	}
	assert.Equal(t, 2, cases)
}

func noCommand(t *testing.T, text string) {
	t.Helper()
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r", "\n"), "\n") {
		assert.False(t, strings.HasPrefix(strings.TrimSpace(line), "::"), "%q", line)
	}
}
