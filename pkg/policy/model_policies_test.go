// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// What an ExtAuthPolicy promises, said once more for the model: whom a policy is
// about, and whom it excuses, is written next to it by hand.

// today is the day of every world.
var today = time.Date(2027, 1, 1, 23, 59, 59, 0, time.UTC)

// ruling is what one ExtAuthPolicy says in a world of the model, where the APIRule
// a in shop serves cart.example.com at kyma-system/kyma-gateway, and shop has the
// label exposure: public.
type ruling struct {
	spec string // for the code

	elsewhere bool // it is about others
	private   bool // but about what leads to a namespace with the label exposure: private
	mode      policy.Severity
	requires  string   // "", "any", or the authorizers that do
	allowed   []string // nil: any that is registered
	jwt       bool     // is enough
	injects   *voice
	forbids   bool           // to opt out
	excuses   func(int) bool // which rules

	name     string
	compiled policy.ClusterPolicy
}

func nobody(int) bool { return false }

func everybody(int) bool { return true }

func theFirst(rule int) bool { return rule == 0 }

// exempting is an exemption for the APIRule of the world, or for another.
func exempting(name, expires, paths string) string {
	return fmt.Sprintf(`exemptions: [{namespace: shop, name: %s, reason: r, owner: o, expires: %q, paths: [%s]}]`, name, expires, paths)
}

func rulings() map[string]ruling {
	const gateway, other = "kyma-system/kyma-gateway", "kyma-system/other"
	return map[string]ruling{
		"any":     {spec: `{mode: Enforce, require: {}}`, mode: policy.Deny, requires: "any"},
		"audited": {spec: `{mode: Audit, require: {}}`, mode: policy.Report, requires: "any"},
		"corp":    {spec: `{mode: Warn, require: {authorizers: [corp], allowJWT: true}}`, mode: policy.Warn, requires: "corp", allowed: []string{"corp"}, jwt: true},
		"either":  {spec: `{mode: Enforce, require: {authorizers: [oauth2-proxy, corp]}}`, mode: policy.Deny, requires: "corp oauth2-proxy", allowed: []string{"corp", "oauth2-proxy"}},
		"inject":  {spec: `{mode: Audit, inject: {}}`, mode: policy.Report, injects: &voice{inject: "yes"}},
		"replace": {
			spec: `{mode: Enforce, require: {authorizers: [corp]}, inject: {authorizers: [corp], replace: [noAuth]}}`,
			mode: policy.Deny, requires: "corp", allowed: []string{"corp"}, injects: &voice{inject: "yes", authorizers: []string{"corp"}, replace: "noAuth"},
		},
		"forbid":    {spec: `{mode: Audit, optOut: Forbidden}`, mode: policy.Report, forbids: true},
		"all three": {spec: `{mode: Enforce, optOut: Forbidden, require: {allowJWT: true}, inject: {replace: [noAuth, jwt]}}`, mode: policy.Deny, requires: "any", jwt: true, injects: &voice{inject: "yes", replace: "both"}, forbids: true},

		"matching": {
			spec: `{mode: Enforce, require: {}, match: {namespaceSelector: {matchLabels: {exposure: public}}, hosts: ["*.example.org", "*.example.com"], gateways: [` + other + `, ` + gateway + `]}}`,
			mode: policy.Deny, requires: "any",
		},
		"the host":         {spec: `{mode: Enforce, require: {}, match: {hosts: [cart.example.com]}}`, mode: policy.Deny, requires: "any"},
		"the short host":   {spec: `{mode: Enforce, require: {}, match: {hosts: [cart]}}`, mode: policy.Deny, requires: "any"},
		"another host":     {spec: `{mode: Enforce, require: {}, inject: {}, optOut: Forbidden, match: {hosts: ["*.cart.example.com", example.com, pay]}}`, elsewhere: true},
		"another gateway":  {spec: `{mode: Enforce, require: {}, inject: {}, optOut: Forbidden, match: {hosts: ["*.example.com"], gateways: [` + other + `]}}`, elsewhere: true},
		"another label":    {spec: `{mode: Enforce, require: {}, inject: {}, optOut: Forbidden, match: {namespaceSelector: {matchLabels: {exposure: private}}}}`, elsewhere: true, private: true, mode: policy.Deny, requires: "any", injects: &voice{inject: "yes"}, forbids: true},
		"one of two parts": {spec: `{mode: Enforce, require: {}, match: {namespaceSelector: {matchLabels: {exposure: private}}, hosts: ["*.example.com"]}}`, elsewhere: true, private: true, mode: policy.Deny, requires: "any"},

		"excused":          {spec: `{mode: Enforce, optOut: Forbidden, require: {}, inject: {}, ` + exempting("a", "2027-01-01", "") + `}`, mode: policy.Deny, requires: "any", injects: &voice{inject: "yes"}, forbids: true, excuses: everybody},
		"excused once":     {spec: `{mode: Enforce, optOut: Forbidden, require: {}, inject: {}, ` + exempting("a", "2027-06-30", "/0") + `}`, mode: policy.Deny, requires: "any", injects: &voice{inject: "yes"}, forbids: true, excuses: theFirst},
		"excused too long": {spec: `{mode: Enforce, optOut: Forbidden, require: {}, inject: {}, ` + exempting("a", "2026-12-31", "") + `}`, mode: policy.Deny, requires: "any", injects: &voice{inject: "yes"}, forbids: true},
		"another excused":  {spec: `{mode: Enforce, require: {}, ` + exempting("b", "2027-06-30", "") + `}`, mode: policy.Deny, requires: "any"},
	}
}

