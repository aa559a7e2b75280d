// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
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
type verify struct{ Environment }

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
		return needed("Unexpected", "%s", wrong), nil
	}
	return done("Verified", "%s", summary), nil
}

// Apply asks again for a while.
func (v *verify) Apply(ctx context.Context) error {
	patience, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	var last string
	err := bootstrap.Poll(patience, v.Clock, v.Poll, func(context.Context) (string, error) {
		_, wrong, err := v.ask(ctx)
		last = wrong
		return wrong, err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return errors.New(last)
	}
	return err
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
		verdict, err := extauthz.Asker{Dial: v.Dial}.Ask(ctx, authorizer, q.request(domain))
		if err != nil {
			return "", "", fmt.Errorf("asking %s: %w", v.serviceHost(), err)
		}
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		if !v.expected(q, verdict) {
			return "", fmt.Sprintf("%s (GET %s): %s, wanted %s; %s", q.name, q.path, verdict.Reason, v.wanted(q), cause(q, verdict, problems)), nil
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
	request := extauthz.Request{Method: http.MethodGet, Authority: "extauth-guard-verify." + domain, Path: q.path, Header: http.Header{}}
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

func (q question) status() int {
	if q.allowed {
		return http.StatusOK
	}
	return http.StatusUnauthorized
}

func (v *verify) wanted(q question) string {
	if v.Config.Flow == config.FlowAuthorizationCode {
		return "a denial"
	}
	return strconv.Itoa(q.status())
}

// cause guesses.
func cause(q question, verdict extauthz.Verdict, problems []string) string {
	var lookup *net.DNSError
	switch {
	case errors.As(verdict.Err, &lookup):
		return "the Service's name does not resolve; is the job running inside of the cluster?"
	case verdict.Err != nil:
		return "is the proxy's Service without endpoints, does a network policy forbid it, or does the mesh insist on mutual TLS and this Pod has no sidecar?"
	case q.allowed:
		return tokenCause(problems)
	case q.name == "own path" && verdict.Allowed:
		return "the proxy sees its own path: something between here and it drops the pathPrefix"
	case verdict.Status == http.StatusFound:
		return "the proxy answers with a login page: is force-json-errors overridden by proxy.extraValues?"
	case verdict.Allowed:
		return "the proxy lets everybody in: is a skip-auth flag set in proxy.extraValues?"
	default:
		return "look at the log of the proxy's Pods"
	}
}

// tokenCause explains a token that was refused.
func tokenCause(problems []string) string {
	if len(problems) == 0 {
		return "the token's claims are as the proxy wants them; can the proxy reach the issuer's keys?"
	}
	return strings.Join(problems, "; ")
}
