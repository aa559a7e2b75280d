// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
)

// verifyTime is how long verify repeats itself: Pods that are ready need a moment
// until the Service leads to them, and no more than that.
const verifyTime = 20 * time.Second

// ownPaths are the proxy's own, which it answers without a token if it sees them
// as they are.
var ownPaths = []string{"/ping", "/ready", "/robots.txt", "/oauth2/static/css/bulma.min.css", "/oauth2/sign_in", "/oauth2/auth", "/oauth2/userinfo"}

// garbage looks like a token and is none.
const garbage = "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJub2JvZHkifQ.bm90LWEtc2lnbmF0dXJl"

// verify asks the proxy as Envoy would, once it is registered.
type verify struct {
	Environment
	// wrong is the last answer that was not as it has to be.
	wrong string
}

// question is one request and what has to come of it.
type question struct {
	name          string
	path          string
	authorization string
	allowed       bool
}

// Name is "verify".
func (*verify) Name() string { return "verify" }

// Observe asks all questions. It changes nothing, so it is also what Apply does.
func (v *verify) Observe(ctx context.Context) (bootstrap.Observation, error) {
	summary, wrong, err := v.ask(ctx)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case wrong != "":
		v.wrong = wrong
		return needed("Unexpected", "%s", wrong), nil
	}
	return done("Verified", "%s", summary), nil
}

// Apply asks again for a while.
func (v *verify) Apply(ctx context.Context) error {
	patience, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	err := bootstrap.Poll(patience, v.Clock, v.Poll, func(context.Context) (string, error) {
		_, wrong, err := v.ask(ctx)
		return wrong, err
	})
	// A request that the end of the time cut off says nothing, whatever its error is;
	// what was seen before it does.
	switch {
	case err == nil || patience.Err() == nil || v.wrong == "":
		return err
	case ctx.Err() == nil:
		return errors.New(v.wrong)
	default:
		return fmt.Errorf("%s: %w", v.wrong, ctx.Err())
	}
}

// ask returns a summary if every answer is as it has to be, and otherwise which
// request got which answer, and why that may be.
func (v *verify) ask(ctx context.Context) (summary, wrong string, err error) {
	questions, problems, err := v.questions(ctx)
	if err != nil {
		return "", "", err
	}
	domain, err := v.domain(ctx)
	if err != nil {
		return "", "", err
	}
	authorizer := v.asEnvoy()
	var summaries []string
	own := 0
	for _, q := range questions {
		verdict, err := extauthz.Asker{Dial: v.Dial, Host: v.serviceHost()}.Ask(ctx, authorizer, q.request(domain))
		if err != nil {
			return "", "", fmt.Errorf("asking %s: %w", v.serviceHost(), err)
		}
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		if !v.expected(q, verdict) {
			return "", fmt.Sprintf("%s (GET %s): %s, wanted %s; %s", q.name, q.path, verdict.Reason, v.wanted(q), v.cause(q, verdict, problems)), nil
		}
		if elsewhere := v.elsewhere(q, verdict, domain); elsewhere != "" {
			return "", fmt.Sprintf("%s (GET %s): %s", q.name, q.path, elsewhere), nil
		}
		if q.name == "own path" {
			own++
			continue
		}
		summaries = append(summaries, fmt.Sprintf("%s: %d", q.name, verdict.Status))
	}
	summaries = append(summaries, fmt.Sprintf("%d own paths: denied", own))
	return strings.Join(summaries, ", "), "", nil
}

// questions returns what to ask. The token is part of the client-credentials flow
// only: the proxy of the other one takes no bearer tokens.
func (v *verify) questions(ctx context.Context) ([]question, []string, error) {
	questions := []question{
		{name: "no token", path: "/"},
		{name: "garbage token", path: "/", authorization: garbage},
	}
	var problems []string
	if v.Config.Flow == config.FlowClientCredentials {
		token, explained, err := v.token(ctx)
		if err != nil {
			return nil, nil, err
		}
		problems = explained
		questions = append(questions, question{name: "client-credentials token", path: "/", authorization: "Bearer " + token.Reveal(), allowed: true})
	}
	for _, path := range ownPaths {
		questions = append(questions, question{name: "own path", path: path})
	}
	return questions, problems, nil
}

func (q question) request(domain string) extauthz.Request {
	request := extauthz.Request{Method: http.MethodGet, Authority: q.authority(domain), Path: q.path, Header: http.Header{}}
	if q.authorization != "" {
		request.Header.Set("Authorization", q.authorization)
	}
	return request
}

