// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/version"
)

type lintFlags struct {
	worldFlags
	output string
	colour string
	strict bool
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
tell, such as a Service that is not among them, is not held against them.

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
	flags.register(cmd)
	cmd.Flags().StringVarP(&flags.output, "output", "o", string(lint.Text), "output `format`: "+strings.Join(lint.Formats(), ", "))
	cmd.Flags().StringVar(&flags.colour, "color", "auto", "colour text output: auto, always or never")
	cmd.Flags().BoolVar(&flags.strict, "strict", false, "fail if something could not be checked")
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
	files, err := manifest.Find(args, streams.In)
	if err != nil {
		return exit.UsageError(err)
	}
	defer func() { _ = files.Close() }()
	all, err := f.gather(cmd.Context(), files.List)
	if err != nil {
		return err
	}
	defer all.stop()
	linter := all.linter()
	linter.Strict = f.strict
	summary, err := linter.Run(cmd.Context(), files.List, printer)
	if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	switch {
	case summary.Unreadable > 0:
		return exit.UsageError(errSaid)
	case summary.Deny > 0:
		return errSaid
	}
	return nil
}
