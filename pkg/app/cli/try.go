// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
)

const (
	// tryTimeout bounds one request; an authorizer's usual timeout is 5 s.
	tryTimeout = 20 * time.Second
	// tryBody is how much of an answer's body is looked at.
	tryBody = 4 << 10
)

type tryFlags struct {
	tokenFlags
	path, method, gateway, gatewayCA string
}

func newTry(streams Streams) *cobra.Command {
	flags := &tryFlags{tokenFlags: tokenFlags{kube: newKubeFlags()}}
	cmd := &cobra.Command{
		Use:   "try HOST [--issuer URL (--secret NAME | --client-id ID --client-secret-file FILE)]",
		Short: "Send requests to an exposed host: without a token, with garbage, with a token",
		Long: `Send requests to an exposed host through its gateway, as a client would: one
without a token, one with garbage, and, if --issuer says where to get one, one with a
token of the client-credentials grant. A protected host answers 401, 401 and 200 (or
leads to a login page instead of 401). Where it answers otherwise the likely causes are
named, with what to do next.

No answer but these three is taken for right: exit code 1.`,
		Example: `  kubectl extauth try cart.example.com
  kubectl extauth try cart.example.com --path /orders --issuer https://idp.example.com --secret credentials -n shop`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), args[0], streams)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&flags.path, "path", "/", "the `path` to ask for, with its query")
	cmd.Flags().StringVar(&flags.method, "method", http.MethodGet, "the `method`, which a rule of the APIRule has to list")
	cmd.Flags().StringVar(&flags.gateway, "gateway", "", "the `host:port` to connect to instead of HOST, such as a port that is forwarded")
	cmd.Flags().StringVar(&flags.gatewayCA, "gateway-ca-file", "", "a `file` with further CA certificates of the gateway")
	return cmd
}

// attempt is one of the requests, and what came of it.
type attempt struct {
	kind   attemptKind
	answer tryAnswer
	err    error
}

// tryAnswer is what is looked at of an answer.
type tryAnswer struct {
	status   int
	location string
	body     string
}

func (f *tryFlags) run(ctx context.Context, host string, streams Streams) error {
	if !httpguts.ValidHostHeader(host) || strings.ContainsAny(host, "/ ") || host == "" {
		return exit.UsageError(fmt.Errorf("%q is not a host; write for example cart.example.com", host))
	}
	if !strings.HasPrefix(f.path, "/") {
		return exit.UsageError(fmt.Errorf("--path %q does not start with a slash", f.path))
	}
	client, err := f.gatewayClient()
	if err != nil {
		return exit.UsageError(err)
	}
	tokens := map[attemptKind]string{withoutToken: "", withGarbage: "garbage"}
	kinds := []attemptKind{withoutToken, withGarbage}
	if f.issuer != "" {
		_, granted, err := f.fetch(ctx, streams.In)
		if err != nil {
			return fmt.Errorf("getting a token to try: %w", err)
		}
		tokens[withToken] = granted.token.Access.Reveal()
		kinds = append(kinds, withToken)
	}
	var attempts []attempt
	for _, kind := range kinds {
		answer, err := f.send(ctx, client, host, tokens[kind])
		attempts = append(attempts, attempt{kind, answer, err})
		if err != nil {
			break // the others would get the same
		}
	}
	return printAttempts(streams.Out, "https://"+host+f.path, attempts)
}

// gatewayClient makes a client that follows no redirect, because the redirect is
// the answer.
func (f *tryFlags) gatewayClient() (*http.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if f.gatewayCA != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("reading the system's CA certificates: %w", err)
		}
		pem, err := os.ReadFile(f.gatewayCA)
		if err != nil {
			return nil, fmt.Errorf("reading --gateway-ca-file: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading --gateway-ca-file: %s has no certificate in PEM", f.gatewayCA)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	if f.gateway != "" {
		if _, _, err := net.SplitHostPort(f.gateway); err != nil {
			return nil, fmt.Errorf("--gateway %q is not host:port", f.gateway)
		}
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, f.gateway)
		}
	}
	return &http.Client{
		Timeout: tryTimeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func (f *tryFlags) send(ctx context.Context, client *http.Client, host, token string) (tryAnswer, error) {
	request, err := http.NewRequestWithContext(ctx, f.method, "https://"+host+f.path, http.NoBody)
	if err != nil {
		return tryAnswer{}, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return tryAnswer{}, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, tryBody))
	return tryAnswer{response.StatusCode, response.Header.Get("Location"), string(body)}, errors.Join(err, response.Body.Close())
}

// printAttempts prints a line for each request and what is wrong with it.
func printAttempts(w io.Writer, url string, attempts []attempt) error {
	var text strings.Builder
	quote.Fprintf(&text, "%s\n", url)
	wrong := false
	for _, each := range attempts {
		status := "none"
		if each.err == nil {
			status = strconv.Itoa(each.answer.status)
		}
		verdict := each.verdict()
		wrong = wrong || !verdict.right
		quote.Fprintf(&text, "  %-16s%-5s%s\n", each.kind, status, verdict.sentence)
		for _, cause := range verdict.causes {
			quote.Fprintf(&text, "%23s- %s\n", "", cause)
		}
	}
	if len(attempts) == 2 && !wrong {
		quote.Fprintf(&text, "  %-16s%-5s%s\n", withToken, "-", "not tried: say where to get one with --issuer and --secret")
	}
	if _, err := io.WriteString(w, quote.Printed(text.String())); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	if wrong {
		return errSaid
	}
	return nil
}