// governments are the sets of policies that there may be in a world: none, each
// alone, and some that meet.
func governments(t *testing.T) [][]ruling {
	t.Helper()
	known := rulings()
	sets := [][]string{
		nil,
		{"any", "audited"},
		{"audited", "corp"},
		{"corp", "either"},
		{"inject", "replace"},
		{"replace", "inject"},
		{"forbid", "excused"},
		{"excused once", "inject"},
		{"another host", "matching"},
		{"all three", "forbid"},
		{"excused", "any", "replace"},
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		sets = append(sets, []string{name})
	}
	all := make([][]ruling, 0, len(sets))
	for _, set := range sets {
		var government []ruling
		for i, name := range set {
			one, ok := known[name]
			require.True(t, ok, name)
			if one.excuses == nil {
				one.excuses = nobody
			}
			object := &v1alpha1.ExtAuthPolicy{}
			require.NoError(t, yaml.UnmarshalStrict([]byte(one.spec), &object.Spec))
			one.name = fmt.Sprintf("p%d", i) // their order is that of their names
			object.Name = one.name
			one.compiled = policy.CompilePolicy(object)
			require.Empty(t, one.compiled.Fault)
			government = append(government, one)
		}
		all = append(all, government)
	}
	return all
}

// lastLevel is what the policies want of a rule that nobody spoke of: the first
// that injects and does not excuse it.
func (w world) lastLevel(rule int) (from string, says voice) {
	for _, one := range w.rulings {
		if w.about(one, w.routes[rule]) && one.injects != nil && !one.excuses(rule) {
			return "ExtAuthPolicy " + one.name, *one.injects
		}
	}
	return "", voice{}
}

// about is true if a policy is about a rule: by the namespace of the APIRule, or by
// that of the rule's Service.
func (w world) about(one ruling, r route) bool {
	return !one.elsewhere || one.private && r.foreign
}

// lacks is true if a rule is not what a policy requires.
func (w world) lacks(one ruling, r route) bool {
	if !w.about(one, r) || one.requires == "" || r.shape.kind == "malformed" || r.service == w.mesh.front {
		return false
	}
	if r.shape.kind == "jwt" {
		return !one.jwt
	}
	for _, name := range r.shape.authorizers {
		if slices.Contains(one.allowed, name) || (one.allowed == nil && (!w.mesh.known || slices.Contains(w.mesh.names, name))) {
			return false
		}
	}
	return true
}

// optsOut is true if a rule is left alone against a policy.
func (w world) optsOut(one ruling, i int, r route) bool {
	wish := w.intended(i, r)
	return w.about(one, r) && one.forbids && !one.excuses(i) && !wish.unreadable && wish.inject == "no" && r.service != w.mesh.front
}

// ruled are the findings that policies make of one rule. Policies that require
// the same are one finding, as strict as the strictest.
func (w world) ruled(i int, r route) []verdict {
	strictness := []policy.Severity{policy.Report, policy.Warn, policy.Deny}
	var found []verdict
	for _, one := range w.rulings {
		if !w.lacks(one, r) || one.excuses(i) {
			continue
		}
		next := verdict{policy.PolicyViolation, one.mode, fmt.Sprintf("spec.rules[%d]", i), fmt.Sprint(one.requires, one.jwt, path(i), strategy(r), r.service)}
		at := slices.IndexFunc(found, func(other verdict) bool { return other.value == next.value })
		switch {
		case at < 0:
			found = append(found, next)
		case slices.Index(strictness, next.severity) > slices.Index(strictness, found[at].severity):
			found[at].severity = next.severity
		}
	}
	if !slices.ContainsFunc(w.rulings, func(one ruling) bool { return w.optsOut(one, i, r) }) {
		return found
	}
	from := w.intended(i, r).from
	field := "metadata.annotations[extauth-guard.io/inject]"
	switch {
	case from == "Namespace":
		field = "metadata.namespace"
	case from != "APIRule" && r.own:
		field = fmt.Sprintf("spec.rules[%d].service", i)
	case from != "APIRule":
		field = "spec.service"
	}
	return append(found, verdict{policy.OptOutForbidden, policy.Deny, field, from})
}

