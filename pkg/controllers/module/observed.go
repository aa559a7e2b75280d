// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package module

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/selfcheck"
)

// Observed is what was seen of an installation at one time: plain values.
type Observed struct {
	Now time.Time
	// Since is when this replica began to look.
	Since time.Time
	// Hooks is nil as long as the webhook configurations were not read.
	Hooks *Hooks
	// Ready has the Services that the webhooks name, and whether an endpoint is ready.
	Ready map[types.NamespacedName]bool
	// Chain is what this replica serves, the certificate itself first; nil if nothing.
	Chain []*x509.Certificate
	// Registry and Settings are what admission decides by.
	Registry policy.Registry
	Settings policy.Settings
	// Istios is how many Istio CRs there are.
	Istios int
	// Backends has what is known about the Services of authorizers.
	Backends map[string]policy.Backend
	// Coverage is nil while the audit has not looked, or if it is off.
	Coverage *Coverage
}

// Hooks are the two webhook configurations of one name; nil is one that is not there.
type Hooks struct {
	Name       string
	Mutating   *admissionregistrationv1.MutatingWebhookConfiguration
	Validating *admissionregistrationv1.ValidatingWebhookConfiguration
}

// Coverage counts APIRules, each once, by the first that is true of it.
type Coverage struct {
	APIRules int
	// Violating a policy; NotEnforced: protected by declaration only; Open: against what
	// was asked for; Blocked: every request gets 403.
	Violating, NotEnforced, Open, Blocked int
}

// callee is what the API server calls for one webhook.
type callee struct {
	name   string
	client admissionregistrationv1.WebhookClientConfig
}

// callees returns what the webhooks call, in their order.
func (h Hooks) callees() []callee {
	var all []callee
	if h.Mutating != nil {
		for _, one := range h.Mutating.Webhooks {
			all = append(all, callee{one.Name, one.ClientConfig})
		}
	}
	if h.Validating != nil {
		for _, one := range h.Validating.Webhooks {
			all = append(all, callee{one.Name, one.ClientConfig})
		}
	}
	return all
}

// Services returns the Services that the webhooks name, each once, in their order.
func (h Hooks) Services() []types.NamespacedName {
	var all []types.NamespacedName
	for _, one := range h.callees() {
		if one.client.Service == nil {
			continue
		}
		name := types.NamespacedName{Namespace: one.client.Service.Namespace, Name: one.client.Service.Name}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// found is what one condition says.
type found struct {
	status          metav1.ConditionStatus
	reason, message string
}

func good(reason, format string, args ...any) found {
	return found{metav1.ConditionTrue, reason, fmt.Sprintf(format, args...)}
}

func bad(reason, format string, args ...any) found {
	return found{metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)}
}

func unknown(reason, message string) found {
	return found{metav1.ConditionUnknown, reason, message}
}

// admission says whether the API server can call the webhooks.
func (o Observed) admission() found {
	if o.Hooks == nil {
		return unknown(ReasonNotRead, "the webhook configurations were not read yet")
	}
	if gone := selfcheck.Gone(o.Hooks.Name, o.Hooks.Mutating != nil, o.Hooks.Validating != nil); gone != "" {
		return bad(ReasonNotRegistered, "%s; apply the manifest of the module again", gone)
	}
	for _, one := range o.Hooks.callees() {
		if len(one.client.CABundle) == 0 {
			return bad(ReasonNoBundle, "%s; a replica writes it when it has started", selfcheck.Untrusted(one.name))
		}
	}
	for _, service := range o.Hooks.Services() {
		if !o.Ready[service] {
			return bad(ReasonNoEndpoint, "the Service %s, which the API server calls, has no ready endpoint; look at the Pods in the namespace %s", service, service.Namespace)
		}
	}
	return good("Reachable", "the API server asks the webhooks")
}

// soon is how long before its end a certificate is one to look at. It is renewed much
// earlier.
const soon = 24 * time.Hour

// certificate says whether the API server accepts what is served.
func (o Observed) certificate() found {
	if len(o.Chain) == 0 {
		return unknown(ReasonNoCertificate, "there is no certificate yet")
	}
	end := o.Chain[0].NotAfter
	const renew = "delete the content of the Secret with it, or look at cert-manager"
	switch left := end.Sub(o.Now); {
	case left <= 0:
		return bad(ReasonExpired, "the serving certificate expired on %s; %s", end.UTC().Format(time.RFC3339), renew)
	case left < soon:
		return bad(ReasonExpiresSoon, "the serving certificate expires on %s and was not renewed; %s", end.UTC().Format(time.RFC3339), renew)
	}
	if o.Hooks != nil {
		for _, one := range o.Hooks.callees() {
			if err := o.trusted(one.client.CABundle); err != nil {
				return bad(ReasonNotTrusted, "the API server does not accept the serving certificate for the webhook %s: %v; restart the replicas, or look at cert-manager", one.name, err)
			}
		}
	}
	return good("Valid", "the serving certificate is valid until %s", end.UTC().Format(time.RFC3339))
}

func (o Observed) trusted(bundle []byte) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	for _, one := range o.Chain[1:] {
		between.AddCert(one)
	}
	_, err := o.Chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: o.Now})
	return err
}

