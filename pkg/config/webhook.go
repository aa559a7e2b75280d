// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net"
	"path/filepath"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// WebhookKind is the kind of the webhook server's configuration file.
const WebhookKind = "WebhookConfig"

// WebhookConfig is the configuration of the webhook server and its controllers.
type WebhookConfig struct {
	metav1.TypeMeta `json:",inline"`

	Server         Server         `json:"server"`
	Certificates   Certificates   `json:"certificates"`
	Metrics        Endpoint       `json:"metrics"`
	Probes         Endpoint       `json:"probes"`
	Log            Log            `json:"log"`
	Policy         WebhookPolicy  `json:"policy"`
	LeaderElection LeaderElection `json:"leaderElection"`
	Controllers    Controllers    `json:"controllers"`
	// Module is left out of a configuration that does not need it.
	Module Module `json:"module,omitzero"`
}

// Server says where admission requests are answered.
type Server struct {
	// Host is the address to listen on; "" is every address.
	Host string `json:"host"`
	Port int    `json:"port"`
	// ShutdownDelay is how long requests are still answered after a signal to
	// stop, so that no API server finds a closed port before it has heard that
	// the endpoint is gone.
	ShutdownDelay metav1.Duration `json:"shutdownDelay"`
	// ClientCA is a file with the certificate authorities of which a client, the
	// API server, must have a certificate; an absolute path. "" answers everybody.
	ClientCA string `json:"clientCA"`
	// ClientNames are the common names of the clients that are answered; empty: all
	// that ClientCA signs. Without ClientCA it must be empty.
	ClientNames []string `json:"clientNames"`
}

// CertificateMode says who makes the serving certificate.
type CertificateMode string

// The certificate modes.
const (
	// CertificatesFromFiles reads tls.crt and tls.key, which somebody else
	// writes and renews, for example cert-manager through a mounted Secret.
	CertificatesFromFiles CertificateMode = "files"
	// CertificatesSelf makes a CA and a certificate, keeps both in a Secret, renews
	// them, and writes the CA into the webhook configurations.
	CertificatesSelf CertificateMode = "self"
	// CertificatesLocal makes a CA and a certificate for the loopback addresses
	// at the start and writes ca.crt, tls.crt and tls.key. For local runs.
	CertificatesLocal CertificateMode = "local"
)

// Certificates says where the serving certificate is.
type Certificates struct {
	Mode CertificateMode `json:"mode"`
	// Directory holds tls.crt and tls.key; an absolute path. The mode "self" has
	// no use for it.
	Directory string `json:"directory"`
	// Self is for the mode "self" only.
	Self SelfCertificates `json:"self"`
}

// SelfCertificates says where certificates are kept that this server makes, and
// how long they live.
type SelfCertificates struct {
	// Namespace of the Secret and of the Service.
	Namespace string `json:"namespace"`
	// Secret has to exist; it may be empty.
	Secret string `json:"secret"`
	// Service is the one by which the API server calls the webhooks.
	Service string `json:"service"`
	// Validity is how long a serving certificate is valid; it is renewed
	// RenewBefore its end.
	Validity    metav1.Duration `json:"validity"`
	RenewBefore metav1.Duration `json:"renewBefore"`
	// CAValidity is how long the certificate authority is valid, at least four
	// times Validity.
	CAValidity metav1.Duration `json:"caValidity"`
}

// Endpoint is an HTTP endpoint.
type Endpoint struct {
	// Address is host:port; "0" switches the endpoint off.
	Address string `json:"address"`
}

// Log says what is logged. Logs are JSON lines.
type Log struct {
	// Verbosity is 0 for what changed or needs a person, 1 for why a decision
	// fell, 2 for the flow of things.
	Verbosity int `json:"verbosity"`
}

// Enforcement says what follows from a finding where there is a choice.
type Enforcement string

// The enforcements.
const (
	Deny Enforcement = "Deny"
	Warn Enforcement = "Warn"
)

// WebhookPolicy holds the choices of the platform team that hold for all objects.
type WebhookPolicy struct {
	// DefaultAuthorizers are injected where nobody names any.
	DefaultAuthorizers []string `json:"defaultAuthorizers"`
	// ExcludedNamespaces are left alone, besides those of the system.
	ExcludedNamespaces []string `json:"excludedNamespaces"`
	// UnknownRegistry says what happens to an APIRule with authorizers while the
	// Istio CR cannot be read: Deny (503, try again) or Warn.
	UnknownRegistry Enforcement `json:"unknownRegistry"`
	// SeveralAuthorizers says what happens to an APIRule that would give a
	// workload a second authorizer: Deny, or Warn where istiod runs with
	// PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS.
	SeveralAuthorizers Enforcement `json:"severalAuthorizers"`
	// Names says which objects of others answers and events name.
	Names Names `json:"names"`
}

// Names says which objects of others somebody is told about by name.
type Names string

// The choices of names.
const (
	// NamesOwnNamespace: those of one's own namespace.
	NamesOwnNamespace Names = "OwnNamespace"
	// NamesFull: all.
	NamesFull Names = "Full"
)