// strategy is what a rule says, whoever reads it: an empty list of authorizers is
// extAuth all the same.
func strategy(r route) string {
	if r.shape.kind == "empty" {
		return "extAuth"
	}
	return r.shape.kind
}

// assessed compares how the audit counts the APIRule: against a policy if a rule
// violates it, as exempt if only excuses keep it from that, and else as compliant.
func (w world) assessed(view apirule.View, facts policy.Facts, settings policy.Settings) string {
	var want []string
	for _, one := range w.rulings {
		if !slices.ContainsFunc(w.routes, func(r route) bool { return w.about(one, r) }) && one.elsewhere || (w.state.skipped != "" && w.state.skipped != policy.ControllerOwned && w.state.skipped != policy.NamespaceExcluded) {
			continue
		}
		if w.state.excluded {
			want = append(want, one.name+" "+string(policy.Excluded))
			continue
		}
		state := policy.Compliant
		for i, r := range w.routes {
			switch {
			case w.lacks(one, r) && !one.excuses(i), w.optsOut(one, i, r):
				state = policy.Violating
			case w.lacks(one, r) && state == policy.Compliant:
				state = policy.Exempt
			}
		}
		want = append(want, one.name+" "+string(state))
	}
	var got []string
	for _, one := range policy.Assess(view, facts, settings) {
		got = append(got, one.Policy+" "+string(one.State))
	}
	if !slices.Equal(want, got) {
		return fmt.Sprintf("assessments: want %v, got %v", want, got)
	}
	return ""
}

// walkPolicies visits the worlds with policies.
func walkPolicies(t *testing.T, stride int) (worlds int64) {
	t.Helper()
	says, rules, authorities, conditions, governed := voices(), shapes(), meshes(), states(), governments(t)
	few := []voice{says[0], says[1], says[2], says[3]}
	t.Run("one rule", func(t *testing.T) {
		worlds += walk(t, stride, func(d []int) string {
			return world{
				apirule: says[d[0]], services: map[string]voice{"cart": few[d[1]]}, namespace: few[d[2]],
				routes: []route{{shape: rules[d[3]], service: "cart"}}, mesh: authorities[d[4]], rulings: governed[d[5]],
			}.create()
		}, len(says), len(few), len(few), len(rules), 3, len(governed))
	})
	t.Run("every condition of the object", func(t *testing.T) {
		worlds += walk(t, stride, func(d []int) string {
			w := world{apirule: few[d[0]], mesh: authorities[d[2]], state: conditions[d[3]], rulings: governed[d[4]]}
			if !w.state.bare {
				w.routes = []route{{shape: rules[d[1]], service: "cart"}}
			}
			return w.create()
		}, len(few), len(rules), len(authorities), len(conditions), len(governed))
	})
	t.Run("two rules", func(t *testing.T) {
		worlds += walk(t, stride, func(d []int) string {
			second := []route{{service: "cart"}, {service: "pay", own: true}, {service: "cart", own: true}}[d[4]]
			second.shape = rules[d[3]]
			return world{
				apirule: few[d[0]], services: map[string]voice{"cart": few[d[1]]},
				routes: []route{{shape: rules[d[2]], service: "cart"}, second}, mesh: authorities[d[5]*2], rulings: governed[d[6]],
			}.create()
		}, len(few), 3, len(rules), len(rules), 3, 2, len(governed))
	})
	t.Run("updates", func(t *testing.T) {
		worlds += walk(t, stride, func(d []int) string {
			before := world{
				apirule: few[d[0]], services: map[string]voice{"cart": few[d[2]]},
				routes: []route{{shape: rules[d[3]], service: "cart"}}, mesh: authorities[0], rulings: governed[d[6]],
			}
			after := before
			after.apirule = few[d[1]]
			after.routes = []route{{shape: rules[d[4]], service: "cart"}}
			if d[5] > 0 {
				after.routes = append(after.routes, route{shape: rules[d[3]], service: "pay", own: true})
			}
			return update(before, after)
		}, len(few), len(few), 3, len(rules), len(rules), 2, len(governed))
	})
	return worlds
}