// registry says whether the authorizers are known for certain. The module of Istio is
// in the state Warning for ordinary reasons, and for long.
func (o Observed) registry() found {
	switch {
	case !o.Registry.Known:
		return bad(ReasonNoIstioCR, "%s; enable Kyma's Istio module", o.Registry.Reason)
	case o.Registry.State == "Error":
		return bad(ReasonIstioTroubled, "%s is in the state Error: %s", o.Registry.Origin, shorten(o.Registry.Description))
	case o.Istios > 1:
		return bad(ReasonSeveralIstioCRs, "there are %d Istio CRs, and only the oldest counts: %s; delete the others", o.Istios, o.Registry.Origin)
	}
	return good("Known", "%s registers %s", o.Registry.Origin, count(len(o.Registry.Names()), "authorizer", "authorizers"))
}

// authorizers says whether what is injected by default can answer.
func (o Observed) authorizers() found {
	if !o.Registry.Known {
		return unknown(ReasonRegistryUnknown, "the registered authorizers are not known")
	}
	names := o.Settings.DefaultAuthorizers
	for _, name := range names {
		if !o.Registry.Has(name) {
			return bad(ReasonAuthorizerNotRegistered, "%s, which is injected by default, is not registered in %s; register it, or name another one in spec.policy.defaultAuthorizers",
				name, o.Registry.Origin)
		}
	}
	for _, name := range names {
		if backend, known := o.Backends[name]; known && backend.Fault() != "" {
			return bad(ReasonAuthorizerNotReady, "%s: %s, so every request that it is asked about gets 403; start it", name, backend.Fault())
		}
		if !o.Registry.Effective(name) {
			return bad(ReasonAuthorizerNotInForce, "the mesh configuration lacks %s, so every request that it is asked about gets 403; look at %s", name, o.Registry.Origin)
		}
	}
	return good("Answering", "%s", strings.Join(names, ", "))
}

// covered says whether what wants protection has it.
func (o Observed) covered() found {
	if o.Coverage == nil {
		return unknown(ReasonNotAudited, "the audit has not looked yet, or is off (controllers.audit.enabled)")
	}
	var parts []string
	for _, one := range []struct {
		count  int
		phrase string
	}{
		{o.Coverage.Violating, "violate a policy"},
		{o.Coverage.NotEnforced, "are protected by declaration only"},
		{o.Coverage.Open, "are open against what was asked for"},
		{o.Coverage.Blocked, "answer every request with 403"},
	} {
		if one.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.count, one.phrase))
		}
	}
	if len(parts) > 0 {
		return bad(ReasonNotCovered, "of %s %s; kubectl extauth report lists them", count(o.Coverage.APIRules, "APIRule", "APIRules"), strings.Join(parts, ", "))
	}
	return good("Covered", "%s, and none lacks what it asks for", count(o.Coverage.APIRules, "APIRule", "APIRules"))
}

func count(number int, one, more string) string {
	if number == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", number, more)
}

// maxQuoted is how much of what others say a condition repeats.
const maxQuoted = 512

func shorten(text string) string {
	if len(text) <= maxQuoted {
		return text
	}
	const more = "…"
	return strings.ToValidUTF8(text[:maxQuoted-len(more)], "") + more
}
