// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

type injectFlags struct {
	worldFlags
	diff, inPlace, quiet bool
}

func newInject(streams Streams) *cobra.Command {
	flags := &injectFlags{}
	cmd := &cobra.Command{
		Use:   "inject FILE|DIRECTORY|- ...",
		Short: "Print manifests as the webhook would store them",
		Long: `Print manifests as the webhook would store them.

For Git repositories that are to hold what the cluster has: a GitOps tool then sees
no drift. Only the lines that injection means change; comments, order and
everything else stay as they are. Why a rule is left alone is said on standard
error.

Annotations on Services and Namespaces count if those are among the manifests, or
with --live.`,
		Example: `  # See what would change
  kubectl extauth inject deploy/ --diff

  # Change the files
  kubectl extauth inject deploy/ --in-place

  # In a pipeline
  kustomize build . | kubectl extauth inject - | kubectl apply -f -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), args, streams)
		},
	}
	flags.register(cmd, streams.Err)
	cmd.Flags().BoolVar(&flags.diff, "diff", false, "print what changes instead of everything")
	cmd.Flags().BoolVar(&flags.inPlace, "in-place", false, "write the files instead of printing them")
	cmd.Flags().BoolVarP(&flags.quiet, "quiet", "q", false, "do not say what became of each rule")
	return cmd
}

func (f *injectFlags) run(ctx context.Context, args []string, streams Streams) error {
	files, err := manifest.Find(args, streams.In)
	if err != nil {
		return exit.UsageError(err)
	}
	defer func() { _ = files.Close() }()
	all, err := f.gather(ctx, files.List)
	if err != nil {
		return err
	}
	injector := injector{
		linter: all.linter(),
		flags:  f, streams: streams,
	}
	for _, file := range files.List {
		if err := injector.file(ctx, file); err != nil {
			return err
		}
	}
	return injector.end()
}

// injector goes through files and keeps count.
type injector struct {
	linter  lint.Linter
	flags   *injectFlags
	streams Streams

	injected, left, denied, unreadable int
	verdicts                           policy.Tally
	// printed is true once something was, and a separator may be needed; ended is
	// true if that ended its last line.
	printed, ended bool
}

func (i *injector) file(ctx context.Context, file manifest.File) error {
	var before, after bytes.Buffer
	whole := i.flags.diff || i.flags.inPlace
	for document, err := range file.Documents() {
		if err != nil {
			return exit.UsageError(fmt.Errorf("reading %s: %w", file.Name, err))
		}
		result, err := i.document(ctx, file, document)
		if err != nil {
			return fmt.Errorf("injecting into %s: %w", file.Name, err)
		}
		i.say(file.Name, result)
		if whole {
			before.Write(document.Text)
			after.Write(result.Text)
			continue
		}
		if err := i.print(result.Text); err != nil {
			return err
		}
	}
	if !whole || bytes.Equal(before.Bytes(), after.Bytes()) {
		return nil
	}
	if i.flags.diff {
		if err := printDiff(i.streams.Out, file.Name, before.String(), after.String()); err != nil {
			return err
		}
	}
	if i.flags.inPlace {
		return file.Write(after.Bytes())
	}
	return nil
}

// document leaves a patch of kustomize as it is: a part of an object does not say
// what the whole asks for.
func (i *injector) document(ctx context.Context, file manifest.File, document manifest.Document) (lint.Injected, error) {
	if file.Patch {
		return lint.Injected{Text: document.Text}, nil
	}
	return i.linter.Inject(ctx, file.Name, document)
}

// print prints a document as it is, behind a separator if it brings none.
func (i *injector) print(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	before := ""
	if i.printed && !i.ended {
		before = "\n"
	}
	if i.printed && !bytes.HasPrefix(text, []byte("---")) && !isJSON(text) {
		before += "---\n"
	}
	i.printed, i.ended = true, text[len(text)-1] == '\n'
	if _, err := i.streams.Out.Write(append([]byte(before), text...)); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

func isJSON(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(text), []byte("{"))
}

func printDiff(w io.Writer, name, before, after string) error {
	err := difflib.WriteUnifiedDiff(w, difflib.UnifiedDiff{
		A: lines(before), B: lines(after),
		FromFile: "a/" + strings.TrimPrefix(quote.Line(name), "/"), ToFile: "b/" + strings.TrimPrefix(quote.Line(name), "/"), Context: 3,
	})
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// lines splits a text as diff does, which marks a last line without end.
func lines(text string) []string {
	all := strings.SplitAfter(text, "\n")
	last := len(all) - 1
	if all[last] == "" {
		return all[:last]
	}
	all[last] += "\n\\ No newline at end of file\n"
	return all
}

// say tells on standard error what became of each rule.
func (i *injector) say(file string, result lint.Injected) {
	for verdict, n := range result.Verdicts {
		i.verdicts.Add(verdict, n)
	}
	for _, rule := range result.Rules {
		what := "left alone, " + string(rule.Reason) + ": " + rule.Text
		if rule.Reason == policy.Injected {
			i.injected++
			what = fmt.Sprintf("injected %s, asked by %s", strings.Join(rule.Authorizers, ", "), rule.From)
		} else {
			i.left++
		}
		which := ""
		if rule.Rule >= 0 {
			which = fmt.Sprintf(" rule %d (%s)", rule.Rule, rule.Path)
		}
		i.tell("%s:%d: APIRule %s/%s%s: %s", file, rule.Line, rule.Namespace, rule.Name, which, what)
	}
	for _, finding := range result.Findings {
		switch {
		case finding.Code == lint.Unreadable:
			i.unreadable++
		case finding.Severity == policy.Deny:
			i.denied++
		}
		printLine(i.streams.Err, fmt.Sprintf("%s:%d: %s %s: %s", file, finding.Line, finding.Severity, finding.Code,
			strings.TrimPrefix(finding.Path+": "+finding.Message, ": ")))
	}
}

func (i *injector) tell(format string, args ...any) {
	if !i.flags.quiet {
		printLine(i.streams.Err, fmt.Sprintf(format, args...))
	}
}

// printLine prints one line in which objects and files may have their say.
func printLine(w io.Writer, line string) {
	_, _ = fmt.Fprintln(w, quote.Printed(quote.Line(line)))
}

func (i *injector) end() error {
	verdicts := ""
	if len(i.verdicts) > 0 {
		verdicts = "; APIRules: " + i.verdicts.String()
	}
	i.tell("%d injected, %d left alone%s", i.injected, i.left, verdicts)
	switch {
	case i.unreadable > 0:
		return exit.UsageError(errSaid)
	case i.denied > 0:
		return errSaid
	}
	return nil
}
