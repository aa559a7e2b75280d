// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli is the composition root of kubectl-extauth: it turns arguments
// into calls and errors into one sentence on standard error.
//
// Commands that work on files make no connection, unless --live asks for one.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/klog/v2"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/version"
)

// Streams are the standard streams of the process, or what a test gives for
// them.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// errSaid ends a command whose output has said already what is wrong.
var errSaid = errors.New("findings deny")

// Run runs one command. It prints its error; the caller needs it for the exit
// code only, see package exit: 1 for findings that deny, 2 for wrong usage.
func Run(ctx context.Context, args []string, streams Streams) error {
	root := newRoot(streams) //nolint:contextcheck // commands get ctx from cobra
	root.SetArgs(args)
	began := false
	for _, command := range append(root.Commands(), root) {
		if run := command.RunE; run != nil {
			command.RunE = func(cmd *cobra.Command, args []string) error {
				began = true
				return run(cmd, args)
			}
		}
	}
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !began {
		// No command has begun: the arguments are wrong.
		err = exit.UsageError(fmt.Errorf("%w; see \"%s --help\"", err, cmd.CommandPath()))
	}
	if err != nil && !errors.Is(err, errSaid) && !errors.Is(err, context.Canceled) {
		printLine(streams.Err, "Error: "+inOneLine(err))
	}
	return err
}

// SilenceLibraries drops what client libraries log: it is about their requests, and
// what matters of it is in errors. It changes the whole process, so it is for main.
func SilenceLibraries() {
	klog.SetLogger(logr.Discard())
}

// NewCommand returns the root command, for whoever writes its documentation.
func NewCommand() *cobra.Command {
	return newRoot(Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
}

func newRoot(streams Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-extauth",
		Short: "External authorization for Kyma APIRules: check, preview, explain",
		Long: `External authorization for Kyma APIRules: check, preview, explain.

Exit codes: 0 nothing that denies, 1 findings that deny or a failure, 2 wrong
usage or input that cannot be read.`,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		// Without Args, cobra suggests commands for one that it does not know.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// kubectl finds plugins by their file name and calls them by two words.
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl extauth"},
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.AddCommand(newLint(streams), newInject(streams), newMigrate(streams), newToken(streams, time.Now), newTry(streams), newReport(streams, time.Now), newExplain(streams), newCheck(streams, time.Now), newProbe(streams), newRegister(streams), newVersion(streams))
	groupFlags(root, streams.Out)
	return root
}

// inOneLine joins the lines of an error, such as cobra's suggestions. A line that ends
// a question or announces something needs no separator.
func inOneLine(err error) string {
	var text strings.Builder
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "; ")
		switch said := text.String(); {
		case line == "":
			continue
		case said == "":
		case strings.HasSuffix(said, "?") || strings.HasSuffix(said, ":"):
			text.WriteString(" ")
		default:
			text.WriteString("; ")
		}
		text.WriteString(line)
	}
	return text.String()
}

// colourMode says when output is coloured.
type colourMode string

// enabled decides for a writer: automatically, colours are for terminals, and
// for users who do not set NO_COLOR (https://no-color.org).
func (c colourMode) enabled(w io.Writer) (bool, error) {
	switch c {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto":
		file, isFile := w.(*os.File)
		return isFile && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(file.Fd())), nil
	}
	return false, exit.UsageError(fmt.Errorf("--color is %q; it can be auto, always or never", string(c)))
}

// oneOf completes the values of a flag in a shell.
func oneOf(cmd *cobra.Command, flag string, values ...string) {
	// The error is a flag that does not exist; a test looks at every command.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}
