// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// maxListed is how many violations and unguarded hosts a status lists.
const maxListed = 20

// maxMessage is how long a message in a status may be; a status is read by
// people, and has to fit into etcd.
const maxMessage = 512

// summary is what the verdicts say together.
type summary struct {
	hosts    map[metrics.HostsIn]int
	findings map[metrics.CodeIn]int
	// statuses by policy; Conditions hold the one of the type Ready, without a
	// time of transition.
	statuses map[string]*v1alpha1.ExtAuthPolicyStatus
}

func summarize(ctx context.Context, b *book, now time.Time) summary {
	world := b.world
	s := summary{hosts: map[metrics.HostsIn]int{}, findings: map[metrics.CodeIn]int{}, statuses: map[string]*v1alpha1.ExtAuthPolicyStatus{}}
	policies := world.Policies()
	for _, one := range policies {
		s.statuses[one.Name] = &v1alpha1.ExtAuthPolicyStatus{
			ObservedGeneration: one.Generation,
			Conditions:         []metav1.Condition{readiness(one, world.Registry())},
			Guarantee:          guaranteed(one, world),
		}
	}
	gateways := map[string]bool{}
	b.all(func(name types.NamespacedName, one *judged) {
		s.add(name, one, func() []policy.Assessment { return b.judge(ctx, now, name).Assessments })
		gateways[one.gateway] = true
	})
	s.addUnguarded(world, policies, gateways)
	return s
}

// maxGuaranteed is how many Services and Gateways a status lists.
const maxGuaranteed = 1000

// guaranteed says what the API server's policies have to know for a policy; nil if that
// is nothing.
func guaranteed(one policy.ClusterPolicy, world *facts.World) *v1alpha1.Guarantee {
	var all v1alpha1.Guarantee
	for service, port := range guarantee.Frontends(world.Registry()) {
		all.Frontends = append(all.Frontends, fmt.Sprintf("%s:%d", service, port))
	}
	slices.Sort(all.Frontends)
	all.Frontends = all.Frontends[:min(len(all.Frontends), maxGuaranteed)]
	if domains := world.GatewayDomains(); one.SelectsHosts() && len(domains) <= maxGuaranteed {
		all.Domains = domains
	}
	if len(all.Frontends)+len(all.Domains) == 0 {
		return nil
	}
	return &all
}

// readiness says whether a policy is in effect as it stands.
func readiness(one policy.ClusterPolicy, authorizers policy.Registry) metav1.Condition {
	ready := metav1.Condition{Type: "Ready", Status: metav1.ConditionTrue, Reason: "InEffect", Message: "the policy is in effect", ObservedGeneration: one.Generation}
	if one.AnyIssuer() {
		ready.Message += "; it counts a jwt of any issuer as protection: name the issuers in spec.require.jwt.issuers"
	}
	reason, why := one.NotReady(authorizers)
	switch {
	case reason != "":
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, reason, why
	case !authorizers.Known:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionUnknown, "RegistryUnknown", "the registered authorizers are not known: "+authorizers.Reason
	}
	return ready
}

func (s summary) add(name types.NamespacedName, known *judged, again func() []policy.Assessment) {
	s.hosts[metrics.HostsIn{Namespace: name.Namespace, Kind: apirule.Kind, Verdict: string(known.verdict)}] += known.hosts
	for _, code := range known.codes {
		s.findings[metrics.CodeIn{Code: string(code), Namespace: name.Namespace}]++
	}
	for _, one := range known.standings {
		status, current := s.statuses[one.policy]
		if !current { // gone since; its own change is about to be looked at
			continue
		}
		if one.state == policy.Excluded {
			status.Excluded++
			continue
		}
		status.Matched++
		switch known.verdict {
		case policy.NotEnforced:
			status.NotEnforced++
		case policy.Blocked:
			status.Blocked++
		default:
		}
		switch one.state {
		case policy.Compliant:
			status.Compliant++
		case policy.Exempt:
			status.Exempt++
		case policy.Violating:
			status.Violating++
			if len(status.Violations) < maxListed {
				status.Violations = append(status.Violations, violations(one.policy, name, again())...)
				status.Violations = status.Violations[:min(len(status.Violations), maxListed)]
			}
		case policy.Excluded: // counted above
		}
	}
}

// violations lists what an APIRule does against one policy.
func violations(of string, name types.NamespacedName, assessments []policy.Assessment) []v1alpha1.Violation {
	var listed []v1alpha1.Violation
	for _, one := range assessments {
		if one.Policy != of {
			continue
		}
		for _, violation := range one.Violations {
			listed = append(listed, v1alpha1.Violation{
				Namespace: name.Namespace, Name: name.Name, Rule: int32(violation.Rule), //nolint:gosec // an index of a list
				Code: string(violation.Finding.Code), Message: shorten(violation.Finding.Err.Detail, maxMessage),
			})
		}
	}
	return listed
}

// addUnguarded adds the hosts of VirtualServices that no APIRule made, on the
// gateways of Kyma: those in its namespace, and those that APIRules use.
func (s summary) addUnguarded(world *facts.World, policies []policy.ClusterPolicy, gateways map[string]bool) {
	services := world.VirtualServices()
	if len(services) == 0 {
		return
	}
	namespaces := world.Namespaces()
	for _, service := range services {
		for _, gateway := range service.Gateways {
			if !gateways[gateway] && !strings.HasPrefix(gateway, "kyma-system/") {
				continue
			}
			for _, host := range service.Hosts {
				s.addHost(service, host, gateway, policies, namespaces)
			}
		}
	}
}

func (s summary) addHost(service facts.NamedVirtualService, host, gateway string, policies []policy.ClusterPolicy, namespaces map[string]policy.Namespace) {
	s.hosts[metrics.HostsIn{Namespace: service.Namespace, Kind: "VirtualService", Verdict: string(policy.Unknown)}]++
	for _, one := range policies {
		if !one.MatchesHost(service.Namespace, host, gateway, namespaces) {
			continue
		}
		status := s.statuses[one.Name]
		status.Unguarded++
		if len(status.UnguardedHosts) < maxListed {
			status.UnguardedHosts = append(status.UnguardedHosts, v1alpha1.UnguardedHost{
				Namespace: service.Namespace, Name: service.Name, Host: host, Gateway: gateway,
			})
		}
	}
}

// exemptions counts those of the policies at a time.
func exemptions(policies []policy.ClusterPolicy, now time.Time) map[string]metrics.Exemptions {
	all := map[string]metrics.Exemptions{}
	for _, one := range policies {
		var of metrics.Exemptions
		for _, end := range one.ExemptionEnds() {
			if !now.Before(end) {
				of.Expired++
				continue
			}
			left := end.Sub(now).Hours() / 24
			if of.Active == 0 {
				of.DaysLeft = left
			}
			of.Active++
			of.DaysLeft = math.Min(of.DaysLeft, left)
		}
		if of.Active+of.Expired > 0 {
			all[one.Name] = of
		}
	}
	return all
}

// shorten cuts a text at a character.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const more = "…"
	return strings.ToValidUTF8(text[:limit-len(more)], "") + more
}
