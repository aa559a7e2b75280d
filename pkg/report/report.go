// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report says which exposed hosts are protected, and how, for people who
// answer for that: as a table, JSON, CSV, Markdown, or one HTML page.
//
// It renders what it is given. Whether something is a finding is decided in the
// policy.
package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
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
	// Changes are those since an earlier report; nil if there is none to compare with.
	Changes []Change `json:"changes,omitempty"`
}

// Summary counts hosts by verdict, each host once and by the worst that exposes it, and
// findings by severity.
type Summary struct {
	Hosts       int `json:"hosts"`
	NotEnforced int `json:"notEnforced"`
	Open        int `json:"open"`
	Unknown     int `json:"unknown"`
	Blocked     int `json:"blocked"`
	Protected   int `json:"protected"`
	Deny        int `json:"deny"`
	Warn        int `json:"warn"`
}

// Team counts what is in one namespace, which is what a team owns.
type Team struct {
	Namespace string `json:"namespace"`
	Summary
}

// Host is one object that exposes a host.
type Host struct {
	Host      string `json:"host"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Gateway   string `json:"gateway"`
	// Verdict is the worst of the rules; Why says what makes it so, and Fix what to do.
	Verdict policy.Verdict `json:"verdict"`
	Why     string         `json:"why,omitempty"`
	Fix     string         `json:"fix,omitempty"`
	// Excluded is true if the configuration excludes the namespace: nothing is injected
	// or denied there.
	Excluded bool      `json:"excluded,omitempty"`
	Rules    []Rule    `json:"rules"`
	Findings []Finding `json:"findings"`
}

// Rule is one rule of an APIRule.
type Rule struct {
	Path    string         `json:"path"`
	Methods []string       `json:"methods"`
	Service string         `json:"service"`
	Verdict policy.Verdict `json:"verdict"`
	Why     string         `json:"why,omitempty"`
	// Strategy is extAuth, jwt, noAuth, "none" or "malformed".
	Strategy    string   `json:"strategy"`
	Authorizers []string `json:"authorizers,omitempty"`
	// InjectedFrom is what asked for the authorizers, if they were injected.
	InjectedFrom string `json:"injectedFrom,omitempty"`
	// Callers says who may call inside the mesh, where somebody was asked for.
	Callers string `json:"callers,omitempty"`
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

// APIRule returns what an APIRule exposes: one entry for each of its hosts. A short host
// is made whole with the domain of its Gateway; "" if that is not known.
func APIRule(view apirule.View, domain string, judged policy.Judgement) []Host {
	one := Host{
		Kind: apirule.Kind, Namespace: view.Namespace, Name: view.Name, Gateway: view.Gateway,
		Verdict: judged.Verdict.Verdict, Why: judged.Verdict.Why, Fix: judged.Verdict.Fix(),
		Rules: rulesOf(view, judged.Rules), Findings: []Finding{},
	}
	for _, finding := range judged.Findings {
		if finding.Code == policy.RegistryUnknown || finding.OfChange() {
			continue // the verdict says the one
		}
		message := strings.TrimSuffix(finding.Err.ErrorBody(), " ["+string(finding.Code)+"]")
		one.Findings = append(one.Findings, Finding{string(finding.Code), string(finding.Severity), finding.Err.Field, message})
	}
	hosts := make([]Host, 0, len(view.Hosts))
	for _, host := range view.Hosts {
		one.Host = policy.FullHost(host, domain)
		hosts = append(hosts, one)
	}
	if len(hosts) == 0 {
		return []Host{one}
	}
	return hosts
}

func rulesOf(view apirule.View, verdicts []policy.RuleVerdict) []Rule {
	from := map[int]string{}
	for _, record := range annotation.ParseProvenance(view.Annotations[annotation.Injected]) {
		from[record.Rule] = record.From
	}
	rules := make([]Rule, 0, len(view.Rules))
	for i, rule := range view.Rules {
		one := Rule{
			Path: rule.Path, Methods: rule.Methods, Verdict: verdicts[i].Verdict, Why: verdicts[i].Why,
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
		rules = append(rules, one)
	}
	return rules
}

// VirtualService returns hosts that a raw VirtualService exposes; nobody here
// knows whether something protects them.
func VirtualService(namespace, name, gateway string, hosts []string) []Host {
	all := make([]Host, 0, len(hosts))
	for _, host := range hosts {
		all = append(all, Host{
			Host: host, Kind: "VirtualService", Namespace: namespace, Name: name, Gateway: gateway,
			Verdict: policy.Unknown, Why: "no APIRule says what protects it",
			Fix:   "Expose it by an APIRule, or look at the AuthorizationPolicies of its workload.",
			Rules: []Rule{}, Findings: []Finding{},
		})
	}
	return all
}

// New returns a report of hosts, the worst first, and then in the order of host,
// namespace and name.
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
		return cmp.Or(a.Verdict.Compare(b.Verdict), strings.Compare(a.key(), b.key()))
	})
	teams, seen := map[string]*Team{}, map[string]bool{}
	once := func(key string) bool {
		first := !seen[key]
		seen[key] = true
		return first
	}
	for _, host := range report.Hosts {
		// The worst comes first, and a host is as good as the worst of its rules.
		name := cmp.Or(host.Host, host.key())
		report.Summary.add(host, once(name))
		if teams[host.Namespace] == nil {
			teams[host.Namespace] = &Team{Namespace: host.Namespace}
		}
		teams[host.Namespace].add(host, once(host.Namespace+"\x00\x00"+name))
	}
	report.Teams = make([]Team, 0, len(teams))
	for _, namespace := range slices.Sorted(maps.Keys(teams)) {
		report.Teams = append(report.Teams, *teams[namespace])
	}
	return report
}

// key orders hosts, and tells them apart.
func (h Host) key() string {
	return strings.Join([]string{h.Host, h.Namespace, h.Name, h.Kind}, "\x00")
}

// add counts an object, and its host if that is new.
func (s *Summary) add(host Host, isNew bool) {
	for _, finding := range host.Findings {
		if finding.Severity == string(policy.Deny) {
			s.Deny++
		} else {
			s.Warn++
		}
	}
	if !isNew {
		return
	}
	s.Hosts++
	switch host.Verdict {
	case policy.NotEnforced:
		s.NotEnforced++
	case policy.Open:
		s.Open++
	case policy.Unknown:
		s.Unknown++
	case policy.Blocked:
		s.Blocked++
	case policy.Protected:
		s.Protected++
	}
}
