// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
)

type checkFlags struct {
	worldFlags
	pre           bool
	installation  string
	dryRun        string
	issuer        string
	issuerCA      string
	colour        string
	output        string
	certificates  []string
	expiryWarning time.Duration
}

func newCheck(streams Streams, now func() time.Time) *cobra.Command {
	flags := &checkFlags{}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a cluster before the installation, or an installation",
		Long: `Check a cluster before the installation (--pre), or an installation in the namespace
extauth-guard, which -n changes. Kubernetes ` + oldestKubernetes + ` and version ` + oldestIstioModule + ` of Kyma's Istio
module are the oldest that will do. Checks run in
order; each that fails says what to do. Nothing is changed: the two APIRules that
are created at the end are dry runs, of which one must come back injected and one
must be refused.

Exit code 1 means that a check failed; warnings do not count.`,
		Example: `  kubectl extauth check --pre --issuer https://idp.example.com
  kubectl extauth check`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.run(cmd.Context(), streams, now)
		},
	}
	flags.registerCluster(cmd, io.Discard) // what cannot be read is the result of a check
	cmd.Flags().BoolVar(&flags.pre, "pre", false, "check whether the installation would succeed")
	cmd.Flags().StringVar(&flags.installation, "installation", "extauth-guard", "the `namespace` of the installation; -n does the same")
	cmd.MarkFlagsMutuallyExclusive("installation", "namespace")
	cmd.Flags().StringSliceVar(&flags.certificates, "tls-secret", []string{"extauth-guard-tls", "extauth-guard-cert-manager-tls"},
		"the Secrets that may have the serving certificate, by `name`; the first that there is counts")
	cmd.Flags().StringVar(&flags.dryRun, "dry-run-namespace", "default", "a `namespace` for the dry runs; one that is not excluded")
	cmd.Flags().StringVar(&flags.issuer, "issuer", "", "also check the OIDC issuer at this `URL`")
	cmd.Flags().StringVar(&flags.issuerCA, "issuer-ca-file", "", "a `file` with the CA certificates of the issuer")
	cmd.Flags().DurationVar(&flags.expiryWarning, "expiry-warning", 7*24*time.Hour, "warn if a certificate ends earlier than this")
	cmd.Flags().StringVar(&flags.colour, "color", "auto", "colour text output: auto, always or never")
	cmd.Flags().StringVarP(&flags.output, "output", "o", "text", "output `format`: text, json")
	oneOf(cmd, "output", "text", "json")
	oneOf(cmd, "color", "auto", "always", "never")
	return cmd
}

// status is how a check ended.
type status string

const (
	passed  status = "passed"
	warned  status = "warning"
	failed  status = "failed"
	skipped status = "skipped"
)

// checkup is one check.
type checkup struct {
	category, name, hint string
	// fatal ends the list if the check fails: nothing after it would say more.
	fatal bool
	// run returns a detail worth printing. An error fails the check, unless it
	// is a warning or says that the check does not apply.
	run func(context.Context) (string, error)
}

// warning is an error that does not fail a check.
type warning struct{ error }

// Unwrap gives what is wrong.
func (w warning) Unwrap() error { return w.error }

// skipping says why a check does not apply, or why its result is not known.
type skipping struct{ error }

// cause is an error with a way out of its own, where that of the check would lead
// to the wrong place.
type cause struct {
	error
	hint string
}

// Unwrap gives what is wrong.
func (c cause) Unwrap() error { return c.error }

// because returns an error with its way out.
func because(hint, format string, args ...any) error {
	return cause{fmt.Errorf(format, args...), hint}
}

// checked is the result of one check. Its JSON form is API.
type checked struct {
	Category string `json:"category"`
	Name     string `json:"name"`
	Status   status `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Hint     string `json:"hint,omitempty"`
}

// perform runs checks in order.
func perform(ctx context.Context, checkups []checkup, done func(checked)) (failures int) {
	for _, one := range checkups {
		detail, err := one.run(ctx)
		result := checked{Category: one.category, Name: one.name, Status: passed, Detail: detail}
		var warns warning
		var skips skipping
		hint := one.hint
		if why := (cause{}); errors.As(err, &why) {
			hint = why.hint
		}
		switch {
		case errors.As(err, &skips):
			result.Status, result.Detail = skipped, inOneLine(err)
		case errors.As(err, &warns):
			result.Status, result.Detail, result.Hint = warned, inOneLine(err), hint
		case err != nil:
			result.Status, result.Detail, result.Hint = failed, inOneLine(err), hint
			failures++
		}
		done(result)
		if result.Status == failed && one.fatal {
			break
		}
	}
	return failures
}

func (f *checkFlags) run(ctx context.Context, streams Streams, now func() time.Time) error {
	colour, err := colourMode(f.colour).enabled(streams.Out)
	if err != nil {
		return err
	}
	if f.output != "text" && f.output != "json" {
		return exit.UsageError(fmt.Errorf("unknown output format %q; known are text, json", f.output))
	}
	if f.kube.namespace() != "" {
		f.installation = f.kube.namespace()
	}
	doctor, err := newDoctor(f, now)
	if err != nil {
		return exit.UsageError(err)
	}
	all := []checked{}
	printer := &checkPrinter{w: streams.Out, colour: colour, columns: width(streams.Out)}
	failures := perform(ctx, doctor.checkups(), func(one checked) {
		all = append(all, one)
		if f.output == "text" {
			printer.print(one)
		}
	})
	if f.output == "json" {
		encoder := json.NewEncoder(streams.Out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		printer.err = encoder.Encode(all)
	}
	switch {
	case printer.err != nil:
		return fmt.Errorf("printing: %w", printer.err)
	case failures > 0:
		return fmt.Errorf("%s", count(failures, "check failed", "checks failed"))
	}
	return nil
}

// checkPrinter prints results as they come, below a line for each category.
type checkPrinter struct {
	w        io.Writer
	colour   bool
	columns  int
	category string
	err      error
}

func (p *checkPrinter) print(one checked) {
	var text strings.Builder
	if one.Category != p.category {
		if p.category != "" {
			text.WriteString("\n")
		}
		text.WriteString(one.Category + "\n")
		p.category = one.Category
	}
	mark, colour := one.Status.mark()
	if p.colour {
		mark = colour + mark + "\x1b[0m"
	}
	text.WriteString("  " + mark + " " + one.Name) // ours, with colours
	switch {
	case one.Status == passed && one.Detail != "":
		quote.Fprintf(&text, ": %s", one.Detail)
	case one.Detail != "":
		quote.Fprintf(&text, "\n      %s", one.Detail)
	}
	if one.Hint != "" {
		quote.Fprintf(&text, "\n      hint: %s", one.Hint)
	}
	text.WriteString("\n")
	if _, err := io.WriteString(p.w, quote.Printed(wrap(text.String(), p.columns))); err != nil {
		p.err = err
	}
}

// mark returns a sign and the terminal sequence of its colour.
func (s status) mark() (sign, colour string) {
	switch s {
	case warned:
		return "‼", "\x1b[33m"
	case failed:
		return "×", "\x1b[31m"
	case skipped:
		return "-", "\x1b[2m"
	case passed:
	}
	return "√", "\x1b[32m"
}