// expected says whether the answer is as it has to be. Without a session the
// authorization-code flow sends people to the login page instead of 401.
func (v *verify) expected(q question, verdict extauthz.Verdict) bool {
	switch {
	case verdict.Err != nil || verdict.AuthorizerStatus >= http.StatusInternalServerError:
		return false
	case q.allowed || v.Config.Flow == config.FlowClientCredentials:
		return verdict.Allowed == q.allowed && verdict.Status == q.status()
	default:
		return !verdict.Allowed
	}
}

func (question) authority(domain string) string { return "extauth-guard-verify." + domain }

func (q question) status() int {
	if q.allowed {
		return http.StatusOK
	}
	return http.StatusUnauthorized
}

// elsewhere says where a sign-in would end, if that is not what was asked for. The
// proxy believes the app's URL from trusted peers only, and otherwise leaves people
// on its own host.
func (v *verify) elsewhere(q question, verdict extauthz.Verdict, domain string) string {
	location, err := url.Parse(verdict.Downstream.Get("Location"))
	if v.Config.Flow != config.FlowAuthorizationCode || verdict.Status != http.StatusFound || err != nil {
		return ""
	}
	_, encoded, found := strings.Cut(location.Query().Get("state"), ":")
	target, err := url.QueryUnescape(encoded)
	if !found || err != nil {
		return "" // encode-state, for example, which proxy.extraValues may set.
	}
	if want := "https://" + q.authority(domain) + q.path; target != want {
		return fmt.Sprintf("the sign-in would end at %q, wanted %q; the proxy does not believe the X-Forwarded headers of the address that the check came from: "+
			"add it to proxy.trustedProxyIPs (now %s); with a sidecar in front of the proxy it is 127.0.0.6", target, want, strings.Join(v.Config.Proxy.TrustedProxyIPs, ", "))
	}
	return ""
}

func (v *verify) wanted(q question) string {
	if v.Config.Flow == config.FlowAuthorizationCode {
		return "a denial"
	}
	return strconv.Itoa(q.status())
}

// cause is the likely one.
func (v *verify) cause(q question, verdict extauthz.Verdict, problems []string) string {
	var lookup *net.DNSError
	switch {
	case errors.As(verdict.Err, &lookup):
		return "the Service's name does not resolve; is the job running inside of the cluster?"
	case verdict.Err != nil:
		return "is the proxy's Service without endpoints, does a network policy forbid it, or does the mesh insist on mutual TLS and this Pod has no sidecar?"
	case q.allowed && verdict.Status == http.StatusForbidden:
		return v.forbiddenCause()
	case q.allowed:
		return tokenCause(problems)
	case q.name == "own path" && verdict.Allowed:
		return "the proxy sees its own path: something between here and it drops the pathPrefix"
	case verdict.Status == http.StatusFound:
		return "the proxy answers with a login page: is force-json-errors overridden by proxy.extraValues?"
	case verdict.Allowed:
		return "the proxy lets everybody in: is a skip-auth flag set in proxy.extraValues?"
	case verdict.AuthorizerStatus >= http.StatusInternalServerError:
		return "look at the log of the proxy's Pods, and of the sidecar of this one, which answers 503 where it reaches nobody"
	default:
		return "look at the log of the proxy's Pods"
	}
}

// forbiddenCause explains 403: the proxy knows who it is, and a rule of its own
// says no. A client-credentials token usually has no e-mail, and then the proxy
// takes sub for it.
func (v *verify) forbiddenCause() string {
	rules := []string{fmt.Sprintf("proxy.emailDomains %q", v.Config.Proxy.EmailDomains)}
	for _, flag := range []string{"email-domain", "allowed-group", "allowed-role", "authenticated-emails-file"} {
		if value := v.extraArg(flag); value != "" {
			rules = append(rules, fmt.Sprintf("--%s=%s", flag, value))
		}
	}
	return "403: the proxy takes the token and a rule of its own forbids it: " + strings.Join(rules, ", ") +
		"; a token without an email is judged by its sub; change the rule, or have the provider set the claim"
}

// tokenCause explains a token that was refused.
func tokenCause(problems []string) string {
	if len(problems) == 0 {
		return "401: the token's claims are as the proxy wants them; can the proxy reach the issuer's keys?"
	}
	return "401: " + strings.Join(problems, "; ")
}
