// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metrics names everything that this project measures, in one place.
//
// Labels have few values: codes, reasons, operations and kinds. No name of an
// object is a label, except where [Audit] says so.
package metrics

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "extauth_guard"

// Admission measures the webhooks. The zero value is not usable; a nil
// *Admission measures nothing.
type Admission struct {
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	findings   *prometheus.CounterVec
	injections *prometheus.CounterVec
	skips      *prometheus.CounterVec
	removals   prometheus.Counter
}

// NewAdmission returns the metrics of the webhooks, registered at registerer.
// What is registered there already is shared.
func NewAdmission(registerer prometheus.Registerer) (*Admission, error) {
	a := &Admission{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "admission_requests_total",
			Help: "Admission requests answered, by webhook, operation and decision (allowed, denied or error).",
		}, []string{"webhook", "operation", "decision"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "admission_duration_seconds",
			Help:    "Time from the decoded request to the answer, in seconds.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 3},
		}, []string{"webhook", "operation"}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "admission_findings_total",
			Help: "Findings in admission requests, by webhook, code and severity.",
		}, []string{"webhook", "code", "severity"}),
		injections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "injections_total",
			Help: "Rules that got authorizers at admission, by the kind of object that asked for it.",
		}, []string{"source"}),
		skips: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "skips_total",
			Help: "APIRules and rules that were left alone at admission, by reason.",
		}, []string{"reason"}),
		removals: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "authorizer_removals_allowed_total",
			Help: "Authorizers in use that were removed from the Istio CR because its annotation allowed it.",
		}),
	}
	return a, errors.Join(
		share(registerer, &a.requests), share(registerer, &a.duration), share(registerer, &a.findings),
		share(registerer, &a.injections), share(registerer, &a.skips), share(registerer, &a.removals))
}

// AllowedRemoval counts an authorizer in use that was removed on purpose.
func (a *Admission) AllowedRemoval() {
	if a != nil {
		a.removals.Inc()
	}
}

// share registers a collector, or replaces it by its twin that is registered
// already, as in a test with two managers in one process.
func share[C prometheus.Collector](registerer prometheus.Registerer, collector *C) error {
	err := registerer.Register(*collector)
	var twin prometheus.AlreadyRegisteredError
	if !errors.As(err, &twin) {
		return err
	}
	existing, ok := twin.ExistingCollector.(C)
	if !ok {
		return err
	}
	*collector = existing
	return nil
}

// Request counts one answered request.
func (a *Admission) Request(webhook, operation, decision string, took time.Duration) {
	if a == nil {
		return
	}
	a.requests.WithLabelValues(webhook, operation, decision).Inc()
	a.duration.WithLabelValues(webhook, operation).Observe(took.Seconds())
}

// Finding counts one finding.
func (a *Admission) Finding(webhook, code, severity string) {
	if a != nil {
		a.findings.WithLabelValues(webhook, code, severity).Inc()
	}
}

// Injection counts one injected rule. source is the kind that asked.
func (a *Admission) Injection(source string) {
	if a != nil {
		a.injections.WithLabelValues(source).Inc()
	}
}

// Skip counts one APIRule or rule that was left alone.
func (a *Admission) Skip(reason string) {
	if a != nil {
		a.skips.WithLabelValues(reason).Inc()
	}
}
