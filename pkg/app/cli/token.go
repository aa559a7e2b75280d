// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/oidc"
)

// Keys of a Secret with credentials, as the chart of oauth2-proxy names them.
const (
	keyClientID     = "client-id"
	keyClientSecret = "client-secret"
)

type tokenFlags struct {
	issuer, clientID, secretFile, caFile, secret string
	scopes                                       []string
	claims                                       bool
	kube                                         *kubeFlags
}

func newToken(streams Streams, now func() time.Time) *cobra.Command {
	flags := &tokenFlags{kube: newKubeFlags()}
	cmd := &cobra.Command{
		Use:   "token --issuer URL (--secret NAME | --client-id ID --client-secret-file FILE)",
		Short: "Get a client-credentials token, or say what oauth2-proxy will think of it",
		Long: `Get a token by the client-credentials grant and print it; or, with --claims, print
what is in it and whether an oauth2-proxy that is configured with this issuer and
client accepts it. The token itself is then not printed, and the client secret never
is: it is read from a Secret, a file or standard input ("-").`,
		Example: `  curl -H "Authorization: Bearer $(kubectl extauth token --issuer https://idp.example.com --secret credentials -n shop)" https://cart.example.com

  kubectl extauth token --issuer https://idp.example.com --client-id shop --client-secret-file - --claims < secret.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.run(cmd.Context(), streams, now)
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&flags.claims, "claims", false, "print what is in the token instead of the token")
	_ = cmd.MarkFlagRequired("issuer") // fails only for a flag that is not there
	cmd.MarkFlagsOneRequired("secret", "client-id")
	return cmd
}

// register adds the flags that say where a token comes from.
func (f *tokenFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.issuer, "issuer", "", "the `URL` of the OIDC issuer, to the letter")
	cmd.Flags().StringVar(&f.clientID, "client-id", "", "the `ID` of the client")
	cmd.Flags().StringVar(&f.secretFile, "client-secret-file", "", "a `file` with the client secret; - is standard input")
	cmd.Flags().StringVar(&f.secret, "secret", "", "a Secret of the cluster with the keys client-id and client-secret, by `name`")
	cmd.Flags().StringVar(&f.caFile, "ca-file", "", "a `file` with the CA certificates of the issuer")
	cmd.Flags().StringSliceVar(&f.scopes, "scope", nil, "`scopes` to ask for")
	addKubeFlags(cmd, f.kube)
	_ = cmd.RegisterFlagCompletionFunc("secret", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return secretNames(cmd.Context(), f.kube), cobra.ShellCompDirectiveNoFileComp
	})
	cmd.MarkFlagsMutuallyExclusive("secret", "client-id")
	cmd.MarkFlagsMutuallyExclusive("secret", "client-secret-file")
}

func (f *tokenFlags) run(ctx context.Context, streams Streams, now func() time.Time) error {
	client, grant, err := f.fetch(ctx, streams.In)
	if err != nil {
		return err
	}
	token := grant.token
	if !f.claims {
		_, err = fmt.Fprintln(streams.Out, token.Access.Reveal())
		return err
	}
	problems := oidc.Explain(token.Access, oidc.Expectation{Issuer: f.issuer, ClientID: grant.clientID}, now())
	if len(problems) == 0 {
		if _, err := oidc.Verify(ctx, client, grant.issuer, grant.clientID, token.Access, now()); err != nil {
			return err
		}
	}
	return printClaims(streams.Out, token, problems, now())
}

// grant is a token and who gave it to whom.
type grant struct {
	issuer   oidc.Metadata
	clientID string
	token    oidc.Token
}

// fetch gets a token; the client is the one that reaches the issuer.
func (f *tokenFlags) fetch(ctx context.Context, stdin io.Reader) (*http.Client, grant, error) {
	credentials, err := f.credentials(ctx, stdin)
	if err != nil {
		return nil, grant{}, exit.UsageError(err)
	}
	var options oidc.HTTPOptions
	if f.caFile != "" {
		if options.CA, err = os.ReadFile(f.caFile); err != nil {
			return nil, grant{}, exit.UsageError(fmt.Errorf("reading --ca-file: %w", err))
		}
	}
	client, err := oidc.NewHTTPClient(options)
	if err != nil {
		return nil, grant{}, exit.UsageError(err)
	}
	issuer, err := oidc.Discover(ctx, client, f.issuer)
	if err != nil {
		return nil, grant{}, err
	}
	if err := issuer.CheckClientCredentials(); err != nil {
		return nil, grant{}, err
	}
	token, err := oidc.ClientCredentials(ctx, client, issuer, credentials, f.scopes...)
	return client, grant{issuer, credentials.ClientID, token}, err
}

func (f *tokenFlags) credentials(ctx context.Context, stdin io.Reader) (oidc.Credentials, error) {
	if f.secret != "" {
		return f.fromCluster(ctx)
	}
	var raw []byte
	var err error
	switch f.secretFile {
	case "":
		return oidc.Credentials{}, errors.New("the client secret is missing; give it with --client-secret-file, which may be - for standard input")
	case manifest.Stdin:
		raw, err = io.ReadAll(io.LimitReader(stdin, 64<<10))
	default:
		raw, err = os.ReadFile(f.secretFile)
	}
	if err != nil {
		return oidc.Credentials{}, fmt.Errorf("reading --client-secret-file: %w", err)
	}
	return oidc.Credentials{ClientID: f.clientID, Secret: oidc.NewSecret(strings.TrimRight(string(raw), "\r\n"))}, nil
}

func (f *tokenFlags) fromCluster(ctx context.Context) (oidc.Credentials, error) {
	config, err := f.kube.config()
	if err != nil {
		return oidc.Credentials{}, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	namespace, _, err := f.kube.loader().Namespace()
	if err != nil {
		return oidc.Credentials{}, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return oidc.Credentials{}, fmt.Errorf("making a client: %w", err)
	}
	secret, err := client.CoreV1().Secrets(namespace).Get(ctx, f.secret, metav1.GetOptions{})
	if err != nil {
		return oidc.Credentials{}, fmt.Errorf("reading the Secret %s/%s: %w", namespace, f.secret, err)
	}
	for _, key := range []string{keyClientID, keyClientSecret} {
		// A Secret that was made of files has the line end of the file.
		secret.Data[key] = bytes.TrimSpace(secret.Data[key])
		if len(secret.Data[key]) == 0 {
			return oidc.Credentials{}, fmt.Errorf("the Secret %s/%s has no key %s", namespace, f.secret, key)
		}
	}
	return oidc.Credentials{ClientID: string(secret.Data[keyClientID]), Secret: oidc.NewSecret(string(secret.Data[keyClientSecret]))}, nil
}

// printClaims prints what is in a token and what oauth2-proxy will think of it.
func printClaims(w io.Writer, token oidc.Token, problems []oidc.Problem, now time.Time) error {
	var text strings.Builder
	line := func(name, format string, args ...any) {
		quote.Fprintf(&text, "%-16s%s\n", name, fmt.Sprintf(format, args...))
	}
	if claims, err := oidc.DecodeClaims(token.Access.Reveal()); err == nil {
		line("issuer", "%s", claims.Issuer)
		line("subject", "%s", claims.Subject)
		line("audience", "%s", strings.Join(claims.Audience, ", "))
		line("scope", "%s", claims.Scope)
		if !claims.Expiry.IsZero() {
			line("expires", "%s, in %s", claims.Expiry.Format(time.RFC3339), claims.Expiry.Sub(now).Round(time.Second))
		}
		if claims.Email != "" {
			verified := "does not say whether it is verified"
			if claims.EmailVerified != nil {
				verified = fmt.Sprintf("verified: %t", *claims.EmailVerified)
			}
			line("email", "%s, %s", claims.Email, verified)
		}
		line("signed with", "%s, key %q", claims.Algorithm, claims.KeyID)
	}
	for _, problem := range problems {
		line("refused", "%s: %s", problem.Code, problem.Message)
	}
	if len(problems) == 0 {
		line("oauth2-proxy", "accepts it")
	}
	if _, err := io.WriteString(w, quote.Printed(text.String())); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	if len(problems) > 0 {
		return errSaid
	}
	return nil
}
