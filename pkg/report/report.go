// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report says which exposed hosts are protected, and how, for people who
// answer for that: as a table, JSON, CSV, Markdown, or one HTML page.
//
// It renders what it is given. Whether something is a finding is decided in the
// policy.
package report

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Protection is how much of a host is protected.
type Protection string

// The protections, from good to bad.
const (
	// Protected: every rule has an authorizer or a JWT check.
	Protected Protection = "protected"
	// Partly: some rules have.
	Partly Protection = "partly"
	// Open: none has.
	Open Protection = "open"
	// Unguarded: exposed by something that is no APIRule, so that nothing here
	// can tell.
	Unguarded Protection = "unguarded"
)

// Report is what is exposed at one moment. Its JSON form is API.
type Report struct {
	// Generated is when, and Source what was looked at.
	Generated  time.Time   `json:"generated"`
	Source     string      `json:"source"`
	Summary    Summary     `json:"summary"`
	Teams      []Team      `json:"teams"`
	Hosts      []Host      `json:"hosts"`
	Exemptions []Exemption `json:"exemptions"`
}

// Summary counts.
type Summary struct {
	Hosts     int `json:"hosts"`
	Protected int `json:"protected"`
	Partly    int `json:"partly"`
	Open      int `json:"open"`
	Unguarded int `json:"unguarded"`
	Deny      int `json:"deny"`
	Warn      int `json:"warn"`
}

// Team counts what is in one namespace, which is what a team owns.
type Team struct {
	Namespace string `json:"namespace"`
	Summary
}

// Host is one object that exposes a host.
type Host struct {
	Host       string     `json:"host"`
	Kind       string     `json:"kind"`
	Namespace  string     `json:"namespace"`
	Name       string     `json:"name"`
	Gateway    string     `json:"gateway"`
	Protection Protection `json:"protection"`
	Rules      []Rule     `json:"rules"`
	Findings   []Finding  `json:"findings"`
}

// Rule is one rule of an APIRule.
type Rule struct {
	Path      string   `json:"path"`
	Methods   []string `json:"methods"`
	Service   string   `json:"service"`
	Protected bool     `json:"protected"`
	// Strategy is extAuth, jwt, noAuth, "none" or "malformed".
	Strategy    string   `json:"strategy"`
	Authorizers []string `json:"authorizers,omitempty"`
	// InjectedFrom is what asked for the authorizers, if they were injected.
	InjectedFrom string `json:"injectedFrom,omitempty"`
}

// Finding is one of the policy.
type Finding struct {
	Code     string `json:"code"`
	Severity string `json:"severity"`
	Path     string `json:"path"`
	Message  string `json:"message"`
}

// Exemption is one of an ExtAuthPolicy.
type Exemption struct {
	Policy    string   `json:"policy"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Paths     []string `json:"paths,omitempty"`
	Reason    string   `json:"reason"`
	Owner     string   `json:"owner"`
	// Expires is a date, or "" for none.
	Expires string `json:"expires,omitempty"`
	Expired bool   `json:"expired"`
}

// APIRule returns the host of an APIRule with what is wrong with it.
func APIRule(view apirule.View, findings []policy.Finding) Host {
	host := Host{
		Host: view.Host(), Kind: apirule.Kind, Namespace: view.Namespace, Name: view.Name, Gateway: view.Gateway,
		Rules: make([]Rule, 0, len(view.Rules)), Findings: []Finding{},
	}
	from := map[int]string{}
	for _, record := range annotation.ParseProvenance(view.Annotations[annotation.Injected]) {
		from[record.Rule] = record.From
	}
	for _, rule := range view.Rules {
		one := Rule{
			Path: rule.Path, Methods: rule.Methods, Protected: rule.Protected(),
			Strategy: string(rule.Strategy), Authorizers: rule.Authorizers, InjectedFrom: from[rule.Index],
		}
		if one.Methods == nil {
			one.Methods = []string{}
		}
		if rule.Strategy == apirule.Open {
			one.Strategy = "none"
		}
		if rule.Service.Name != "" {
			one.Service = rule.Service.String()
		}
		host.Rules = append(host.Rules, one)
	}
	for _, finding := range findings {
		if finding.Code == policy.RegistryUnknown {
			continue
		}
		message := strings.TrimSuffix(finding.Err.ErrorBody(), " ["+string(finding.Code)+"]")
		host.Findings = append(host.Findings, Finding{string(finding.Code), string(finding.Severity), finding.Err.Field, message})
	}
	host.Protection = protection(host.Rules)
	return host
}

// VirtualService returns hosts that a raw VirtualService exposes; nobody here
// knows whether something protects them.
func VirtualService(namespace, name, gateway string, hosts []string) []Host {
	all := make([]Host, 0, len(hosts))
	for _, host := range hosts {
		all = append(all, Host{
			Host: host, Kind: "VirtualService", Namespace: namespace, Name: name, Gateway: gateway,
			Protection: Unguarded, Rules: []Rule{}, Findings: []Finding{},
		})
	}
	return all
}

func protection(rules []Rule) Protection {
	protected := 0
	for _, rule := range rules {
		if rule.Protected {
			protected++
		}
	}
	switch {
	case protected == 0:
		return Open
	case protected < len(rules):
		return Partly
	}
	return Protected
}

// New returns a report of hosts, in the order of host, namespace and name.
func New(generated time.Time, source string, hosts []Host, exemptions []Exemption) Report {
	report := Report{
		Generated: generated.UTC(), Source: source,
		Hosts: slices.Clone(hosts), Exemptions: slices.Clone(exemptions),
	}
	if report.Hosts == nil {
		report.Hosts = []Host{}
	}
	if report.Exemptions == nil {
		report.Exemptions = []Exemption{}
	}
	slices.SortStableFunc(report.Hosts, func(a, b Host) int {
		return strings.Compare(a.Host+"\x00"+a.Namespace+"\x00"+a.Name, b.Host+"\x00"+b.Namespace+"\x00"+b.Name)
	})
	teams := map[string]*Team{}
	for _, host := range report.Hosts {
		report.Summary.add(host)
		if teams[host.Namespace] == nil {
			teams[host.Namespace] = &Team{Namespace: host.Namespace}
		}
		teams[host.Namespace].add(host)
	}
	report.Teams = make([]Team, 0, len(teams))
	for _, namespace := range slices.Sorted(maps.Keys(teams)) {
		report.Teams = append(report.Teams, *teams[namespace])
	}
	return report
}

func (s *Summary) add(host Host) {
	s.Hosts++
	switch host.Protection {
	case Protected:
		s.Protected++
	case Partly:
		s.Partly++
	case Open:
		s.Open++
	case Unguarded:
		s.Unguarded++
	}
	for _, finding := range host.Findings {
		if finding.Severity == string(policy.Deny) {
			s.Deny++
		} else {
			s.Warn++
		}
	}
}
