// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
)

// BootstrapKind is the kind of the bootstrap job's configuration file.
const BootstrapKind = "BootstrapConfig"

// Auto is a domain and means: take the host of the Gateway and cut off "*.".
const Auto = "auto"

// Flow is the OAuth2 flow that the proxy serves.
type Flow string

const (
	// FlowClientCredentials is for machines: they bring a token, and whoever
	// brings none gets 401. Nothing of the proxy is exposed.
	FlowClientCredentials Flow = "ClientCredentials" //nolint:gosec // The name of a flow.
	// FlowAuthorizationCode is for people: who has no session is sent to the
	// issuer's login page and comes back through the proxy's own host.
	FlowAuthorizationCode Flow = "AuthorizationCode"
)

// BootstrapConfig is everything the bootstrap job needs to know. It holds no
// secret: credentials are read from the Secret it names.
type BootstrapConfig struct {
	metav1.TypeMeta `json:",inline"`

	// Flow is ClientCredentials (default) or AuthorizationCode.
	Flow Flow `json:"flow"`
	// Issuer is the OpenID Connect issuer that the proxy trusts.
	Issuer Issuer `json:"issuer"`
	// Credentials names the Secret with the client's id and secret.
	Credentials Credentials `json:"credentials"`
	// Gateway is the Istio Gateway of the exposed hosts, namespace/name.
	Gateway string `json:"gateway"`
	// Domain is the domain of the exposed hosts, or "auto": the Gateway's host
	// without "*.".
	Domain string `json:"domain"`
	// Proxy says which oauth2-proxy is installed, where and how.
	Proxy Proxy `json:"proxy"`
	// Authorizer is our entry in the Istio CR.
	Authorizer Authorizer `json:"authorizer"`
	// Callback is the proxy's own host, of the authorization-code flow only.
	Callback Callback `json:"callback"`
	// Verify says how the finished installation is tried.
	Verify Verify `json:"verify"`
	// SelfCheck says whether and where our own webhooks are tried.
	SelfCheck SelfCheck `json:"selfCheck"`
	// Timeouts bound the waiting.
	Timeouts Timeouts `json:"timeouts"`
}

// Issuer is an OpenID Connect issuer.
type Issuer struct {
	// URL is the issuer, exactly as the `issuer` of its discovery document.
	URL string `json:"url"`
	// CABundle is PEM of certificate authorities that the issuer's certificate may
	// be signed by, besides those of the system. The proxy gets it too.
	CABundle string `json:"caBundle"`
	// Endpoints are those of the issuer; empty has the proxy read them in the discovery
	// document when it starts, which it cannot while the issuer is down.
	Endpoints Endpoints `json:"endpoints"`
}

// Endpoints are an issuer's: all of them or none.
type Endpoints struct {
	// Authorization is where people sign in.
	Authorization string `json:"authorization"`
	// Token is where codes and credentials are exchanged for tokens.
	Token string `json:"token"`
	// Keys is where the keys are that tokens are signed with.
	Keys string `json:"keys"`
}

// Given is true if there are any.
func (e Endpoints) Given() bool { return e != Endpoints{} }

// Credentials names the user's Secret and its keys.
type Credentials struct {
	// Namespace of the Secret.
	Namespace string `json:"namespace"`
	// Name of the Secret.
	Name string `json:"name"`
	// ClientIDKey is the key of the client id, "client-id" by default.
	ClientIDKey string `json:"clientIDKey"`
	// ClientSecretKey is the key of the client secret, "client-secret" by default.
	ClientSecretKey string `json:"clientSecretKey"`
}

// Proxy is the installation of oauth2-proxy.
type Proxy struct {
	// Namespace is made when it is missing, with istio-injection enabled.
	Namespace string `json:"namespace"`
	// Release is the name of the Helm release, and so of the Service.
	Release string `json:"release"`
	// SecretName is the Secret that the job writes for the proxy.
	SecretName string `json:"secretName"`
	// Chart is the pinned chart.
	Chart Chart `json:"chart"`
	// Image is which oauth2-proxy the chart installs.
	Image Image `json:"image"`
	// EmailDomains are the e-mail domains that may log in. The
	// authorization-code flow insists on a choice; ["*"] means everybody whom
	// the issuer lets in.
	EmailDomains []string `json:"emailDomains"`
	// Scopes are what the proxy asks the issuer for when it logs people in.
	Scopes []string `json:"scopes"`
	// TrustedProxyIPs are the addresses whose X-Forwarded headers the proxy
	// believes. The default is the address that Istio's sidecar uses towards
	// its own Pod.
	TrustedProxyIPs []string `json:"trustedProxyIPs"`
	// ExtraValues are merged over the values that the job makes. They may not
	// hold credentials.
	ExtraValues map[string]any `json:"extraValues"`
}

