// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidcprovider

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
)

const (
	discoveryPath = "/.well-known/openid-configuration"
	tokenPath     = "/oauth/token"
	keysPath      = "/keys"
)

// ServeHTTP is the library's provider with the flaws around it. Endpoints of
// other grants do not exist.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	flaws := p.flaws
	p.requests = append(p.requests, r.Method+" "+r.URL.Path)
	p.mu.Unlock()

	inner, found := strings.CutPrefix(r.URL.Path, p.prefix)
	if !found {
		http.NotFound(w, r)
		return
	}
	r.URL.Path, r.URL.RawPath = inner, ""
	switch inner {
	case discoveryPath:
		p.discovery(w, r, flaws)
	case keysPath:
		p.library.ServeHTTP(w, r)
	case tokenPath:
		p.token(w, r, flaws)
	case authorizePath, signedInPath, userinfoPath, loginPath:
		p.interactive(w, r)
	default:
		http.NotFound(w, r)
	}
}

// interactive is what people and the authorization-code grant need.
func (p *Provider) interactive(w http.ResponseWriter, r *http.Request) {
	switch {
	case len(p.signIns.redirects) == 0:
		http.NotFound(w, r)
	case r.URL.Path == loginPath:
		p.login(w, r)
	default:
		p.library.ServeHTTP(w, r)
	}
}

// granted says whether the token endpoint knows the grant of a request.
func (p *Provider) granted(grant string, flaws Flaws) bool {
	switch grant {
	case "client_credentials":
		return !flaws.NoClientCredentials
	case "authorization_code":
		return len(p.signIns.redirects) > 0
	}
	return false
}

// discovery is the library's document, edited.
func (p *Provider) discovery(w http.ResponseWriter, r *http.Request, flaws Flaws) {
	recorder := httptest.NewRecorder()
	p.library.ServeHTTP(recorder, r)
	var document map[string]any
	if err := json.Unmarshal(recorder.Body.Bytes(), &document); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	grants := []string{"client_credentials", "authorization_code"}
	methods := []string{"client_secret_basic", "client_secret_post"}
	switch {
	case flaws.PostOnly:
		methods = []string{"client_secret_post"}
	case flaws.KeysOnly:
		methods = []string{"private_key_jwt"}
	}
	if flaws.NoClientCredentials {
		grants = grants[1:]
	}
	document["grant_types_supported"] = grants
	document["token_endpoint_auth_methods_supported"] = methods
	maps.DeleteFunc(document, func(field string, _ any) bool {
		return flaws.GrantsUnstated && field == "grant_types_supported" ||
			flaws.NoTokenEndpoint && field == "token_endpoint" ||
			flaws.NoJWKS && field == "jwks_uri"
	})
	if flaws.IssuerSlash {
		document["issuer"] = p.issuer + "/"
	}
	if flaws.DocumentIssuer != "" {
		document["issuer"] = flaws.DocumentIssuer
	}
	writeJSON(w, http.StatusOK, document)
}

// token is the library's token endpoint behind the refusals it does not know.
func (p *Provider) token(w http.ResponseWriter, r *http.Request, flaws Flaws) {
	request, _ := httputil.DumpRequest(r, true)
	_, _, basic := r.BasicAuth()
	if err := r.ParseForm(); err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request"})
		return
	}
	switch {
	case flaws.TokenStatus != 0:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(flaws.TokenStatus)
		_, _ = fmt.Fprintf(w, "<html><body>gateway trouble\n%s</body></html>", echo(flaws, request))
	case !p.granted(r.PostForm.Get("grant_type"), flaws):
		refuse(w, http.StatusBadRequest, "unsupported_grant_type", "grant not supported"+echo(flaws, request))
	case basic && (flaws.PostOnly || flaws.BasicRefused), flaws.KeysOnly:
		refuse(w, http.StatusUnauthorized, "invalid_client", "authentication method not allowed for this client"+echo(flaws, request))
	default:
		p.issue(w, r, flaws, request)
	}
}

// issue lets the library authenticate the client and issue the token, then
// changes what the flaws want changed and signs again.
func (p *Provider) issue(w http.ResponseWriter, r *http.Request, flaws Flaws, request []byte) {
	recorder := httptest.NewRecorder()
	p.library.ServeHTTP(recorder, r)
	var answer map[string]any
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if recorder.Code != http.StatusOK {
		if answer["error_description"] == nil {
			// The library keeps its reason to its log.
			answer["error_description"] = "unknown client or wrong secret"
		}
		answer["error_description"] = fmt.Sprint(answer["error_description"], echo(flaws, request))
		writeJSON(w, recorder.Code, answer)
		return
	}
	if err := p.spoil(answer, flaws.Token); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func echo(flaws Flaws, request []byte) string {
	if !flaws.EchoRequest {
		return ""
	}
	return " " + string(request)
}

func refuse(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]string{"error": code, "error_description": description})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
