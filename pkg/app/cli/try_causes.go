// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
)

// attemptKind is what a request carries.
type attemptKind string

const (
	withoutToken attemptKind = "without a token"
	withGarbage  attemptKind = "with garbage"
	withToken    attemptKind = "with a token"
)

// tryVerdict is what an answer means.
type tryVerdict struct {
	right    bool
	sentence string
	// causes are the likely ones of an answer that is not right, each with what to
	// do next.
	causes []string
}

func wrongAnswer(sentence string, causes ...string) tryVerdict {
	return tryVerdict{sentence: sentence, causes: causes}
}

// verdict says what the answer means; the texts that Envoy sends are those that it
// was seen to send (test/node, the mesh).
func (a attempt) verdict() tryVerdict {
	if a.err != nil {
		return noAnswer(a.err)
	}
	if a.kind == withToken {
		return a.answer.toToken()
	}
	return a.answer.toNobody(a.kind)
}

// toNobody is about a request that must not be let in.
func (r tryAnswer) toNobody(kind attemptKind) tryVerdict {
	switch {
	case r.status == http.StatusUnauthorized:
		return tryVerdict{right: true, sentence: "refused, as it should be"}
	case r.redirects():
		return tryVerdict{right: true, sentence: "sent to a login page, as it should be: " + quote.Line(r.location)}
	case r.status < http.StatusBadRequest && kind == withoutToken:
		return wrongAnswer("let in: nothing asked for a token",
			"no rule with an authorizer takes this path and method: look at kubectl extauth explain",
			"the proxy answers the path by itself, such as /ping: give its authorizer a pathPrefix")
	case r.status < http.StatusBadRequest:
		return wrongAnswer("let in with a token that is none", "the host is open, or the authorizer accepts everything: look at kubectl extauth explain")
	}
	return r.refused()
}

// toToken is about a request that should be let in.
func (r tryAnswer) toToken() tryVerdict {
	switch {
	case r.status == http.StatusUnauthorized || r.redirects():
		return wrongAnswer("the authorizer does not accept the token",
			"issuer, audience or lifetime: kubectl extauth token --claims says what oauth2-proxy will think of it",
			"another proxy, or another client, is registered under this name: look at kubectl extauth check")
	case r.status < http.StatusBadRequest:
		return tryVerdict{right: true, sentence: "let in, as it should be"}
	}
	return r.refused()
}

// redirects says whether the answer leads elsewhere.
func (r tryAnswer) redirects() bool {
	return r.status >= 300 && r.status < 400 && r.location != ""
}

// refused is about an answer that is wrong for every request.
func (r tryAnswer) refused() tryVerdict {
	switch {
	case r.status == http.StatusForbidden && strings.HasPrefix(r.body, "RBAC: access denied"):
		return wrongAnswer("the sidecar refused it before anybody was asked (RBAC: access denied)",
			"the authorizer is not in the mesh, or the workload has two: look at kubectl extauth explain",
			"the host was called with a port, which no policy of the APIRule has",
			"no rule of the APIRule lists the method for this path",
			"with JWT restrictions, the token lacks an audience or a scope")
	case r.status == http.StatusForbidden && r.body == "":
		return wrongAnswer("the authorizer did not answer, or not in time, which Envoy answers with 403",
			"its Pods are not ready: kubectl get pods in its namespace, or kubectl extauth check",
			"its Service or port in the Istio CR is wrong: look at kubectl extauth explain")
	case r.status == http.StatusForbidden:
		return wrongAnswer("the authorizer refused it, and not for want of a token",
			"a rule of the proxy, such as its e-mail domains or groups",
			"the query has allowed_groups, allowed_emails or allowed_email_domains, which the proxy reads itself")
	case r.status == http.StatusNotFound && r.body == "":
		return wrongAnswer("the gateway knows no route",
			"no APIRule has this host, or it is not Ready: kubectl get apirules -A",
			"no rule of it takes this path and method")
	case r.status == http.StatusServiceUnavailable || r.status == http.StatusGatewayTimeout:
		return wrongAnswer("the way to the workload is interrupted",
			"its Pods are not ready, or its Service has another port: look at kubectl extauth explain",
			"the Pod has no sidecar while the mesh insists on mutual TLS")
	}
	return wrongAnswer("the application itself or something in front of it answers this", "try another --path, or --method")
}

// noAnswer is about a request to which none came.
func noAnswer(err error) tryVerdict {
	var unknown *net.DNSError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var certificate *tls.CertificateVerificationError
	var wrapped *url.Error
	switch {
	case errors.As(err, &unknown):
		return wrongAnswer("the host has no address", "no DNS record leads to the gateway yet; --gateway HOST:PORT goes there without one")
	case errors.As(err, &authority):
		return wrongAnswer("an authority that is not trusted signed the gateway's certificate", "give it with --gateway-ca-file")
	case errors.As(err, &name), errors.As(err, &certificate):
		return wrongAnswer("the gateway's certificate is not one for this host: "+quote.Line(err.Error()), "the Gateway has another domain, or its certificate has ended")
	case errors.As(err, &wrapped):
		err = wrapped.Err // without the URL, which stands above
	}
	return wrongAnswer(fmt.Sprintf("no answer: %s", quote.Line(err.Error())), "the gateway is not reachable from here, or --gateway is wrong")
}
