// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Audit measures what the audit found. Only the replica that leads has values.
// Its labels are the one exception to the rule of this package: they name
// namespaces and ExtAuthPolicies, of which a cluster has few. A nil *Audit
// measures nothing.
type Audit struct {
	hosts       *prometheus.GaugeVec
	findings    *prometheus.GaugeVec
	exemptions  *prometheus.GaugeVec
	daysLeft    *prometheus.GaugeVec
	evaluations prometheus.Counter
	seconds     prometheus.Counter
}

// NewAudit returns the metrics of the audit, registered at registerer. What is
// registered there already is shared.
func NewAudit(registerer prometheus.Registerer) (*Audit, error) {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	}
	a := &Audit{
		hosts:       gauge("exposed_hosts", "Exposed hosts, by namespace, kind (APIRule or VirtualService) and verdict (NotEnforced, Open, Unknown, Blocked or Protected).", "namespace", "kind", "verdict"),
		findings:    gauge("audit_findings", "Findings on stored APIRules, by code and namespace.", "code", "namespace"),
		exemptions:  gauge("exemptions", "Exemptions of ExtAuthPolicies, by policy and state (active or expired).", "policy", "state"),
		daysLeft:    gauge("exemption_days_left", "Days until the next active exemption of an ExtAuthPolicy ends.", "policy"),
		evaluations: counter("audit_evaluations_total", "APIRules that the audit looked at."),
		seconds:     counter("audit_seconds_total", "Time that the audit took for that, in seconds."),
	}
	return a, errors.Join(share(registerer, &a.hosts), share(registerer, &a.findings), share(registerer, &a.exemptions),
		share(registerer, &a.daysLeft), share(registerer, &a.evaluations), share(registerer, &a.seconds))
}

// Exemptions are those of one policy.
type Exemptions struct {
	Active, Expired int
	// DaysLeft is that of the one that ends next; it means nothing without an
	// active one.
	DaysLeft float64
}

// CodeIn is a code of a finding in a namespace.
type CodeIn struct {
	Code, Namespace string
}

// HostsIn are the hosts with one verdict that objects of a kind in a namespace expose.
type HostsIn struct {
	Namespace, Kind, Verdict string
}

// Show replaces all values.
func (a *Audit) Show(hosts map[HostsIn]int, findings map[CodeIn]int, exemptions map[string]Exemptions) {
	if a == nil {
		return
	}
	a.Reset()
	for of, count := range hosts {
		a.hosts.WithLabelValues(of.Namespace, of.Kind, of.Verdict).Set(float64(count))
	}
	for of, count := range findings {
		a.findings.WithLabelValues(of.Code, of.Namespace).Set(float64(count))
	}
	for policy, of := range exemptions {
		a.exemptions.WithLabelValues(policy, "active").Set(float64(of.Active))
		a.exemptions.WithLabelValues(policy, "expired").Set(float64(of.Expired))
		if of.Active > 0 {
			a.daysLeft.WithLabelValues(policy).Set(of.DaysLeft)
		}
	}
}

// Reset forgets all values: this replica no longer leads.
func (a *Audit) Reset() {
	if a == nil {
		return
	}
	for _, one := range []*prometheus.GaugeVec{a.hosts, a.findings, a.exemptions, a.daysLeft} {
		one.Reset()
	}
}

// Evaluated counts APIRules that were looked at and the time it took.
func (a *Audit) Evaluated(count int, seconds float64) {
	if a == nil {
		return
	}
	a.evaluations.Add(float64(count))
	a.seconds.Add(seconds)
}
