// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
)

// The values of --output.
const (
	outputAuto = "auto"
	outputText = "text"
	outputJSON = "json"
)

// output is told about each step and about the end.
type output interface {
	bootstrap.Reporter
	Summary(s summary)
}

func newOutput(format string, w io.Writer) (output, error) {
	file, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(file.Fd()))
	switch {
	case format == outputText, format == outputAuto && terminal:
		return &text{w: w, terminal: terminal}, nil
	case format == outputJSON, format == outputAuto:
		return &lines{encoder: json.NewEncoder(w)}, nil
	}
	return nil, fmt.Errorf("--output %q is none of %s, %s, %s", format, outputAuto, outputText, outputJSON)
}

// text writes a line for each step.
type text struct {
	w        io.Writer
	terminal bool
}

// Started shows on a terminal which step is at work; Finished writes over it.
func (t *text) Started(step string) {
	if t.terminal {
		_, _ = fmt.Fprintf(t.w, "… %s", step)
	}
}

// Finished writes the step's line.
func (t *text) Finished(result bootstrap.Result) {
	if t.terminal {
		_, _ = fmt.Fprint(t.w, "\r\x1b[K")
	}
	mark, say := "✓", result.After.Message
	switch {
	case result.After.State == bootstrap.Blocked:
		mark = "!"
	case result.Err != nil:
		mark, say = "✗", result.Err.Error()
	case result.After.State == bootstrap.Needed:
		mark = "+"
	case result.After.State == bootstrap.Unknown:
		mark = "?"
	}
	_, _ = fmt.Fprintf(t.w, "%s %-12s %s (%.1fs)\n", mark, result.Step, say, result.Duration.Seconds())
}

// Summary writes the last line.
func (t *text) Summary(s summary) {
	_, _ = fmt.Fprintf(t.w, "%s: %s\n", s.Operation, s.Outcome)
}

// lines writes JSON, one object in a line.
type lines struct{ encoder *json.Encoder }

type line struct {
	Event string `json:"event"`
	stepResult
}

// Started writes that the step began.
func (l *lines) Started(step string) {
	_ = l.encoder.Encode(map[string]string{"event": "started", "step": step})
}

// Finished writes the step's result.
func (l *lines) Finished(result bootstrap.Result) {
	_ = l.encoder.Encode(line{Event: "finished", stepResult: newStepResult(result)})
}

// Summary writes the outcome; the steps were written before.
func (l *lines) Summary(s summary) {
	_ = l.encoder.Encode(map[string]any{"event": "summary", "operation": s.Operation, "outcome": s.Outcome, "exitCode": s.ExitCode, "error": s.Error})
}