// DefaultWebhook returns the configuration of an empty file.
func DefaultWebhook() WebhookConfig {
	return WebhookConfig{
		TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: WebhookKind},
		Server:   Server{Port: 9443, ShutdownDelay: metav1.Duration{Duration: 10 * time.Second}},
		Certificates: Certificates{Mode: CertificatesFromFiles, Directory: "/etc/extauth-guard/tls", Self: SelfCertificates{
			Validity:    metav1.Duration{Duration: 90 * 24 * time.Hour},
			RenewBefore: metav1.Duration{Duration: 30 * 24 * time.Hour},
			CAValidity:  metav1.Duration{Duration: 10 * 365 * 24 * time.Hour},
		}},
		Metrics: Endpoint{Address: ":8080"},
		Probes:  Endpoint{Address: ":8081"},
		Policy: WebhookPolicy{
			DefaultAuthorizers: []string{"oauth2-proxy"},
			UnknownRegistry:    Deny,
			SeveralAuthorizers: Deny,
			Names:              NamesOwnNamespace,
		},
		LeaderElection: defaultLeaderElection(),
		Controllers:    defaultControllers(),
	}
}

// LoadWebhook reads a configuration file over the defaults and validates it.
func LoadWebhook(raw []byte) (WebhookConfig, error) {
	webhook := DefaultWebhook()
	if err := Load(raw, WebhookKind, &webhook); err != nil {
		return WebhookConfig{}, err
	}
	if errs := ValidateWebhook(webhook); len(errs) > 0 {
		return WebhookConfig{}, errs.ToAggregate()
	}
	return webhook, nil
}

// ValidateWebhook returns everything that is wrong with a configuration.
func ValidateWebhook(webhook WebhookConfig) field.ErrorList {
	var errs field.ErrorList
	server, certificates := field.NewPath("server"), field.NewPath("certificates")
	for _, problem := range validation.IsValidPortNum(webhook.Server.Port) {
		errs = append(errs, field.Invalid(server.Child("port"), webhook.Server.Port, problem))
	}
	if delay := webhook.Server.ShutdownDelay.Duration; delay < 0 || delay > 5*time.Minute {
		errs = append(errs, field.Invalid(server.Child("shutdownDelay"), delay.String(), "must be between 0s and 5m"))
	}
	if ca := webhook.Server.ClientCA; ca != "" && !filepath.IsAbs(ca) {
		errs = append(errs, field.Invalid(server.Child("clientCA"), ca, "must be an absolute path"))
	}
	if len(webhook.Server.ClientNames) > 0 && webhook.Server.ClientCA == "" {
		errs = append(errs, field.Required(server.Child("clientCA"), "names of clients mean nothing without the authorities that vouch for them"))
	}
	errs = append(errs, validateCertificates(certificates, webhook.Certificates)...)
	errs = append(errs, validateEndpoint(field.NewPath("metrics"), webhook.Metrics)...)
	errs = append(errs, validateEndpoint(field.NewPath("probes"), webhook.Probes)...)
	if verbosity := webhook.Log.Verbosity; verbosity < 0 || verbosity > 2 {
		errs = append(errs, field.Invalid(field.NewPath("log", "verbosity"), verbosity, "must be 0, 1 or 2"))
	}
	errs = append(errs, ValidatePolicy(field.NewPath("policy"), webhook.Policy)...)
	errs = append(errs, validateLeaderElection(field.NewPath("leaderElection"), webhook.LeaderElection)...)
	errs = append(errs, validateModule(field.NewPath("module"), webhook.Module)...)
	return append(errs, validateControllers(field.NewPath("controllers"), webhook.Controllers)...)
}

func validateEndpoint(path *field.Path, endpoint Endpoint) field.ErrorList {
	if endpoint.Address == "0" {
		return nil
	}
	const hint = `must be host:port, for example ":8080", or "0" to switch it off`
	_, port, err := net.SplitHostPort(endpoint.Address)
	if err != nil {
		return field.ErrorList{field.Invalid(path.Child("address"), endpoint.Address, hint)}
	}
	if number, err := strconv.Atoi(port); err != nil || number < 0 || number > 65535 {
		return field.ErrorList{field.Invalid(path.Child("address"), endpoint.Address, hint)}
	}
	return nil
}

// ValidatePolicy returns everything that is wrong with a policy that is found at path.
func ValidatePolicy(path *field.Path, policy WebhookPolicy) field.ErrorList {
	var errs field.ErrorList
	if len(policy.DefaultAuthorizers) == 0 {
		errs = append(errs, field.Required(path.Child("defaultAuthorizers"), "name at least one authorizer"))
	}
	errs = append(errs, validateLabels(path.Child("defaultAuthorizers"), policy.DefaultAuthorizers)...)
	errs = append(errs, validateLabels(path.Child("excludedNamespaces"), policy.ExcludedNamespaces)...)
	errs = append(errs, validateEnforcement(path.Child("unknownRegistry"), policy.UnknownRegistry)...)
	errs = append(errs, validateEnforcement(path.Child("severalAuthorizers"), policy.SeveralAuthorizers)...)
	if policy.Names != NamesOwnNamespace && policy.Names != NamesFull {
		errs = append(errs, field.NotSupported(path.Child("names"), policy.Names, []Names{NamesOwnNamespace, NamesFull}))
	}
	return errs
}

func validateLabels(path *field.Path, names []string) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, name := range names {
		for _, problem := range validation.IsDNS1123Label(name) {
			errs = append(errs, field.Invalid(path.Index(i), name, problem))
		}
		if seen[name] {
			errs = append(errs, field.Duplicate(path.Index(i), name))
		}
		seen[name] = true
	}
	return errs
}

func validateEnforcement(path *field.Path, enforcement Enforcement) field.ErrorList {
	if enforcement == Deny || enforcement == Warn {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, enforcement, []Enforcement{Deny, Warn})}
}
