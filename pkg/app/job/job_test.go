// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
)

func TestTheCommandLineChoosesTheOperation(t *testing.T) {
	cases := map[string]struct {
		args     []string
		want     string
		wantOpts options
	}{
		"nothing is a run":         {nil, "run", options{}},
		"run":                      {[]string{"run", "--config=x", "--dry-run"}, "run", options{configFile: "x", dryRun: true}},
		"uninstall":                {[]string{"uninstall", "--output=json"}, "uninstall", options{output: outputJSON}},
		"flags before the command": {[]string{"--config", "x", "uninstall"}, "uninstall", options{configFile: "x"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got string
			var opts options
			record := func(_ context.Context, op operation, o options, _, _ io.Writer) error {
				got, opts = op.name, o
				return nil
			}
			require.NoError(t, newCommand(append([]string{}, tc.args...), io.Discard, io.Discard, record).ExecuteContext(t.Context()))
			assert.Equal(t, tc.want, got)
			assert.Equal(t, tc.wantOpts.configFile, opts.configFile)
			assert.Equal(t, tc.wantOpts.dryRun, opts.dryRun)
		})
	}
}

func TestNoFlagTakesASecret(t *testing.T) {
	var help bytes.Buffer
	require.NoError(t, Run(t.Context(), []string{"--help"}, &help, io.Discard))
	for _, word := range []string{"secret ", "password", "token "} {
		for line := range strings.Lines(help.String()) {
			if strings.Contains(line, "--") {
				assert.NotContains(t, strings.ToLower(line), word)
			}
		}
	}
}

func TestWhoeverStopsItDoesNotGetZero(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := stopped(ctx, context.Canceled)
	assert.Equal(t, exit.Failed, exit.Code(err))
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, exit.Timeout, exit.Code(stopped(ctx, context.DeadlineExceeded)))
	assert.NoError(t, stopped(ctx, nil))
}

func results() []bootstrap.Result {
	return []bootstrap.Result{
		{Step: "preflight", After: bootstrap.Observation{State: bootstrap.Done, Reason: "Complete", Message: "issuer https://id.example.com"}, Duration: 1200 * time.Millisecond},
		{Step: "namespace", After: bootstrap.Observation{State: bootstrap.Needed, Reason: "Absent", Message: "oauth2-proxy is to be created"}},
		{Step: "proxy", After: bootstrap.Observation{State: bootstrap.Unknown, Message: "not yet"}},
		{Step: "authorizer", After: bootstrap.Observation{State: bootstrap.Blocked, Reason: "Foreign", Message: "rename it"}, Err: &bootstrap.BlockedError{Step: "authorizer"}},
		{Step: "verify", Applied: true, Err: errors.New("step verify: boom")},
	}
}

func TestTextOutputHasALineForEachStep(t *testing.T) {
	var out bytes.Buffer
	o, err := newOutput(outputText, &out)
	require.NoError(t, err)
	for _, result := range results() {
		o.Started(result.Step)
		o.Finished(result)
	}
	o.Summary(newSummary("run", results(), errors.New("boom"), time.Unix(0, 0)))
	want := `✓ preflight    issuer https://id.example.com (1.2s)
+ namespace    oauth2-proxy is to be created (0.0s)
? proxy        not yet (0.0s)
! authorizer   rename it (0.0s)
✗ verify       step verify: boom (0.0s)
run: Failed
`
	assert.Equal(t, want, out.String())
}

func TestOutputIsJSONLinesWhereThereIsNoTerminal(t *testing.T) {
	var out bytes.Buffer
	o, err := newOutput(outputAuto, &out)
	require.NoError(t, err)
	for _, result := range results() {
		o.Finished(result)
	}
	for line := range strings.Lines(out.String()) {
		assert.True(t, json.Valid([]byte(line)), line)
	}
	assert.Contains(t, out.String(), `{"event":"finished","step":"preflight","state":"Done","reason":"Complete","message":"issuer https://id.example.com","applied":false,"seconds":1.2}`)
}

func TestTheTerminationMessageFitsAndStaysJSON(t *testing.T) {
	long := results()
	for i := range long {
		long[i].After.Message = strings.Repeat("ä\"", 4000)
	}
	s := newSummary("run", long, errors.New(strings.Repeat("x", 9000)), time.Unix(0, 0))
	for _, limit := range []int{terminationLimit, 900, 60} {
		raw := s.termination(limit)
		assert.LessOrEqual(t, len(raw), limit)
		var got summary
		require.NoError(t, json.Unmarshal(raw, &got), string(raw))
		assert.Equal(t, "Failed", got.Outcome)
		assert.Equal(t, 1, got.ExitCode)
	}
	var whole summary
	require.NoError(t, json.Unmarshal(newSummary("run", results(), nil, time.Unix(0, 0)).termination(terminationLimit), &whole))
	assert.Equal(t, "rename it", whole.Steps[3].Message)
}

func TestTheTerminationMessageIsWrittenOnlyWhereThereIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "termination-log")
	require.NoError(t, writeTermination(path, summary{}))
	require.NoFileExists(t, path)
	require.NoError(t, os.WriteFile(path, []byte("old and much longer than what is written now"+strings.Repeat(" ", 200)), 0o600))
	require.NoError(t, writeTermination(path, summary{Outcome: "Done"}))
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.True(t, json.Valid(raw), string(raw))
}
