// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/crd"
	"github.com/extauth-guard/extauth-guard/pkg/internal/suggest"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/version"
)

type lintFlags struct {
	worldFlags
	output      string
	colour      string
	strict      bool
	exclude     []string
	ignore      []string
	failOn      string
	failOnEmpty bool
	crd         string
}

func newLint(streams Streams) *cobra.Command {
	flags := &lintFlags{}
	cmd := &cobra.Command{
		Use:   "lint FILE|DIRECTORY|- ...",
		Short: "Check manifests as the webhook would at admission",
		Long: `Check manifests as the webhook would at admission.

APIRules are injected and then checked; Istio CRs, Services and Namespaces are
checked too, and tell what annotations and authorizers there are. Directories are
searched for .yaml, .yml and .json; "-" is standard input. What manifests cannot
tell, such as a Service that is not among them, is not held against them. Files that
a kustomization uses as patches are passed over.

Choices that hold for a repository can be written into .extauth-lint.yaml in the
working directory: exclude, ignore, failOn, failOnEmpty, strict, authorizers.

Exit code 1 means that something would be refused, 2 that an argument or a
manifest could not be read.`,
		Example: `  # What a Git repository would deploy, against the Istio CR in it
  kubectl extauth lint deploy/

  # What a chart renders, against names
  helm template shop charts/shop | kubectl extauth lint - --authorizers oauth2-proxy

  # Against what the cluster has, for code scanning
  kubectl extauth lint deploy/ --live -o sarif > extauth.sarif`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd, args, streams)
		},
	}
	flags.register(cmd, streams.Err)
	cmd.Flags().StringVarP(&flags.output, "output", "o", string(lint.Text), "output `format`: "+strings.Join(lint.Formats(), ", "))
	cmd.Flags().StringVar(&flags.colour, "color", "auto", "colour text output: auto, always or never")
	cmd.Flags().BoolVar(&flags.strict, "strict", false, "fail if something could not be checked")
	cmd.Flags().StringSliceVar(&flags.exclude, "exclude", nil, "a `pattern` of paths to leave out, for example \"**/templates/**\"; may be given more than once")
	cmd.Flags().StringSliceVar(&flags.ignore, "ignore", nil, "a `code` of findings to leave out; may be given more than once")
	cmd.Flags().StringVar(&flags.failOn, "fail-on", string(policy.Deny), "from which `severity` on the exit code is 1: deny or warn")
	cmd.Flags().BoolVar(&flags.failOnEmpty, "fail-on-empty", false, "fail if there is nothing to check")
	cmd.Flags().StringVar(&flags.crd, "crd", "", "a `folder` with the CRDs of the cluster, instead of those of Kyma that come with this program")
	oneOf(cmd, "fail-on", string(policy.Deny), string(policy.Warn))
	oneOf(cmd, "ignore", lint.Codes()...)
	oneOf(cmd, "output", lint.Formats()...)
	oneOf(cmd, "color", "auto", "always", "never")
	return cmd
}

func (f *lintFlags) run(cmd *cobra.Command, args []string, streams Streams) error {
	colour, err := colourMode(f.colour).enabled(streams.Out)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(streams.Out)
	printer, err := lint.NewPrinter(lint.Format(f.output), out, lint.PrintOptions{Colour: colour, Version: version.String()})
	if err != nil {
		return exit.UsageError(err)
	}
	if err := f.complete(cmd); err != nil {
		return exit.UsageError(err)
	}
	files, err := manifest.Finder{Exclude: f.exclude, AllowEmpty: true}.Find(args, streams.In)
	if err != nil {
		return exit.UsageError(err)
	}
	defer func() { _ = files.Close() }()
	schemas, err := f.schemas()
	if err != nil {
		return exit.UsageError(err)
	}
	all, err := f.gather(cmd.Context(), files.List)
	if err != nil {
		return err
	}
	linter := all.linter()
	linter.Strict, linter.Schemas, linter.Ignore = f.strict, schemas, map[string]bool{}
	for _, code := range f.ignore {
		linter.Ignore[code] = true
	}
	summary, err := linter.Run(cmd.Context(), files.List, printer)
	if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return f.verdict(summary, streams)
}

// verdict says what was looked at, and turns it into an exit code.
func (f *lintFlags) verdict(summary lint.Summary, streams Streams) error {
	if f.output != string(lint.Text) || summary.Deny+summary.Warn == 0 {
		printLine(streams.Err, summary.Sentence())
	}
	switch {
	case summary.Unreadable > 0:
		return exit.UsageError(errSaid)
	case summary.Deny > 0, f.failOn == string(policy.Warn) && summary.Warn > 0, f.failOnEmpty && summary.Objects == 0:
		return errSaid
	}
	return nil
}

// schemas returns what the API server asks of objects.
func (f *lintFlags) schemas() (*crd.Schemas, error) {
	schemas, err := crd.Kyma()
	if err != nil || f.crd == "" {
		return schemas, err
	}
	own, err := crd.Load(f.crd)
	if err != nil {
		return nil, err
	}
	return own.Over(schemas), nil
}

// complete adds what the file of the repository chooses, and checks the choices.
func (f *lintFlags) complete(cmd *cobra.Command) error {
	choices, err := readLintFile()
	if err != nil {
		return err
	}
	f.exclude = append(f.exclude, choices.Exclude...)
	f.ignore = append(f.ignore, choices.Ignore...)
	if choices.FailOn != "" && !cmd.Flags().Changed("fail-on") {
		f.failOn = choices.FailOn
	}
	f.failOnEmpty = f.failOnEmpty || choices.FailOnEmpty && !cmd.Flags().Changed("fail-on-empty")
	f.strict = f.strict || choices.Strict && !cmd.Flags().Changed("strict")
	if !cmd.Flags().Changed("authorizers") && f.istioCR == "" {
		f.authorizers = choices.Authorizers
	}
	return f.check()
}

// check checks choices that flags and the file have alike.
func (f *lintFlags) check() error {
	if f.failOn != string(policy.Deny) && f.failOn != string(policy.Warn) {
		return fmt.Errorf("--fail-on is %q; it can be deny or warn", f.failOn)
	}
	for _, code := range f.ignore {
		if !slices.Contains(lint.Codes(), code) {
			return fmt.Errorf("--ignore: there is no code %q%s; see docs/reference/codes.md", code, didYouMean(code))
		}
	}
	return nil
}

func didYouMean(code string) string {
	if near := suggest.Nearest(code, lint.Codes()); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
