// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

// entryFault is one thing of an entry of the Istio CR that the CRD lets through and
// the mesh does not take: istiod then denies every request, with nothing but a line
// in its log (Istio pilot, security/authz/builder/extauthz.go and
// config/validation/agent), or Kyma's module does not apply it at all (Kyma istio,
// v1alpha2/istio_merge.go).
type entryFault struct {
	// field is below the entry.
	field, value, problem string
	// severity is what it is for an APIRule that names the entry: [Deny] where every
	// request gets 403, [Warn] where the module applies nothing new, [Report] where it
	// works, but not as it is written.
	severity Severity
}

// builtIn are the names of the extension providers that Kyma's module brings itself
// (Kyma istio, internal/istiooperator/istio-operator.yaml).
func builtIn() []string {
	return []string{"envoy", "kyma-logs", "kyma-traces", "stdout-json"}
}

// entryFaults returns everything that is wrong with an entry.
func entryFaults(entry istio.Authorizer) []entryFault {
	var faults []entryFault
	tell := func(severity Severity, field, value, problem string) {
		if problem != "" {
			faults = append(faults, entryFault{field, value, problem, severity})
		}
	}
	add := func(field, value, problem string) { tell(Deny, field, value, problem) }
	add("name", entry.Name, nameProblem(entry.Name))
	wrong := func(field string) bool { return slices.Contains(entry.Mistyped, field) }
	switch {
	case wrong("port"):
		tell(Warn, "port", "", "must be a whole number: the Istio module cannot read another value, and then applies no Istio CR at all")
	case entry.Port < 1 || entry.Port > 65535:
		add("port", strconv.FormatInt(entry.Port, 10), "must be a port between 1 and 65535")
	}
	for _, field := range []string{"service", "pathPrefix", "timeout"} {
		if wrong(field) {
			tell(Warn, field, "", "must be a text: the Istio module cannot read another value, and then applies no Istio CR at all")
		}
	}
	if !wrong("service") {
		add("service", entry.Service, serviceProblem(entry.Service))
	}
	add("pathPrefix", entry.PathPrefix, prefixProblem(entry.PathPrefix))
	problem, severity := timeoutProblem(entry)
	tell(severity, "timeout", entry.Timeout, problem)
	for _, place := range entry.BareWildcards {
		add(place, "*", `istiod takes no "*" alone; name the headers, or a part of their names as in "x-*"`)
	}
	return faults
}

func nameProblem(name string) string {
	switch {
	case len(validation.IsDNS1123Label(name)) > 0:
		return "istiod takes only names of up to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit"
	case slices.Contains(builtIn(), name):
		return "the name is taken by a provider of Kyma's Istio module, so Kyma refuses every APIRule that names it; choose another name"
	}
	return ""
}

// serviceProblem says why istiod finds nothing behind a service, or "". It looks a
// name up exactly as it is written, among the Services of the cluster, which it
// knows as name.namespace.svc.cluster.local, and the hosts of ServiceEntries.
func serviceProblem(service string) string {
	const example = ", for example oauth2-proxy.oauth2-proxy.svc.cluster.local"
	host := service
	if namespace, rest, found := strings.Cut(service, "/"); found {
		if len(validation.IsDNS1123Label(namespace)) > 0 {
			return "must be the host name of the authorizer's Service, or namespace/host" + example
		}
		host = rest
	}
	switch {
	case service == "":
		return "must be the host name of the authorizer's Service" + example
	case isAddress(host):
		return ""
	case len(validation.IsDNS1123Subdomain(host)) > 0:
		return "must be a host name in lower case, without scheme, port, path, wildcard or dot at the end" + example
	case !strings.Contains(host, "."):
		return "must be a whole host name, as istiod does not know short names here" + example
	}
	return kubernetesProblem(strings.TrimSuffix(service, host), strings.Split(host, "."))
}

// kubernetesProblem says why a host is not that of a Kubernetes Service, although it
// looks like one; prefix is "" or "namespace/".
func kubernetesProblem(prefix string, labels []string) string {
	if len(labels) < 3 || labels[2] != "svc" {
		return ""
	}
	if len(labels) == 3 {
		return fmt.Sprintf("must end in the domain of the cluster, as istiod looks for the whole name: %s.cluster.local", strings.Join(labels, "."))
	}
	if prefix != "" && prefix != labels[1]+"/" {
		return fmt.Sprintf("names the namespace %s, but the Service %s is in %s; istiod then finds none", strings.TrimSuffix(prefix, "/"), labels[0], labels[1])
	}
	return ""
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func prefixProblem(prefix string) string {
	if prefix == "" {
		return ""
	}
	if !strings.HasPrefix(prefix, "/") {
		return `must begin with "/"`
	}
	if _, err := url.Parse(prefix); err != nil {
		return "must be the beginning of a path; istiod cannot read it: " + reasonOf(err)
	}
	return ""
}

// reasonOf leaves out what the error repeats of the value.
func reasonOf(err error) string {
	return regexp.MustCompile(`^parse ".*": `).ReplaceAllString(err.Error(), "")
}

// timeoutProblem says what is wrong with a timeout, or "": Kyma cuts it to whole
// seconds, so that "500ms" becomes none at all.
func timeoutProblem(entry istio.Authorizer) (string, Severity) {
	if entry.Timeout == "" && !entry.EmptyTimeout {
		return "", Report
	}
	duration, err := time.ParseDuration(entry.Timeout)
	switch {
	case err != nil:
		return `must be a duration, for example "5s"; one that cannot be read makes the Istio module fail for all CRs`, Warn
	case duration < time.Second || duration%time.Second != 0:
		return "must be whole seconds, at least 1s: the Istio module cuts off the rest", Report
	}
	return "", Report
}

// checkNamedEntries reports authorizers whose entries the mesh does not take, whoever
// wrote them and whenever.
func checkNamedEntries(s subject) []Finding {
	var found []Finding
	for i, name := range s.rule.Authorizers {
		fault, at := s.facts.Registry.worst(name)
		if fault.problem == "" || fault.severity == Report {
			continue
		}
		sentence := fmt.Sprintf("its entry in %s is not valid: %s: %s", s.facts.Registry.Origin, at, fault.problem)
		brief := fmt.Sprintf("its entry in the Istio CR is not valid: %s", at)
		if fault.severity == Deny {
			sentence += "; every request would get 403"
			brief += "; every request gets 403"
		}
		found = append(found, newFinding(AuthorizerInvalid, fault.severity, s.rule.AuthorizerField(i), name, sentence, brief))
	}
	return found
}

// Refusal says why every request to a rule that names the authorizer gets 403 although
// it is registered: the field of its entry and what is wrong there; "" if nothing is.
func (r Registry) Refusal(name string) string {
	fault, at := r.worst(name)
	if fault.severity != Deny {
		return ""
	}
	return at + ": " + fault.problem
}

// worst returns the first of the worst faults of an entry of the Istio CR, and its
// place; without one there is no problem.
func (r Registry) worst(name string) (entryFault, string) {
	faults, entry := r.faults[name], r.authorizers[name]
	if _, registered := r.authorizers[name]; registered && r.entries && r.otherKind(name) {
		faults = append(slices.Clip(faults), entryFault{"name", name, "the mesh configuration has another kind of provider with this name; choose another name", Deny})
	}
	for _, severity := range []Severity{Deny, Warn, Report} {
		for _, fault := range faults {
			if fault.severity == severity {
				return fault, entry.Field().String() + "." + fault.field
			}
		}
	}
	return entryFault{}, ""
}
