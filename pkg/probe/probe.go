// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
)

// Failure is a request without a credential that got in.
type Failure struct {
	// Method, Path and Header are what was sent; Header is "Name: value" or empty.
	Method string `json:"method"`
	Path   string `json:"path"`
	Header string `json:"header,omitempty"`
	// Status is the authorizer's.
	Status int `json:"status"`
	// Cause says why that may be and what to do.
	Cause string `json:"cause"`
}

// String is the failure as one sentence.
func (f Failure) String() string {
	what := f.Method + " " + f.Path
	if f.Header != "" {
		what += " with " + f.Header
	}
	return fmt.Sprintf("%s: %d: %s", what, f.Status, f.Cause)
}

// Result is what came of all requests.
type Result struct {
	// Asked is how many got an answer.
	Asked int `json:"asked"`
	// Failures are those that got in.
	Failures []Failure `json:"failures"`
}

// Target is what is asked.
type Target struct {
	Asker      extauthz.Asker
	Authorizer extauthz.Authorizer
	// Host is that of the requests.
	Host string
	// Open are paths that get in on purpose.
	Open []string
}

// Run asks everything. An authorizer that lets in a request that brings nothing is not
// asked any further: everything else would get in too. An error is that no answer
// came, and then nothing is known.
func Run(ctx context.Context, target Target) (Result, error) {
	var result Result
	for i, attempt := range attempts(target.Host, target.Open) {
		verdict, err := target.Asker.Ask(ctx, target.Authorizer, attempt.request)
		switch {
		case err != nil:
			return result, fmt.Errorf("asking about %s %s: %w", attempt.request.Method, attempt.request.Path, err)
		case ctx.Err() != nil:
			return result, ctx.Err()
		case verdict.Err != nil:
			return result, fmt.Errorf("asking about %s %s: %s", attempt.request.Method, attempt.request.Path, verdict.Reason)
		}
		result.Asked++
		if verdict.AuthorizerStatus < http.StatusOK || verdict.AuthorizerStatus >= http.StatusMultipleChoices {
			continue
		}
		result.Failures = append(result.Failures, Failure{
			Method: attempt.request.Method, Path: attempt.request.Path, Header: describe(attempt.request.Header),
			Status: verdict.AuthorizerStatus, Cause: attempt.cause,
		})
		if i == 0 {
			break
		}
	}
	return result, nil
}

func describe(header http.Header) string {
	var parts []string
	for _, name := range []string{"User-Agent", "Authorization", "Cookie", "X-Forwarded-Method", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Auth-Request-User", "X-Forwarded-Uri", "X-Original-Url", "X-Original-Uri", "X-Rewrite-Url", "X-Forwarded-For", "X-Real-Ip", "X-Envoy-External-Address", "X-Proxyuser-Ip", "Cf-Connecting-Ip", "Forwarded"} {
		if value := header.Get(name); value != "" {
			parts = append(parts, name+": "+value)
		}
	}
	return strings.Join(parts, ", ")
}
