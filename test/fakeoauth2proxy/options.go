// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeoauth2proxy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Options are the settings of oauth2-proxy that the fake acts on.
type Options struct {
	// HTTPAddress is --http-address.
	HTTPAddress string
	// Issuer is --oidc-issuer-url.
	Issuer string
	// ClientID, ClientSecret and CookieSecret normally come from the environment.
	ClientID, ClientSecret, CookieSecret string
	// CookieName is --cookie-name; empty is fatal.
	CookieName string
	// Upstreams is --upstream; only static://STATUS is known.
	Upstreams []string
	// EmailDomains is --email-domain; only * is known.
	EmailDomains []string
	// SkipJWTBearerTokens is --skip-jwt-bearer-tokens: bearer tokens are read.
	SkipJWTBearerTokens bool
	// ForceJSONErrors is --force-json-errors: 401 instead of a login.
	ForceJSONErrors bool
	// SkipProviderButton is --skip-provider-button: 302 instead of a page.
	SkipProviderButton bool
	// ProviderCA is the content of --provider-ca-file.
	ProviderCA []byte
}

// ignored are the flags that the fake takes and does not act on: what the two
// flows of Kyma's documentation and the chart set beside those it acts on
// (api-gateway 3.10, docs/user/expose-workloads/extAuth; chart 10.7.0).
func ignored() (texts, switches []string) {
	texts = []string{
		"cookie-domain", "cookie-samesite", "cookie-refresh", "cookie-expire", "whitelist-domain", "scope", "login-url",
		"redirect-url", "code-challenge-method", "config", "https-address", "metrics-address", "trusted-proxy-ip",
	}
	switches = []string{
		"cookie-secure", "set-xauthrequest", "reverse-proxy", "pass-access-token", "set-authorization-header",
		"pass-authorization-header", "pass-user-headers", "pass-host-header", "standard-logging", "auth-logging",
		"request-logging", "silence-ping-logging",
	}
	return texts, switches
}

// ParseOptions reads oauth2-proxy's arguments and environment. An unknown flag is
// an error, as it is for the real program. An option that no flag sets comes
// from OAUTH2_PROXY_ and its name.
func ParseOptions(args []string, getenv func(string) string) (Options, error) {
	var o Options
	var provider, caFile string
	var skipDiscovery bool
	flags := pflag.NewFlagSet("fake-oauth2-proxy", pflag.ContinueOnError)
	flags.StringVar(&o.HTTPAddress, "http-address", "127.0.0.1:4180", "address to listen on")
	flags.StringVar(&o.Issuer, "oidc-issuer-url", "", "issuer of the tokens")
	flags.StringVar(&o.ClientID, "client-id", "", "client ID, the audience of accepted tokens")
	flags.StringVar(&o.ClientSecret, "client-secret", "", "client secret")
	flags.StringVar(&o.CookieSecret, "cookie-secret", "", "16, 24 or 32 bytes, raw or base64")
	flags.StringVar(&o.CookieName, "cookie-name", "_oauth2_proxy", "name of the cookie")
	flags.StringVar(&provider, "provider", "google", "only oidc is known")
	flags.StringVar(&caFile, "provider-ca-file", "", "PEM file with the CA of the issuer")
	flags.StringSliceVar(&o.Upstreams, "upstream", nil, "only static://STATUS is known")
	flags.StringSliceVar(&o.EmailDomains, "email-domain", nil, "only * is known")
	flags.BoolVar(&o.SkipJWTBearerTokens, "skip-jwt-bearer-tokens", false, "accept bearer tokens of the issuer")
	flags.BoolVar(&o.ForceJSONErrors, "force-json-errors", false, "answer 401 instead of starting a login")
	flags.BoolVar(&o.SkipProviderButton, "skip-provider-button", false, "start the login without a page")
	flags.BoolVar(&skipDiscovery, "skip-oidc-discovery", false, "only false is known")
	texts, switches := ignored()
	for _, name := range texts {
		flags.String(name, "", "taken and not acted on")
	}
	for _, name := range switches {
		flags.Bool(name, false, "taken and not acted on")
	}
	if err := flags.Parse(args); err != nil {
		return Options{}, fmt.Errorf("parsing the flags: %w", err)
	}
	if err := fromEnvironment(flags, getenv); err != nil {
		return Options{}, err
	}
	if provider != "oidc" || skipDiscovery {
		return Options{}, fmt.Errorf("provider %q with skip-oidc-discovery=%t: the fake knows --provider=oidc with discovery only", provider, skipDiscovery)
	}
	// The chart's configuration file sets email_domains to *.
	if len(o.EmailDomains) == 0 && flags.Changed("config") {
		o.EmailDomains = []string{"*"}
	}
	if caFile != "" {
		ca, err := os.ReadFile(caFile)
		if err != nil {
			return Options{}, fmt.Errorf("reading the CA of the issuer: %w", err)
		}
		o.ProviderCA = ca
	}
	return o, o.Validate()
}

func fromEnvironment(flags *pflag.FlagSet, getenv func(string) string) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "OAUTH2_PROXY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value := getenv(name); value != "" && !f.Changed {
			if err := f.Value.Set(value); err != nil {
				errs = append(errs, fmt.Errorf("reading %s: %w", name, err))
			}
		}
	})
	return errors.Join(errs...)
}

// Validate refuses what oauth2-proxy refuses at start, before it asks the issuer.
func (o Options) Validate() error {
	var errs []error
	missing := func(value, name string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("missing setting: %s", name))
		}
	}
	missing(o.CookieSecret, "cookie-secret")
	missing(o.ClientID, "client-id")
	missing(o.ClientSecret, "client-secret")
	missing(o.Issuer, "oidc-issuer-url")
	if n := cookieSecretLength(o.CookieSecret); o.CookieSecret != "" && n != 16 && n != 24 && n != 32 {
		errs = append(errs, fmt.Errorf("cookie_secret must be 16, 24, or 32 bytes to create an AES cipher, but is %d bytes", n))
	}
	if (&http.Cookie{Name: o.CookieName}).String() == "" {
		errs = append(errs, fmt.Errorf("invalid cookie name: %q", o.CookieName))
	}
	if len(o.EmailDomains) != 1 || o.EmailDomains[0] != "*" {
		errs = append(errs, fmt.Errorf("email-domain is %q: the fake knows * only", o.EmailDomains))
	}
	if _, err := o.upstreamStatus(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// cookieSecretLength counts the bytes of a secret as oauth2-proxy does: decoded
// if that gives a valid length, else as it is (7.15, pkg/encryption/utils.go).
func cookieSecretLength(secret string) int {
	if raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(secret, "=")); err == nil {
		switch len(raw) {
		case 16, 24, 32:
			return len(raw)
		}
	}
	return len(secret)
}

// upstreamStatus is what an authenticated request is answered with: 404 without
// an upstream, which no ext_authz takes for a yes.
func (o Options) upstreamStatus() (int, error) {
	switch len(o.Upstreams) {
	case 0:
		return http.StatusNotFound, nil
	case 1:
		text, found := strings.CutPrefix(o.Upstreams[0], "static://")
		status, err := strconv.Atoi(text)
		if found && err == nil && status >= 100 && status <= 999 {
			return status, nil
		}
	}
	return 0, fmt.Errorf("upstream %q: the fake knows one static://STATUS only", o.Upstreams)
}
