// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package alerts has Prometheus evaluate the alerts of the chart, as they are rendered,
// against series by which each fires and by which each nearly does. It is a module of its
// own, because of Prometheus's dependencies.
package alerts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// rules returns the alerts in the golden rendering of the chart, which test/static/chart
// holds against the chart. Prometheus's own parser has accepted them.
func rules(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "chart", "testdata", "everything.golden.yaml"))
	require.NoError(t, err)
	for document := range strings.SplitSeq(string(raw), "\n---\n") {
		var object struct {
			Kind string
			Spec map[string]any
		}
		require.NoError(t, yaml.Unmarshal([]byte(document), &object))
		if object.Kind != "PrometheusRule" {
			continue
		}
		spec, err := yaml.Marshal(object.Spec)
		require.NoError(t, err)
		groups, errs := rulefmt.Parse(spec, false, model.UTF8Validation, parser.NewParser(parser.Options{}))
		require.Empty(t, errs)
		all := map[string]rulefmt.Rule{}
		for _, group := range groups.Groups {
			for _, rule := range group.Rules {
				all[rule.Alert] = rule
			}
		}
		return all
	}
	require.Fail(t, "the golden has no PrometheusRule")
	return nil
}

const (
	// step is how often rules are evaluated, and series scraped.
	step = time.Minute
	// mine are the labels that the ServiceMonitor gives series of the webhook.
	mine = `job="extauth-guard", namespace="extauth-guard"`
)

// scene is what is measured, as series of promtool's tests: "START+STEPxTIMES".
type scene struct {
	series map[string]string
	// at is when to look.
	at    time.Duration
	fires bool
}

func scenes() map[string]map[string]scene {
	hosts := func(verdict string) string {
		return `extauth_guard_exposed_hosts{verdict="` + verdict + `", kind="APIRule", exported_namespace="shop", ` + mine + `}`
	}
	const admissions = `extauth_guard_admission_requests_total{webhook="validate", operation="CREATE", ` + mine
	bucket := func(le string) string {
		return `extauth_guard_admission_duration_seconds_bucket{webhook="validate", le="` + le + `", ` + mine + `}`
	}
	const failedOpen = `apiserver_admission_webhook_fail_open_count{name=`
	one := func(name, values string) map[string]string { return map[string]string{name: values} }
	return map[string]map[string]scene{
		"ExtAuthGuardDown": {
			"both replicas are gone":      {one(`up{pod="a", `+mine+`}`, "1x10 _x30"), 30 * time.Minute, true},
			"both answer no scrape":       {map[string]string{`up{pod="a", ` + mine + `}`: "0x30", `up{pod="b", ` + mine + `}`: "0x30"}, 10 * time.Minute, true},
			"nobody was ever there":       {nil, 10 * time.Minute, true},
			"one of two answers":          {map[string]string{`up{pod="a", ` + mine + `}`: "0x30", `up{pod="b", ` + mine + `}`: "1x30"}, 20 * time.Minute, false},
			"a restart of three minutes":  {one(`up{pod="a", `+mine+`}`, "1x10 0x3 1x10"), 14 * time.Minute, false},
			"another namespace is no use": {one(`up{job="extauth-guard", namespace="other"}`, "1x30"), 10 * time.Minute, true},
		},
		"ExtAuthGuardErrors": {
			"an error every minute":       {one(admissions+`, decision="error"}`, "0+1x30"), 25 * time.Minute, true},
			"one error":                   {one(admissions+`, decision="error"}`, "0x5 1x30"), 20 * time.Minute, false},
			"denials are no errors":       {one(admissions+`, decision="denied"}`, "0+5x30"), 25 * time.Minute, false},
			"an error of another webhook": {one(`extauth_guard_admission_requests_total{decision="error", namespace="other"}`, "0+1x30"), 25 * time.Minute, false},
		},
		"ExtAuthGuardRegistryUnknown": {
			"nobody can read the Istio CR":           {map[string]string{`extauth_guard_registry_known{pod="a", ` + mine + `}`: "0x30", `extauth_guard_registry_known{pod="b", ` + mine + `}`: "0x30"}, 10 * time.Minute, true},
			"also without a request":                 {one(`extauth_guard_registry_known{`+mine+`}`, "0x30"), 10 * time.Minute, true},
			"one of two can":                         {map[string]string{`extauth_guard_registry_known{pod="a", ` + mine + `}`: "0x30", `extauth_guard_registry_known{pod="b", ` + mine + `}`: "1x30"}, 10 * time.Minute, false},
			"it was unknown for the first 4 minutes": {one(`extauth_guard_registry_known{`+mine+`}`, "0x3 1x30"), 10 * time.Minute, false},
		},
		"ExtAuthGuardSlow": {
			"every request takes a second": {map[string]string{bucket("0.5"): "0x30", bucket("1"): "0+60x30", bucket("+Inf"): "0+60x30"}, 25 * time.Minute, true},
			"two of a hundred do":          {map[string]string{bucket("0.5"): "0+98x30", bucket("1"): "0+100x30", bucket("+Inf"): "0+100x30"}, 25 * time.Minute, true},
			"all take milliseconds":        {map[string]string{bucket("0.5"): "0+60x30", bucket("1"): "0+60x30", bucket("+Inf"): "0+60x30"}, 25 * time.Minute, false},
			"nobody asks":                  {map[string]string{bucket("0.5"): "5x30", bucket("1"): "5x30", bucket("+Inf"): "5x30"}, 25 * time.Minute, false},
		},
		"ExtAuthGuardCertificateExpires": {
			// The clock of the scenes begins at 0, so that a timestamp is what is left.
			"it ends in six days":               {one(`extauth_guard_certificate_expiry_timestamp_seconds{`+mine+`}`, "518400x120"), 90 * time.Minute, true},
			"one replica has an old one":        {map[string]string{`extauth_guard_certificate_expiry_timestamp_seconds{pod="a", ` + mine + `}`: "518400x120", `extauth_guard_certificate_expiry_timestamp_seconds{pod="b", ` + mine + `}`: "7776000x120"}, 90 * time.Minute, true},
			"it ends in eight days":             {one(`extauth_guard_certificate_expiry_timestamp_seconds{`+mine+`}`, "691200x120"), 90 * time.Minute, false},
			"it was renewed after half an hour": {one(`extauth_guard_certificate_expiry_timestamp_seconds{`+mine+`}`, "518400x30 7776000x90"), 90 * time.Minute, false},
		},
		"ExtAuthGuardHostsNotEnforced": {
			"one host":               {one(hosts("NotEnforced"), "1x30"), 20 * time.Minute, true},
			"for five minutes":       {one(hosts("NotEnforced"), "0x5 1x5 0x30"), 12 * time.Minute, false},
			"none":                   {one(hosts("NotEnforced"), "0x30"), 20 * time.Minute, false},
			"open hosts are another": {one(hosts("Open"), "3x30"), 20 * time.Minute, false},
		},
		"ExtAuthGuardHostsOpened": {
			"one more than yesterday": {one(hosts("Open"), "2x1440 3x60"), 24*time.Hour + 20*time.Minute, true},
			"the first one ever":      {map[string]string{hosts("Open"): "_x1440 1x60", `extauth_guard_registry_known{` + mine + `}`: "1x1500"}, 24*time.Hour + 20*time.Minute, true},
			"as many as yesterday":    {one(hosts("Open"), "2x1500"), 24*time.Hour + 20*time.Minute, false},
			"one less":                {one(hosts("Open"), "2x1440 1x60"), 24*time.Hour + 20*time.Minute, false},
			"installed an hour ago":   {one(hosts("Open"), "2x60"), time.Hour, false},
		},
		"ExtAuthGuardHostsBlocked": {
			"one host":                   {one(hosts("Blocked"), "1x30"), 20 * time.Minute, true},
			"while an authorizer starts": {one(hosts("Blocked"), "1x10 0x30"), 20 * time.Minute, false},
			"none":                       {one(hosts("Blocked"), "0x30"), 20 * time.Minute, false},
		},
		"ExtAuthGuardExemptionEnds": {
			"in thirteen days": {one(`extauth_guard_exemption_days_left{policy="p", `+mine+`}`, "13x120"), 90 * time.Minute, true},
			"it has ended":     {one(`extauth_guard_exemption_days_left{policy="p", `+mine+`}`, "-1x120"), 90 * time.Minute, true},
			"in fourteen days": {one(`extauth_guard_exemption_days_left{policy="p", `+mine+`}`, "14x120"), 90 * time.Minute, false},
			"never":            {nil, 90 * time.Minute, false},
		},
		"ExtAuthGuardFailedOpen": {
			"the count grows":              {one(failedOpen+`"validate.apirule.extauth-guard.io", type="validating"}`, "0x5 1x30"), 10 * time.Minute, true},
			"the first one ever":           {one(failedOpen+`"validate.apirule.extauth-guard.io", type="validating"}`, "_x5 1x30"), 10 * time.Minute, true},
			"the first one an hour ago":    {one(failedOpen+`"validate.apirule.extauth-guard.io", type="validating"}`, "_x5 1x90"), 80 * time.Minute, false},
			"it grew an hour ago":          {one(failedOpen+`"validate.apirule.extauth-guard.io", type="validating"}`, "0x5 1x90"), 80 * time.Minute, false},
			"a webhook of somebody else":   {one(failedOpen+`"validate.example.com", type="validating"}`, "0+1x30"), 10 * time.Minute, false},
			"another name that ends in it": {one(failedOpen+`"x.extauth-guard.iox", type="validating"}`, "0+1x30"), 10 * time.Minute, false},
		},
	}
}

