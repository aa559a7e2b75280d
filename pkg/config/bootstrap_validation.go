// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
)

var (
	// sha256Digest is how archives are pinned.
	sha256Digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	// imageTag is the OCI distribution specification's.
	imageTag = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	// scopeToken is RFC 6749's, less what the chart's template engine would read.
	scopeToken = regexp.MustCompile(`^[!#-\[\]-z|~]+$`)
	// exactVersion is semver 2 without ranges; Helm reads "10" or "~10.7" as a
	// range and would install whatever is newest.
	exactVersion = regexp.MustCompile(`^v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
)

// ValidateBootstrap returns everything that is wrong with cfg, not only the
// first thing. It is pure: nothing is looked up.
func ValidateBootstrap(cfg BootstrapConfig) field.ErrorList {
	var all field.ErrorList
	all = append(all, validateFlow(cfg)...)
	all = append(all, validateIssuer(cfg.Issuer, field.NewPath("issuer"))...)
	all = append(all, validateCredentials(cfg.Credentials, field.NewPath("credentials"))...)
	if cfg.Credentials.Namespace == cfg.Proxy.Namespace && cfg.Credentials.Name == cfg.Proxy.SecretName {
		all = append(all, field.Invalid(field.NewPath("proxy", "secretName"), cfg.Proxy.SecretName,
			"is the Secret of credentials; the job writes one of its own and leaves yours alone"))
	}
	all = append(all, validateGateway(cfg.Gateway, field.NewPath("gateway"))...)
	if cfg.Domain != Auto {
		all = append(all, subdomain(cfg.Domain, field.NewPath("domain"))...)
	}
	all = append(all, validateProxy(cfg.Proxy, field.NewPath("proxy"))...)
	all = append(all, validateAuthorizer(cfg.Authorizer, field.NewPath("authorizer"))...)
	if cfg.SelfCheck.Enabled {
		all = append(all, label(cfg.SelfCheck.Namespace, field.NewPath("selfCheck", "namespace"))...)
	}
	all = append(all, validateTimeouts(cfg.Timeouts, field.NewPath("timeouts"))...)
	return all
}

func validateFlow(cfg BootstrapConfig) field.ErrorList {
	var all field.ErrorList
	switch cfg.Flow {
	case FlowClientCredentials:
		if cfg.Callback.Host != "" {
			all = append(all, field.Forbidden(field.NewPath("callback", "host"),
				"the client-credentials flow has no callback; remove it or set flow: AuthorizationCode"))
		}
	case FlowAuthorizationCode:
		if len(cfg.Proxy.EmailDomains) == 0 {
			all = append(all, field.Required(field.NewPath("proxy", "emailDomains"),
				`say which e-mail domains may log in; ["*"] lets in everybody whom the issuer lets in`))
		}
		if cfg.Callback.Host != "" {
			all = append(all, subdomain(cfg.Callback.Host, field.NewPath("callback", "host"))...)
		}
	default:
		all = append(all, field.NotSupported(field.NewPath("flow"), cfg.Flow,
			[]Flow{FlowClientCredentials, FlowAuthorizationCode}))
	}
	return all
}

func validateIssuer(issuer Issuer, path *field.Path) field.ErrorList {
	all := validateIssuerURL(issuer.URL, path.Child("url"))
	if issuer.CABundle != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(issuer.CABundle)) {
		all = append(all, field.Invalid(path.Child("caBundle"), "…", "holds no PEM certificate"))
	}
	if !issuer.Endpoints.Given() {
		return all
	}
	for _, endpoint := range []struct{ name, url string }{
		{"authorization", issuer.Endpoints.Authorization}, {"token", issuer.Endpoints.Token}, {"keys", issuer.Endpoints.Keys},
	} {
		if at := path.Child("endpoints", endpoint.name); endpoint.url == "" {
			all = append(all, field.Required(at, "the proxy needs all three, or none and the discovery document"))
		} else {
			all = append(all, validateHTTPS(endpoint.url, at)...)
		}
	}
	return all
}

func validateIssuerURL(issuer string, path *field.Path) field.ErrorList {
	if issuer == "" {
		return field.ErrorList{field.Required(path, "the URL of the OpenID Connect issuer")}
	}
	parsed, err := url.Parse(issuer)
	if err == nil && parsed.User == nil && (parsed.RawQuery != "" || parsed.Fragment != "") {
		return field.ErrorList{field.Invalid(path, issuer, "an issuer has neither query nor fragment (OpenID Connect Discovery 1.0, 2)")}
	}
	return validateHTTPS(issuer, path)
}

func validateHTTPS(address string, path *field.Path) field.ErrorList {
	parsed, err := url.Parse(address)
	switch {
	case err != nil:
		// Not repeated: what cannot be taken apart may hold a password.
		return field.ErrorList{field.Invalid(path, "…", "must be an absolute https URL")}
	case parsed.User != nil:
		return field.ErrorList{field.Forbidden(path, "a URL with a user or a password would end up in logs; use the Secret")}
	case parsed.Host == "" || (parsed.Scheme != "https" && parsed.Scheme != "http"):
		return field.ErrorList{field.Invalid(path, address, "must be an absolute https URL")}
	case parsed.Scheme == "http" && !loopback(parsed.Hostname()):
		return field.ErrorList{field.Invalid(path, address, "must be https; http is for loopback addresses only")}
	}
	return nil
}

func validateCredentials(c Credentials, path *field.Path) field.ErrorList {
	var all field.ErrorList
	all = append(all, label(c.Namespace, path.Child("namespace"))...)
	all = append(all, subdomain(c.Name, path.Child("name"))...)
	for _, key := range []struct{ name, value string }{
		{"clientIDKey", c.ClientIDKey}, {"clientSecretKey", c.ClientSecretKey},
	} {
		for _, msg := range validation.IsConfigMapKey(key.value) {
			all = append(all, field.Invalid(path.Child(key.name), key.value, msg))
		}
	}
	return all
}

func validateGateway(gateway string, path *field.Path) field.ErrorList {
	namespace, name, ok := strings.Cut(gateway, "/")
	if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return field.ErrorList{field.Invalid(path, gateway, "must be namespace/name")}
	}
	return nil
}

func validateProxy(p Proxy, path *field.Path) field.ErrorList {
	var all field.ErrorList
	all = append(all, label(p.Namespace, path.Child("namespace"))...)
	if slices.Contains([]string{"kube-system", "kyma-system", "istio-system"}, p.Namespace) {
		all = append(all, field.Forbidden(path.Child("namespace"), "the proxy gets a namespace of its own: "+p.Namespace+" belongs to the platform"))
	}
	all = append(all, label(p.Release, path.Child("release"))...)
	if len(p.Release) > 53 {
		all = append(all, field.TooLong(path.Child("release"), "", 53))
	}
	all = append(all, subdomain(p.SecretName, path.Child("secretName"))...)
	all = append(all, validateChart(p.Chart, path.Child("chart"))...)
	for i, ip := range p.TrustedProxyIPs {
		if _, err := netip.ParsePrefix(ip); err != nil {
			if _, err := netip.ParseAddr(ip); err != nil {
				all = append(all, field.Invalid(path.Child("trustedProxyIPs").Index(i), ip, "must be an address or a CIDR"))
			}
		}
	}
	for i, domain := range p.EmailDomains {
		if domain == "" || strings.ContainsAny(domain, "\"\\\n @") {
			all = append(all, field.Invalid(path.Child("emailDomains").Index(i), domain, `must be a domain like "example.com", or "*"`))
		}
	}
	if len(p.Image.Tag) > 128 || !imageTag.MatchString(p.Image.Tag) {
		all = append(all, field.Invalid(path.Child("image", "tag"), p.Image.Tag, "must be the tag of an image, such as "+oauth2proxy.Version))
	}
	all = append(all, validateScopes(p.Scopes, path.Child("scopes"))...)
	all = append(all, validateExtraValues(p.ExtraValues, path.Child("extraValues"))...)
	return all
}

// validateScopes wants openid: without it the issuer gives no ID token, and the
// proxy needs one (OpenID Connect Core 1.0, section 3.1.2.1).
func validateScopes(scopes []string, path *field.Path) field.ErrorList {
	var all field.ErrorList
	if !slices.Contains(scopes, "openid") {
		all = append(all, field.Invalid(path, scopes, `must contain "openid"`))
	}
	for i, scope := range scopes {
		if !scopeToken.MatchString(scope) {
			all = append(all, field.Invalid(path.Index(i), scope, "must be one scope: printable ASCII without blanks, quotes and backslashes (RFC 6749, section 3.3)"))
		}
	}
	return all
}

func validateChart(c Chart, path *field.Path) field.ErrorList {
	var all field.ErrorList
	if c.Repository == "" {
		all = append(all, field.Required(path.Child("repository"), "an https:// repository, an oci:// reference or a path"))
	}
	if parsed, err := url.Parse(c.Repository); err == nil && parsed.User != nil {
		all = append(all, field.Forbidden(path.Child("repository"), "a URL with a user or a password would end up in logs"))
	}
	if c.Name == "" {
		all = append(all, field.Required(path.Child("name"), "the chart's name"))
	}
	if !exactVersion.MatchString(c.Version) {
		all = append(all, field.Invalid(path.Child("version"), c.Version, "must be one exact version such as 10.7.0, not a range"))
	}
	switch {
	case c.Digest != "" && !sha256Digest.MatchString(c.Digest):
		all = append(all, field.Invalid(path.Child("digest"), c.Digest, "must be sha256: and 64 hexadecimal digits in lower case"))
	case c.Digest == "" && c.Remote():
		all = append(all, field.Required(path.Child("digest"),
			"pin the archive: sha256:<hex>; `helm pull` the version and run sha256sum on it"))
	}
	return all
}

// Remote says whether the chart is fetched over a network.
func (c Chart) Remote() bool {
	return strings.HasPrefix(c.Repository, "https://") || strings.HasPrefix(c.Repository, "http://") ||
		strings.HasPrefix(c.Repository, "oci://")
}

// secretKeys are the chart's values that carry a secret in clear text, and the one
// that the job sets.
func secretKeys() []string {
	return []string{"clientID", "clientSecret", "cookieSecret", "existingSecret"}
}

// ownedSecret says whether a value is refused for another reason as well.
func ownedSecret(at string) bool {
	section, key, _ := strings.Cut(at, ".")
	return section == "config" && slices.Contains(secretKeys(), key) || section == "extraArgs" && slices.Contains(ownedFlags(), key)
}

// ownedFlags are the proxy's flags that the job sets from the Secret or whose
// value decides whether the installation is safe.
func ownedFlags() []string {
	return []string{"client-id", "client-secret", "cookie-secret", "oidc-issuer-url", "upstream", "cookie-secure"}
}

// validateExtraValues refuses what would put a secret into Helm's values, which
// are stored in the release, or would undo what makes the installation safe.
func validateExtraValues(values map[string]any, path *field.Path) field.ErrorList {
	var all field.ErrorList
	for _, key := range []string{"config", "extraArgs"} {
		value, given := values[key]
		if _, ok := value.(map[string]any); given && !ok {
			// It would be taken in place of the job's own and not merged with it.
			// Its value is not repeated: it may hold a secret.
			all = append(all, field.Invalid(path.Child(key), "…", "must be a map: anything else takes away what the job sets there"))
		}
	}
	if section, ok := values["config"].(map[string]any); ok {
		for _, key := range secretKeys() {
			if _, ok := section[key]; ok {
				all = append(all, field.Forbidden(path.Child("config", key),
					"credentials come from the Secret only: Helm stores its values in the cluster"))
			}
		}
	}
	for _, at := range oauth2proxy.SecretsIn(values) {
		if !ownedSecret(at) {
			all = append(all, field.Forbidden(path.Child(at),
				"this is a credential, and Helm stores its values in the cluster; put it into a Secret and name that: by extraEnv with valueFrom, or by a setting that takes the name of a Secret or a file"))
		}
	}
	if args, ok := values["extraArgs"].(map[string]any); ok {
		for _, key := range ownedFlags() {
			if _, ok := args[key]; ok {
				all = append(all, field.Forbidden(path.Child("extraArgs").Key(key), "the job sets this flag itself"))
			}
		}
	}
	return all
}

func validateAuthorizer(a Authorizer, path *field.Path) field.ErrorList {
	all := label(a.Name, path.Child("name"))
	if d := a.Timeout.Duration; d < time.Second || d%time.Second != 0 {
		all = append(all, field.Invalid(path.Child("timeout"), d.String(),
			"must be whole seconds and at least 1s: Kyma's Istio module cuts off the rest"))
	}
	return all
}

func validateTimeouts(t Timeouts, path *field.Path) field.ErrorList {
	var all field.ErrorList
	for _, each := range []struct {
		name string
		d    time.Duration
	}{{"total", t.Total.Duration}, {"step", t.Step.Duration}, {"request", t.Request.Duration}, {"lock", t.Lock.Duration}} {
		if each.d <= 0 {
			all = append(all, field.Invalid(path.Child(each.name), each.d.String(), "must be more than zero"))
		}
	}
	if t.Lock.Duration%time.Second != 0 {
		all = append(all, field.Invalid(path.Child("lock"), t.Lock.Duration.String(), "must be whole seconds, as a Lease has nothing finer"))
	}
	if t.Step.Duration > t.Total.Duration {
		all = append(all, field.Invalid(path.Child("step"), t.Step.Duration.String(),
			fmt.Sprintf("must not be longer than total (%s)", t.Total.Duration)))
	}
	return all
}

func label(value string, path *field.Path) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	var all field.ErrorList
	for _, msg := range validation.IsDNS1123Label(value) {
		all = append(all, field.Invalid(path, value, msg))
	}
	return all
}

func subdomain(value string, path *field.Path) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	var all field.ErrorList
	for _, msg := range validation.IsDNS1123Subdomain(value) {
		all = append(all, field.Invalid(path, value, msg))
	}
	return all
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && addr.IsLoopback())
}
