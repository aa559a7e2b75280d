// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
	"github.com/extauth-guard/extauth-guard/pkg/probe"
)

type probeFlags struct {
	host, prefix, output string
	include, open        []string
	timeout              time.Duration
	kube                 *kubeFlags
}

func newProbe(streams Streams) *cobra.Command {
	flags := &probeFlags{kube: newKubeFlags()}
	cmd := &cobra.Command{
		Use:   "probe AUTHORIZER|URL",
		Short: "Ask an authorizer what strangers would, and insist that each request is denied",
		Long: `Ask an authorizer some hundred requests without a valid credential, as Envoy would
send them: other spellings of paths, the agents of health checks, forged addresses and
paths in X-Forwarded headers, preflights, tokens that nobody issued. One that gets in is
a failure, with its likely cause and the advisory.

AUTHORIZER is a name in the Istio CR; its entry says which headers travel and what the
prefix is, and the Pod is reached through the API server. A URL is asked with every
header, unless --include says which.`,
		Example: `  kubectl extauth probe oauth2-proxy
  kubectl extauth probe oauth2-proxy --open /public
  kubectl extauth probe http://127.0.0.1:4180 --path-prefix '/verify?original='`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), streams, args[0])
		},
	}
	cmd.Flags().StringVar(&flags.host, "host", "extauth-guard-probe.example.com", "the `host` of the requests")
	cmd.Flags().StringVar(&flags.prefix, "path-prefix", "", "the `prefix` before the path, for a URL")
	cmd.Flags().StringSliceVar(&flags.include, "include", []string{"*"}, "the client's `headers` that travel, for a URL")
	cmd.Flags().StringSliceVar(&flags.open, "open", nil, "`paths` that get in on purpose; what is only spelled like them must not")
	cmd.Flags().DurationVar(&flags.timeout, "timeout", 5*time.Second, "how long one answer may take")
	cmd.Flags().StringVarP(&flags.output, "output", "o", "text", "output `format`: text, json")
	oneOf(cmd, "output", "text", "json")
	flags.kube.addFlags(cmd.Flags())
	return cmd
}

func (f *probeFlags) run(ctx context.Context, streams Streams, what string) error {
	if f.output != "text" && f.output != "json" {
		return exit.UsageError(fmt.Errorf("--output is %q; it can be text or json", f.output))
	}
	for _, path := range f.open {
		if !strings.HasPrefix(path, "/") || len(path) < 2 {
			return exit.UsageError(fmt.Errorf("--open is %q; give a path such as /public", path))
		}
	}
	target, stop, err := f.target(ctx, what)
	if err != nil {
		return err
	}
	defer stop()
	target.Host, target.Open = f.host, f.open
	result, err := probe.Run(ctx, target)
	if err != nil {
		return fmt.Errorf("probing %s: %w; nothing is known about it", what, err)
	}
	if err := printProbe(streams.Out, f.output, what, result); err != nil {
		return err
	}
	if len(result.Failures) > 0 {
		return errSaid
	}
	return nil
}

func (f *probeFlags) target(ctx context.Context, what string) (probe.Target, func(), error) {
	if !strings.Contains(what, "://") {
		return f.registered(ctx, what)
	}
	parsed, err := url.Parse(what)
	switch {
	case err != nil || parsed.Scheme != "http" || parsed.Hostname() == "" || parsed.User != nil:
		return probe.Target{}, nil, exit.UsageError(errors.New("the URL must be http://HOST:PORT, as Envoy asks an authorizer; give the prefix by --path-prefix"))
	case parsed.RawQuery != "" || strings.Trim(parsed.Path, "/") != "":
		return probe.Target{}, nil, exit.UsageError(errors.New("the URL must end after the port; give the prefix by --path-prefix"))
	}
	port := 80
	if parsed.Port() != "" {
		if port, err = strconv.Atoi(parsed.Port()); err != nil {
			return probe.Target{}, nil, exit.UsageError(fmt.Errorf("the port of the URL: %w", err))
		}
	}
	return probe.Target{Authorizer: extauthz.Authorizer{
		Service: parsed.Hostname(), Port: port, PathPrefix: f.prefix, Timeout: f.timeout, IncludeHeaders: f.include,
	}, Asker: extauthz.Asker{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(parsed.Hostname(), strconv.Itoa(port)))
	}}}, func() {}, nil
}

func printProbe(w io.Writer, output, what string, result probe.Result) error {
	if output == "json" {
		if result.Failures == nil {
			result.Failures = []probe.Failure{}
		}
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(result)
	}
	var text strings.Builder
	for _, failure := range result.Failures {
		quote.Fprintf(&text, "%s\n", failure)
	}
	quote.Fprintf(&text, "%s: %d requests without a credential, %d got in\n", what, result.Asked, len(result.Failures))
	_, err := io.WriteString(w, quote.Printed(text.String()))
	return err
}
