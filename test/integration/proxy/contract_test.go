// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
	"github.com/extauth-guard/extauth-guard/pkg/oidc"
	"github.com/extauth-guard/extauth-guard/test/harness/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

const (
	clientID     = "shop"
	clientSecret = "shop-secret"
	cookieSecret = "0123456789abcdef0123456789abcdef"
)

// arguments are those of the client-credentials flow of Kyma's documentation as
// the chart renders them (api-gateway 3.10, expose-workload-extauth-client-credentials.md).
func arguments(issuer string) []string {
	return []string{
		"--provider=oidc", "--cookie-secure=false", "--cookie-domain=example.com", "--cookie-samesite=lax",
		"--set-xauthrequest=true", "--whitelist-domain=*.example.com:*", "--reverse-proxy=true", "--pass-access-token=true",
		"--set-authorization-header=true", "--pass-authorization-header=true", "--pass-user-headers=true", "--pass-host-header=true",
		"--scope=openid email", "--upstream=static://200", "--skip-provider-button=true", "--skip-oidc-discovery=false",
		"--oidc-issuer-url=" + issuer, "--standard-logging=true", "--auth-logging=true", "--request-logging=true",
		"--force-json-errors=true", "--login-url=static://401", "--skip-jwt-bearer-tokens=true", "--email-domain=*",
	}
}

func environment() []string {
	return []string{
		"OAUTH2_PROXY_CLIENT_ID=" + clientID, "OAUTH2_PROXY_CLIENT_SECRET=" + clientSecret, "OAUTH2_PROXY_COOKIE_SECRET=" + cookieSecret,
	}
}

// row is one request and what becomes of it.
type row struct {
	method string
	path   string
	// token says what is wrong with the token; nil sends none.
	token *oidcprovider.TokenFlaws
	// scopes are asked for with the token.
	scopes []string
	// header writes the Authorization header from the token; nil is Bearer.
	header func(token string) string
	// direct is the proxy's own answer, prefixed its answer for a check with
	// the pathPrefix /verify?original=.
	direct, prefixed int
	// body is the direct answer's body where it matters.
	body string
	// hidden marks what a look at the token cannot tell: the signature.
	hidden bool
}

func basic(format string) func(string) string {
	return func(token string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(format, "TOKEN", token)))
	}
}

func fixed(header string) func(string) string { return func(string) string { return header } }

