// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

// values is what the job sets of the oauth2-proxy chart 10.7.0. It never holds a
// credential: Helm stores values in the cluster, and the chart passes these three
// through its template engine.
type values struct {
	ReplicaCount      int               `json:"replicaCount"`
	Image             valuesImage       `json:"image"`
	Config            valuesConfig      `json:"config"`
	ExtraArgs         map[string]string `json:"extraArgs"`
	PodAnnotations    map[string]string `json:"podAnnotations"`
	PodLabels         map[string]string `json:"podLabels,omitempty"`
	ExtraVolumes      []map[string]any  `json:"extraVolumes,omitempty"`
	ExtraVolumeMounts []map[string]any  `json:"extraVolumeMounts,omitempty"`
}

type valuesImage struct {
	Tag string `json:"tag"`
}

type valuesConfig struct {
	// ExistingSecret makes the chart write no Secret of its own.
	ExistingSecret string `json:"existingSecret"`
	ConfigFile     string `json:"configFile"`
}

// caFolder is where the issuer's certificate authorities are mounted.
const caFolder = "/etc/oauth2-proxy-issuer-ca"

// newValues returns the values of the configured flow with the user's merged over
// them. domain and callbackHost matter for the authorization-code flow only.
func newValues(cfg config.BootstrapConfig, domain, callbackHost, fingerprint string) (map[string]any, error) {
	made := values{
		// One replica would answer 403 for every protected app while it moves.
		ReplicaCount:   2,
		Image:          valuesImage{Tag: cfg.Proxy.Image.Tag},
		Config:         valuesConfig{ExistingSecret: cfg.Proxy.SecretName, ConfigFile: configFile(cfg.Proxy.EmailDomains)},
		ExtraArgs:      commonArgs(cfg),
		PodAnnotations: map[string]string{"checksum/credentials": fingerprint},
	}
	switch cfg.Flow {
	case config.FlowAuthorizationCode:
		maps.Copy(made.ExtraArgs, authorizationCodeArgs(domain, callbackHost))
		// Lets the ingress gateway in where Kyma's network policies are on.
		made.PodLabels = map[string]string{"networking.kyma-project.io/from-ingressgateway": "allowed"}
	default:
		maps.Copy(made.ExtraArgs, clientCredentialsArgs())
	}
	if cfg.Issuer.CABundle != "" {
		made.ExtraArgs["provider-ca-file"] = caFolder + "/" + caKey
		// Alone, the file would replace what the system trusts.
		made.ExtraArgs["use-system-trust-store"] = "true"
		made.ExtraVolumes = []map[string]any{{
			"name": "issuer-ca",
			"secret": map[string]any{
				"secretName": cfg.Proxy.SecretName,
				"items":      []any{map[string]any{"key": caKey, "path": caKey}},
			},
		}}
		made.ExtraVolumeMounts = []map[string]any{{"name": "issuer-ca", "mountPath": caFolder, "readOnly": true}}
	}
	raw, err := json.Marshal(made)
	if err != nil {
		return nil, fmt.Errorf("making the chart's values: %w", err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("making the chart's values: %w", err)
	}
	return mergeValues(out, cfg.Proxy.ExtraValues), nil
}

// commonArgs are the proxy's flags of both flows. They follow Kyma's tutorials,
// with cookie-secure on and with the proxies named whose X-Forwarded headers
// count. Requests are not logged: a line has path and query of every request to
// every protected app, and with them what apps pass in queries.
func commonArgs(cfg config.BootstrapConfig) map[string]string {
	args := map[string]string{
		"provider":                  "oidc",
		"oidc-issuer-url":           cfg.Issuer.URL,
		"skip-oidc-discovery":       "false",
		"scope":                     strings.Join(cfg.Proxy.Scopes, " "),
		"upstream":                  "static://200",
		"cookie-secure":             "true",
		"cookie-samesite":           "lax",
		"reverse-proxy":             "true",
		"skip-provider-button":      "true",
		"set-xauthrequest":          "true",
		"set-authorization-header":  "true",
		"pass-authorization-header": "true",
		"pass-user-headers":         "true",
		"pass-host-header":          "true",
		"standard-logging":          "true",
		"auth-logging":              "true",
		"request-logging":           "false",
	}
	if len(cfg.Proxy.TrustedProxyIPs) > 0 {
		args["trusted-proxy-ip"] = strings.Join(cfg.Proxy.TrustedProxyIPs, ",")
	}
	if endpoints := cfg.Issuer.Endpoints; endpoints.Given() {
		args["skip-oidc-discovery"] = "true"
		args["login-url"] = endpoints.Authorization
		args["redeem-url"] = endpoints.Token
		args["oidc-jwks-url"] = endpoints.Keys
	}
	return args
}

// clientCredentialsArgs make the proxy answer 401 instead of a login page, and
// take tokens whose audience is the client.
func clientCredentialsArgs() map[string]string {
	return map[string]string{"force-json-errors": "true", "skip-jwt-bearer-tokens": "true"}
}

// authorizationCodeArgs make the proxy log people in. The cookie is for all hosts
// of the domain, and so are the redirects back to them. Each sign-in has a CSRF
// cookie of its own, or the second of two tabs would spoil that of the first.
func authorizationCodeArgs(domain, callbackHost string) map[string]string {
	return map[string]string{
		"cookie-domain":                 domain,
		"whitelist-domain":              "*." + domain + ":*",
		"cookie-csrf-per-request":       "true",
		"cookie-csrf-per-request-limit": "16",
		"cookie-refresh":                "1h",
		"cookie-expire":                 "4h",
		"redirect-url":                  "https://" + callbackHost + "/oauth2/callback",
		"code-challenge-method":         "S256",
		"pass-access-token":             "true",
	}
}

// configFile replaces the chart's, whose upstream is a file.
func configFile(emailDomains []string) string {
	quoted := make([]string, 0, len(emailDomains))
	for _, domain := range emailDomains {
		quoted = append(quoted, fmt.Sprintf("%q", domain))
	}
	return fmt.Sprintf("email_domains = [ %s ]\nupstreams = [ \"static://200\" ]\n", strings.Join(quoted, ", "))
}

// mergeValues lays over onto base: maps key by key, everything else replaced.
func mergeValues(base, over map[string]any) map[string]any {
	for key, value := range over {
		have, haveIsMap := base[key].(map[string]any)
		want, wantIsMap := value.(map[string]any)
		if haveIsMap && wantIsMap {
			base[key] = mergeValues(have, want)
			continue
		}
		base[key] = value
	}
	return base
}
