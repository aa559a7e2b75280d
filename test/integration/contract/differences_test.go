// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package contract_test

import (
	"slices"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// engine is who judges.
type engine string

const (
	webhooks    engine = "the webhooks"
	lintLive    engine = "lint --live"
	lintOffline engine = "lint"
	audited     engine = "the audit"
)

// difference says why some do not say what others do.
type difference struct {
	who   []engine
	codes []policy.Code
	// where restricts it to some fixtures; nil is all.
	where func(fixture) bool
	why   string
}

func (d difference) excuses(who engine, code string, f fixture) bool {
	return slices.Contains(d.who, who) && slices.Contains(d.codes, policy.Code(code)) && (d.where == nil || d.where(f))
}

func kindIs(kind string) func(fixture) bool {
	return func(f fixture) bool { return f.last.GetKind() == kind }
}

func differences() []difference {
	return []difference{
		{
			who:   []engine{lintOffline},
			codes: []policy.Code{policy.ServiceNotFound, policy.InternalTrafficBlocked},
			why:   "manifests are never all there is, so nothing is concluded from what is not among them",
		},
		{
			who:   []engine{lintOffline},
			codes: []policy.Code{policy.AuthorizerUnready, policy.AuthorizerNotEffective, policy.AuthorizerVulnerable},
			why:   "only a cluster has endpoints, proxies that run, a mesh configuration and the status of an Istio CR",
		},
		{
			who:   []engine{audited},
			codes: []policy.Code{policy.InternalTrafficBlocked, policy.AuthorizerOpenPaths, policy.AuthorizerUnfit},
			why:   "it is worth saying when it becomes true; the audit looks again and again",
		},
		{
			who:   []engine{lintLive, lintOffline},
			codes: []policy.Code{policy.InjectionMissing},
			where: func(f fixture) bool { return f.given == "no mutating webhook" },
			why:   "lint injects before it checks, as a mutating webhook that runs does",
		},
		{
			who:   []engine{webhooks},
			codes: []policy.Code{policy.AuthorizerNotRegistered, policy.InternalTrafficBlocked},
			where: func(f fixture) bool {
				return f.code == string(policy.InvalidAnnotation) && f.last.GetKind() == "APIRule"
			},
			why: "the mutating webhook refuses annotations that it cannot read, and the API server does not ask the validating one any more",
		},
		{
			who:   []engine{webhooks},
			codes: []policy.Code{policy.PolicyViolation},
			where: func(f fixture) bool { return f.name == "testdata/audit-mode" },
			why:   "a policy in the mode Audit says nothing to whoever writes an APIRule",
		},
		{
			who:   []engine{lintOffline},
			codes: []policy.Code{policy.AuthorizerInUse, policy.AuthorizerWidened},
			where: kindIs("Istio"),
			why:   "a manifest does not say what was there before; the APIRules in the same input get AuthorizerNotRegistered",
		},
		{
			who:   []engine{webhooks},
			codes: []policy.Code{policy.LegacyVersion},
			why:   "the webhooks are registered for v2 and v2alpha1 exactly, so that Kyma can end APIRules through v1beta1",
		},
	}
}

// neverSaid are the codes that an engine cannot say, and why.
func neverSaid() map[engine]map[policy.Code]string {
	return map[engine]map[policy.Code]string{
		webhooks: {
			policy.LegacyVersion: "they are not registered for v1beta1",
		},
		lintLive: {
			policy.InjectionMissing: "lint injects before it checks",
		},
		lintOffline: {
			policy.InjectionMissing:       "lint injects before it checks",
			policy.AuthorizerInUse:        "a manifest does not say what was there before",
			policy.AuthorizerWidened:      "a manifest does not say what was there before",
			policy.ServiceNotFound:        "manifests are never all there is",
			policy.InternalTrafficBlocked: "manifests are never all there is",
			policy.AuthorizerUnready:      "manifests have no endpoints",
			policy.AuthorizerNotEffective: "manifests have no mesh configuration",
			policy.AuthorizerVulnerable:   "manifests have no proxies that run",
		},
		audited: {
			policy.InternalCallersForbidden: "the audit looks at APIRules, not at annotations of Services",
			policy.AuthorizerInUse:          "the audit looks at APIRules, not at Istio CRs",
			policy.AuthorizerWidened:        "the audit looks at APIRules, not at Istio CRs",
			policy.AuthorizerDuplicate:      "the audit looks at APIRules, not at Istio CRs",
			policy.AuthorizerInvalid:        "the audit looks at APIRules, not at Istio CRs",
			policy.IdentityHeaderSpoofable:  "the audit looks at APIRules, not at Istio CRs",
			policy.InternalTrafficBlocked:   "it is worth saying when it becomes true",
			policy.AuthorizerOpenPaths:      "it is worth saying when it becomes true",
			policy.AuthorizerUnfit:          "it is worth saying when it becomes true",
			policy.LegacyVersion:            "the API server gives the audit every APIRule as v2",
		},
	}
}