func TestAlerts(t *testing.T) {
	all := rules(t)
	engine := promqltest.NewTestEngine(t, false, 0, 50_000_000)
	for name, rule := range all {
		fired, quiet := 0, 0
		for situation, one := range scenes()[name] {
			t.Run(name+"/"+situation, func(t *testing.T) {
				got := fires(t, engine, rule, one)
				assert.Equal(t, one.fires, got)
			})
			if one.fires {
				fired++
			} else {
				quiet++
			}
		}
		assert.NotZero(t, fired, "%s needs a scene in which it fires", name)
		assert.NotZero(t, quiet, "%s needs a scene in which it nearly fires", name)
	}
	for name := range scenes() {
		assert.Contains(t, all, name, "there is no such alert")
	}
}

// fires evaluates a rule as Prometheus does: it fires when one and the same series was
// there at each evaluation for as long as the rule says.
func fires(t *testing.T, engine *promql.Engine, rule rulefmt.Rule, one scene) bool {
	t.Helper()
	load := []string{"load 1m"}
	for series, values := range one.series {
		load = append(load, "  "+series+" "+values)
	}
	storage := promqltest.LoadedStorage(t, strings.Join(load, "\n"))
	end := time.Unix(0, 0).Add(one.at)
	wait := time.Duration(rule.For)
	query, err := engine.NewRangeQuery(t.Context(), storage, nil, rule.Expr, end.Add(-wait), end, step)
	require.NoError(t, err)
	defer query.Close()
	result := query.Exec(t.Context())
	require.NoError(t, result.Err)
	matrix, err := result.Matrix()
	require.NoError(t, err)
	for _, series := range matrix {
		if len(series.Floats) == int(wait/step)+1 {
			return true
		}
	}
	return false
}