func rows() map[string]row {
	good := &oidcprovider.TokenFlaws{}
	return map[string]row{
		"no token":                            {direct: 401, prefixed: 401, body: "{}"},
		"a good token":                        {token: good, direct: 200, prefixed: 200},
		"a good token by POST":                {method: "POST", token: good, direct: 200, prefixed: 200},
		"no token by DELETE":                  {method: "DELETE", direct: 401, prefixed: 401},
		"the audience as a string":            {token: &oidcprovider.TokenFlaws{Audience: clientID}, direct: 200, prefixed: 200},
		"the audience in a list":              {token: &oidcprovider.TokenFlaws{Audience: []string{"api", clientID}}, direct: 200, prefixed: 200},
		"another audience":                    {token: &oidcprovider.TokenFlaws{Audience: "api"}, direct: 401, prefixed: 401},
		"a list without the audience":         {token: &oidcprovider.TokenFlaws{Audience: []string{"api", "app"}}, direct: 401, prefixed: 401},
		"no audience":                         {token: &oidcprovider.TokenFlaws{NoAudience: true}, direct: 401, prefixed: 401},
		"an expired token":                    {token: &oidcprovider.TokenFlaws{Lifetime: -time.Minute}, direct: 401, prefixed: 401},
		"a token without expiry":              {token: &oidcprovider.TokenFlaws{NoExpiry: true}, direct: 401, prefixed: 401},
		"a token from the near future":        {token: &oidcprovider.TokenFlaws{NotBefore: time.Minute}, direct: 200, prefixed: 200},
		"a token from the far future":         {token: &oidcprovider.TokenFlaws{NotBefore: 30 * time.Minute}, direct: 401, prefixed: 401},
		"another issuer":                      {token: &oidcprovider.TokenFlaws{Issuer: "https://other.example.com"}, direct: 401, prefixed: 401},
		"a bad signature":                     {token: &oidcprovider.TokenFlaws{ForeignKey: true}, direct: 401, prefixed: 401, hidden: true},
		"an opaque token":                     {token: &oidcprovider.TokenFlaws{Opaque: true}, direct: 401, prefixed: 401},
		"garbage":                             {header: fixed("Bearer garbage"), direct: 401, prefixed: 401},
		"garbage in the shape of a JWT":       {header: fixed("Bearer eyJ.eyJ.x"), direct: 401, prefixed: 401},
		"an empty token":                      {header: fixed("Bearer"), direct: 401, prefixed: 401},
		"neither email nor sub":               {token: &oidcprovider.TokenFlaws{NoSubject: true}, direct: 200, prefixed: 200},
		"a verified email":                    {token: &oidcprovider.TokenFlaws{Email: "a@example.com", EmailVerified: true}, direct: 200, prefixed: 200},
		"an email that says nothing":          {token: &oidcprovider.TokenFlaws{Email: "a@example.com"}, direct: 200, prefixed: 200},
		"an unverified email":                 {token: &oidcprovider.TokenFlaws{Email: "a@example.com", EmailVerified: false}, direct: 401, prefixed: 401},
		"unverified without an email":         {token: &oidcprovider.TokenFlaws{EmailVerified: false}, direct: 401, prefixed: 401},
		"unverified as a string":              {token: &oidcprovider.TokenFlaws{Email: "a@example.com", EmailVerified: "false"}, direct: 401, prefixed: 401},
		"a lower-case scheme":                 {token: good, header: func(token string) string { return "bearer " + token }, direct: 401, prefixed: 401},
		"the token as Basic user name":        {token: good, header: basic("TOKEN:"), direct: 200, prefixed: 200},
		"the token as marked Basic user name": {token: good, header: basic("TOKEN:x-oauth-basic"), direct: 200, prefixed: 200},
		"the token as Basic password":         {token: good, header: basic("me:TOKEN"), direct: 200, prefixed: 200},
		"the token as Basic without a colon":  {token: good, header: basic("TOKEN"), direct: 401, prefixed: 401},
		"the token as user with a password":   {token: good, header: basic("TOKEN:password"), direct: 401, prefixed: 401},
		"any scope":                           {token: good, scopes: []string{"whatever", "else"}, direct: 200, prefixed: 200},

		// The bypass: the proxy's own paths, open without a prefix.
		"ping":                        {path: "/ping", direct: 200, prefixed: 401, body: "OK"},
		"ping with a query":           {path: "/ping?a=b", direct: 200, prefixed: 401},
		"ping by POST":                {method: "POST", path: "/ping", direct: 200, prefixed: 401},
		"ready":                       {path: "/ready", direct: 200, prefixed: 401},
		"robots.txt":                  {path: "/robots.txt", direct: 200, prefixed: 401},
		"a static file":               {path: "/oauth2/static/css/bulma.min.css", direct: 200, prefixed: 401},
		"a static file that is not":   {path: "/oauth2/static/nothing", direct: 404, prefixed: 401},
		"ping with a token":           {path: "/ping", token: good, direct: 200, prefixed: 200},
		"robots.txt with a token":     {path: "/robots.txt", token: good, direct: 200, prefixed: 200},
		"static with a token":         {path: "/oauth2/static/css/bulma.min.css", token: good, direct: 200, prefixed: 200},
		"ping below another path":     {path: "/check/ping", direct: 401, prefixed: 401},
		"the same with a token":       {path: "/check/ping", token: good, direct: 200, prefixed: 200},
		"ping in capitals":            {path: "/PING", direct: 401, prefixed: 401},
		"ping, escaped":               {path: "/%70ing", direct: 401, prefixed: 401},
		"ping with a slash":           {path: "/ping/", direct: 401, prefixed: 401},
		"an unknown path of its own":  {path: "/oauth2/unknown", direct: 401, prefixed: 401},
		"the prefix without a slash":  {path: "/oauth2", direct: 401, prefixed: 401},
		"auth without a token":        {path: "/oauth2/auth", direct: 401, prefixed: 401},
		"auth with a token":           {path: "/oauth2/auth", token: good, direct: 202, prefixed: 200},
		"userinfo without a token":    {path: "/oauth2/userinfo", direct: 401, prefixed: 401},
		"userinfo with a token":       {path: "/oauth2/userinfo", token: good, direct: 200, prefixed: 200},
		"sign_in":                     {path: "/oauth2/sign_in", direct: 302, prefixed: 401},
		"start":                       {path: "/oauth2/start", direct: 302, prefixed: 401},
		"sign_out":                    {path: "/oauth2/sign_out", direct: 302, prefixed: 401},
		"callback":                    {path: "/oauth2/callback", direct: 500, prefixed: 401},
		"two slashes":                 {path: "//x", direct: 301, prefixed: 401},
		"two slashes with a token":    {path: "//x", token: good, direct: 301, prefixed: 200},
		"two slashes and ping":        {path: "//ping", direct: 301, prefixed: 401},
		"dots with a token":           {path: "/a/../b", token: good, direct: 301, prefixed: 200},
		"a slash at the end":          {path: "/a/", token: good, direct: 200, prefixed: 200},
		"an escaped slash":            {path: "/a%2Fb", token: good, direct: 200, prefixed: 200},
		"two escaped slashes":         {path: "/a%2F%2Fb", direct: 401, prefixed: 401},
		"the same two with a token":   {path: "/a%2F%2Fb", token: good, direct: 301, prefixed: 200},
		"a query of its own":          {path: "/a?b=c&d=%2F", token: good, direct: 200, prefixed: 200},
		"a query that is not escaped": {path: "/a?b=%zz;c", token: good, direct: 200, prefixed: 200},

		// What the proxy reads of the app's query; it only ever denies.
		"the app's allowed_groups":        {path: "/a?b=c&allowed_groups=x", token: good, direct: 403, prefixed: 403},
		"the app's allowed_emails":        {path: "/a?b=c&allowed_emails=x", token: good, direct: 403, prefixed: 403},
		"the app's allowed_email_domains": {path: "/a?b=c&allowed_email_domains=x", token: good, direct: 403, prefixed: 403},
	}
}