// Image is the proxy's image.
type Image struct {
	// Tag is its version. The chart's own default may have known advisories.
	Tag string `json:"tag"`
}

// Chart names one exact chart archive.
type Chart struct {
	// Repository is an https:// (or http://) Helm repository, an oci://
	// reference without tag, or a path to an archive or a folder.
	Repository string `json:"repository"`
	// Name is the chart's name in the repository.
	Name string `json:"name"`
	// Version is the exact version: no range.
	Version string `json:"version"`
	// Digest is sha256:<hex> of the archive. It may be empty for a folder only.
	Digest string `json:"digest"`
}

// Authorizer is our entry in the Istio CR. Its service, port and pathPrefix
// follow from the proxy and cannot be chosen.
type Authorizer struct {
	// Name is what APIRules refer to.
	Name string `json:"name"`
	// Timeout of one check, whole seconds, at least one: Kyma's Istio module
	// cuts off the rest, so that 500ms becomes 0s.
	Timeout metav1.Duration `json:"timeout"`
}

// Callback is where the issuer sends a person back to.
type Callback struct {
	// Host defaults to "oauth2-proxy." and the domain.
	Host string `json:"host"`
}

// Verify is how the finished installation is tried.
type Verify struct {
	// Scopes are asked for with the client-credentials token.
	Scopes []string `json:"scopes"`
}

// SelfCheck is the trial of our own webhooks by dry-run creates.
type SelfCheck struct {
	// Enabled is true by default. Switch it off where the job runs without
	// the webhook.
	Enabled bool `json:"enabled"`
	// Namespace is where the dry-run objects would be created.
	Namespace string `json:"namespace"`
}

// Timeouts bound the waiting.
type Timeouts struct {
	// Total is for the whole run.
	Total metav1.Duration `json:"total"`
	// Step is for each step.
	Step metav1.Duration `json:"step"`
	// Request is for each request to the issuer and to the proxy.
	Request metav1.Duration `json:"request"`
	// Lock is how long a killed run keeps the next one waiting.
	Lock metav1.Duration `json:"lock"`
}

// DefaultBootstrap returns the configuration of the client-credentials flow
// that lacks only the issuer and the Secret.
func DefaultBootstrap() BootstrapConfig {
	return BootstrapConfig{
		TypeMeta:    metav1.TypeMeta{APIVersion: APIVersion, Kind: BootstrapKind},
		Flow:        FlowClientCredentials,
		Credentials: Credentials{ClientIDKey: "client-id", ClientSecretKey: "client-secret"},
		Gateway:     "kyma-system/kyma-gateway",
		Domain:      Auto,
		Proxy: Proxy{ //nolint:gosec // The name of a Secret.
			Namespace:  "oauth2-proxy",
			Release:    "oauth2-proxy",
			SecretName: "oauth2-proxy-credentials",
			Chart: Chart{
				Repository: "https://oauth2-proxy.github.io/manifests",
				Name:       "oauth2-proxy",
				Version:    "10.7.0",
			},
			Image:  Image{Tag: oauth2proxy.Version},
			Scopes: []string{"openid", "email"},
			// Istio's sidecar hands inbound requests to the container from
			// these addresses (istio.io, "Ports and protocols"; pilot
			// InboundPassthroughBindIpv4 and Ipv6).
			TrustedProxyIPs: []string{"127.0.0.6/32", "::6/128"},
		},
		Authorizer: Authorizer{Name: "oauth2-proxy", Timeout: seconds(5)},
		SelfCheck:  SelfCheck{Enabled: true, Namespace: "default"},
		Timeouts:   Timeouts{Total: seconds(600), Step: seconds(300), Request: seconds(10), Lock: seconds(15)},
	}
}

// LoadBootstrap decodes raw over the defaults. It does not validate.
func LoadBootstrap(raw []byte) (BootstrapConfig, error) {
	cfg := DefaultBootstrap()
	if err := Load(raw, BootstrapKind, &cfg); err != nil {
		return BootstrapConfig{}, fmt.Errorf("reading the bootstrap configuration: %w", err)
	}
	if cfg.Flow == FlowClientCredentials && len(cfg.Proxy.EmailDomains) == 0 {
		// A client-credentials token usually has no e-mail at all.
		cfg.Proxy.EmailDomains = []string{"*"}
	}
	return cfg, nil
}

func seconds(n int) metav1.Duration {
	return metav1.Duration{Duration: time.Duration(n) * time.Second}
}