// TestContract holds the pinned proxy to what the product and its documentation say
// about it, asked directly and as Envoy would ask.
func TestContract(t *testing.T) {
	provider := oidcprovider.Start(t, oidcprovider.Options{Clients: map[string]string{clientID: clientSecret}})
	client, err := oidc.NewHTTPClient(oidc.HTTPOptions{})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	metadata, err := oidc.Discover(t.Context(), client, provider.Issuer())
	require.NoError(t, err)
	running := oauth2proxy.Start(t, oauth2proxy.Options{Args: arguments(provider.Issuer()), Env: environment()})
	for name, tc := range rows() {
		t.Run(name, func(t *testing.T) {
			header := ""
			token := oidc.Secret{}
			if tc.token != nil {
				provider.SetFlaws(oidcprovider.Flaws{Token: *tc.token})
				got, err := oidc.ClientCredentials(t.Context(), client, metadata,
					oidc.Credentials{ClientID: clientID, Secret: oidc.NewSecret(clientSecret)}, tc.scopes...)
				require.NoError(t, err)
				token = got.Access
				header = "Bearer " + token.Reveal()
			}
			if tc.header != nil {
				header = tc.header(token.Reveal())
			}
			checkRow(t, running.Address(), tc, header)
			if !tc.hidden && tc.path == "" {
				checkExplanation(t, metadata.Issuer, tc, header)
			}
		})
	}
}

// checkRow asks the proxy itself, and as Envoy would with and without a prefix.
func checkRow(t *testing.T, address string, tc row, authorization string) {
	t.Helper()
	if tc.path == "" {
		tc.path = "/"
	}
	if tc.method == "" {
		tc.method = http.MethodGet
	}
	status, body := askDirectly(t, tc, address, authorization)
	assert.Equal(t, tc.direct, status, "asked directly")
	if tc.body != "" {
		assert.Equal(t, tc.body, body)
	}
	request := extauthz.Request{Method: tc.method, Authority: "shop.example.com", Path: tc.path, Header: http.Header{}}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	for prefix, want := range map[string]int{"": tc.direct, "/verify?original=": tc.prefixed} {
		v := verdict(t, address, prefix, request)
		assert.Equal(t, want, v.AuthorizerStatus, "asked as Envoy would with pathPrefix %q: %s", prefix, v.Reason)
		assert.Equal(t, want == http.StatusOK, v.Allowed, "with pathPrefix %q", prefix)
		if want >= 500 {
			want = http.StatusForbidden
		}
		assert.Equal(t, want, v.Status, "what the client sees with pathPrefix %q", prefix)
	}
}

// askDirectly is a client of the proxy itself, with Go's own HTTP client.
func askDirectly(t *testing.T, tc row, address, authorization string) (int, string) {
	t.Helper()
	path, query, _ := strings.Cut(tc.path, "?")
	unescaped, err := url.PathUnescape(path)
	require.NoError(t, err)
	req := (&http.Request{
		Method: tc.method, Host: "shop.example.com", Header: http.Header{},
		URL: &url.URL{Scheme: "http", Host: address, Path: unescaped, RawPath: path, RawQuery: query},
	}).WithContext(t.Context())
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// verdict asks through the entry the bootstrap writes, routed to the address.
func verdict(t *testing.T, address, prefix string, r extauthz.Request) extauthz.Verdict {
	t.Helper()
	asker := extauthz.Asker{Dial: func(ctx context.Context, network, asked string) (net.Conn, error) {
		assert.Equal(t, "oauth2-proxy.oauth2-proxy.svc.cluster.local:80", asked)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	v, err := asker.Ask(t.Context(), extauthz.Authorizer{
		Service: "oauth2-proxy.oauth2-proxy.svc.cluster.local", Port: 80, PathPrefix: prefix, Timeout: 10 * time.Second,
		IncludeHeaders: []string{"x-forwarded-for", "cookie", "authorization"},
	}, r)
	require.NoError(t, err)
	return v
}

// checkExplanation compares what the CLI says about a token with the verdict.
func checkExplanation(t *testing.T, issuer string, tc row, header string) {
	t.Helper()
	token, problem := oidc.TokenFromHeader(header)
	accepted := problem == nil
	if accepted {
		accepted = len(oidc.Explain(token, oidc.Expectation{Issuer: issuer, ClientID: clientID}, time.Now())) == 0
	}
	assert.Equal(t, tc.direct == http.StatusOK, accepted, "the explanation and the proxy disagree")
}
