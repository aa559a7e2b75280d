// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

const gateway = "kyma-system/kyma-gateway"

// clusterPolicies compiles policies from their specs; they are named p0, p1, …
func clusterPolicies(t *testing.T, specs ...string) []policy.ClusterPolicy {
	t.Helper()
	var compiled []policy.ClusterPolicy
	for i, spec := range specs {
		object := &v1alpha1.ExtAuthPolicy{}
		require.NoError(t, yaml.UnmarshalStrict([]byte(spec), &object.Spec), "%s", spec)
		object.Name = fmt.Sprintf("p%d", i)
		compiled = append(compiled, policy.CompilePolicy(object))
	}
	return compiled
}

// shop returns an APIRule shop/cart of the host with one rule for each text.
func shop(t *testing.T, host string, annotations map[string]string, rules ...string) apirule.View {
	t.Helper()
	var object map[string]any
	text := fmt.Sprintf(`{metadata: {namespace: shop, name: cart}, spec: {hosts: ["%s"], gateway: %s, service: {name: cart, port: 80}, rules: [{%s}]}}`,
		host, gateway, strings.Join(rules, "}, {"))
	require.NoError(t, yaml.Unmarshal([]byte(text), &object), "%s", text)
	view := apirule.Parse(object, "")
	view.Annotations = annotations
	return view
}

func shopFacts(t *testing.T, specs ...string) policy.Facts {
	t.Helper()
	return policy.Facts{
		Registry:       policy.StaticRegistry("a test", []string{"oauth2-proxy", "corp"}),
		Namespaces:     map[string]policy.Namespace{"shop": {Labels: map[string]string{"exposure": "public", "istio-injection": "enabled"}}},
		Policies:       clusterPolicies(t, specs...),
		GatewayDomains: map[string]string{gateway: "example.com"},
		Now:            time.Date(2027, 3, 31, 23, 59, 59, 0, time.UTC),
	}
}

const (
	open   = `path: /*, methods: [GET], noAuth: true`
	jwt    = `path: /*, methods: [GET], jwt: {}`
	authed = `path: /*, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}`
	corp   = `path: /*, methods: [GET], extAuth: {authorizers: [corp]}`
	bogus  = `path: /*, methods: [GET], extAuth: {authorizers: [bogus]}`
	health = `path: /healthz, methods: [GET], noAuth: true`
)

// ofPolicies renders the findings that policies made.
func ofPolicies(findings []policy.Finding) []string {
	var texts []string
	for _, finding := range findings {
		if finding.Code == policy.PolicyViolation || finding.Code == policy.OptOutForbidden {
			texts = append(texts, string(finding.Severity)+" "+finding.Err.Error())
		}
	}
	return texts
}

func TestPolicyViolation(t *testing.T) {
	const ask = "; name one in extAuth.authorizers, or ask the owner of the policy for an exemption [PolicyViolation]"
	violation := func(severity string, rule int, path, says string) []string {
		return []string{fmt.Sprintf(`%s spec.rules[%d]: Invalid value: %q: %s%s`, severity, rule, path, says, ask)}
	}
	const needs = "ExtAuthPolicy p0 requires the authorizer oauth2-proxy, but the rule "
	const excuse = `namespace: shop, name: cart, reason: r, owner: o, expires: "2027-03-31"`
	cases := map[string]struct {
		policies []string
		host     string
		rules    []string
		want     []string
	}{
		"a rule that has what is required":                        {policies: []string{`{mode: Enforce, require: {authorizers: [oauth2-proxy]}}`}, rules: []string{authed}},
		"an open rule under Enforce is a denial":                  {policies: []string{`{mode: Enforce, require: {authorizers: [oauth2-proxy]}}`}, rules: []string{open}, want: violation("deny", 0, "/*", needs+`says "noAuth: true"`)},
		"an open rule under Warn is a warning":                    {policies: []string{`{mode: Warn, require: {authorizers: [oauth2-proxy]}}`}, rules: []string{open}, want: violation("warn", 0, "/*", needs+`says "noAuth: true"`)},
		"an open rule under Audit is only reported":               {policies: []string{`{mode: Audit, require: {authorizers: [oauth2-proxy]}}`}, rules: []string{open}, want: violation("report", 0, "/*", needs+`says "noAuth: true"`)},
		"another authorizer is not the one that is required":      {policies: []string{`{mode: Enforce, require: {authorizers: [oauth2-proxy]}}`}, rules: []string{corp}, want: violation("deny", 0, "/*", needs+"has corp")},
		"one of several is enough":                                {policies: []string{`{mode: Enforce, require: {authorizers: [oauth2-proxy, corp]}}`}, rules: []string{corp}},
		"any registered authorizer is enough":                     {policies: []string{`{mode: Enforce, require: {}}`}, rules: []string{corp}},
		"an authorizer that nobody registered is none":            {policies: []string{`{mode: Enforce, require: {}}`}, rules: []string{bogus}, want: violation("deny", 0, "/*", "ExtAuthPolicy p0 requires a registered authorizer, but the rule has bogus")},
		"a jwt is not enough by itself":                           {policies: []string{`{mode: Enforce, require: {}}`}, rules: []string{jwt}, want: violation("deny", 0, "/*", "ExtAuthPolicy p0 requires a registered authorizer, but the rule has only a jwt")},
		"a jwt is enough where it is allowed":                     {policies: []string{`{mode: Enforce, require: {allowJWT: true}}`}, rules: []string{jwt}},
		"a policy without require requires nothing":               {policies: []string{`{mode: Enforce, inject: {}}`}, rules: []string{open}},
		"the second rule is the one that is named":                {policies: []string{`{mode: Enforce, require: {authorizers: [oauth2-proxy]}}`}, rules: []string{authed, health}, want: violation("deny", 1, "/healthz", needs+`says "noAuth: true"`)},
		"the strictest of two policies that want the same counts": {policies: []string{`{mode: Audit, require: {}}`, `{mode: Enforce, require: {}}`}, rules: []string{open}, want: violation("deny", 0, "/*", `ExtAuthPolicies p0, p1 require a registered authorizer, but the rule says "noAuth: true"`)},
		"policies that want different things add up": {policies: []string{`{mode: Warn, require: {authorizers: [oauth2-proxy]}}`, `{mode: Enforce, require: {}}`}, rules: []string{open}, want: append(
			violation("warn", 0, "/*", needs+`says "noAuth: true"`),
			violation("deny", 0, "/*", `ExtAuthPolicy p1 requires a registered authorizer, but the rule says "noAuth: true"`)...)},
		"a namespace without the label is not matched":        {policies: []string{`{mode: Enforce, match: {namespaceSelector: {matchLabels: {exposure: private}}}, require: {}}`}, rules: []string{open}},
		"a namespace with the label is":                       {policies: []string{`{mode: Enforce, match: {namespaceSelector: {matchLabels: {exposure: public}}}, require: {}}`}, rules: []string{corp}},
		"a host below the wildcard is matched":                {policies: []string{`{mode: Audit, match: {hosts: ["*.example.com"]}, require: {}}`}, host: "cart.example.com", rules: []string{open}, want: violation("report", 0, "/*", `ExtAuthPolicy p0 requires a registered authorizer, but the rule says "noAuth: true"`)},
		"a short host is matched as Kyma expands it":          {policies: []string{`{mode: Audit, match: {hosts: ["*.example.com"]}, require: {}}`}, host: "cart", rules: []string{open}, want: violation("report", 0, "/*", `ExtAuthPolicy p0 requires a registered authorizer, but the rule says "noAuth: true"`)},
		"a short pattern is expanded, too":                    {policies: []string{`{mode: Audit, match: {hosts: [cart]}, require: {}}`}, host: "cart.example.com", rules: []string{open}, want: violation("report", 0, "/*", `ExtAuthPolicy p0 requires a registered authorizer, but the rule says "noAuth: true"`)},
		"a wildcard host is matched by what it serves":        {policies: []string{`{mode: Audit, match: {hosts: [cart.example.com]}, require: {}}`}, host: "*.example.com", rules: []string{open}, want: violation("report", 0, "/*", `ExtAuthPolicy p0 requires a registered authorizer, but the rule says "noAuth: true"`)},
		"a domain that merely ends alike is another":          {policies: []string{`{mode: Enforce, match: {hosts: ["*.example.com"]}, require: {}}`}, host: "cart.badexample.com", rules: []string{open}},
		"the domain itself is not below it":                   {policies: []string{`{mode: Enforce, match: {hosts: ["*.example.com"]}, require: {}}`}, host: "example.com", rules: []string{open}},
		"another gateway is not matched":                      {policies: []string{`{mode: Enforce, match: {gateways: [kyma-system/other]}, require: {}}`}, rules: []string{open}},
		"all parts have to match":                             {policies: []string{`{mode: Enforce, match: {gateways: [kyma-system/kyma-gateway], hosts: [other.example.com]}, require: {}}`}, rules: []string{open}},
		"an exemption excuses on its last day":                {policies: []string{`{mode: Enforce, require: {}, exemptions: [{` + excuse + `}]}`}, rules: []string{open}},
		"an exemption that expired yesterday is none":         {policies: []string{`{mode: Audit, require: {}, exemptions: [{namespace: shop, name: cart, reason: r, owner: o, expires: "2027-03-30"}]}`}, rules: []string{open}, want: violation("report", 0, "/*", `ExtAuthPolicy p0 requires a registered authorizer, but the rule says "noAuth: true"`)},
		"an exemption of a path excuses this path":            {policies: []string{`{mode: Enforce, require: {}, exemptions: [{` + excuse + `, paths: [/healthz]}]}`}, rules: []string{authed, health}},
		"an exemption of a path does not excuse a wider rule": {policies: []string{`{mode: Audit, require: {}, exemptions: [{` + excuse + `, paths: [/healthz]}]}`}, rules: []string{open}, want: violation("report", 0, "/*", `ExtAuthPolicy p0 requires a registered authorizer, but the rule says "noAuth: true"`)},
		"an exemption of another APIRule excuses nothing":     {policies: []string{`{mode: Audit, require: {}, exemptions: [{namespace: shop, name: other, reason: r, owner: o, expires: "2030-01-01"}]}`}, rules: []string{open}, want: violation("report", 0, "/*", `ExtAuthPolicy p0 requires a registered authorizer, but the rule says "noAuth: true"`)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			host := tc.host
			if host == "" {
				host = "cart"
			}
			got := policy.Check(shop(t, host, nil, tc.rules...), shopFacts(t, tc.policies...), policy.DefaultSettings())
			assert.Empty(t, cmp.Diff(tc.want, ofPolicies(got)), "(-want +got)")
		})
	}
}

func TestAPolicyRefusesWhatAnUpdateIntroduces(t *testing.T) {
	facts := shopFacts(t, `{mode: Enforce, require: {authorizers: [oauth2-proxy]}}`)
	check := func(view apirule.View) []policy.Finding { return policy.Check(view, facts, policy.DefaultSettings()) }
	before := shop(t, "cart", nil, health)
	cases := map[string]struct {
		after apirule.View
		want  bool
	}{
		"nothing new":                        {shop(t, "cart", nil, health), false},
		"the old violation moved":            {shop(t, "cart", nil, authed, health), false},
		"a second open rule":                 {shop(t, "cart", nil, health, open), true},
		"the open rule became wider":         {shop(t, "cart", nil, open), true},
		"another method":                     {shop(t, "cart", nil, `path: /healthz, methods: [GET, POST], noAuth: true`), true},
		"another host":                       {shop(t, "pay", nil, health), true},
		"another Service behind the path":    {shop(t, "cart", nil, health+`, service: {name: pay, port: 80}`), true},
		"protection with a wrong authorizer": {shop(t, "cart", nil, `path: /healthz, methods: [GET], extAuth: {authorizers: [corp]}`), true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			left := policy.Ratchet(check(before), check(tc.after))
			assert.NotEmpty(t, ofPolicies(left), "it is still said")
			assert.Equal(t, tc.want, policy.Denies(left))
		})
	}
}

// What was open before may not let in more than it did.
func TestAnInheritedViolationMayNotGrow(t *testing.T) {
	facts := shopFacts(t, `{mode: Enforce, require: {authorizers: [oauth2-proxy]}}`)
	check := func(view apirule.View) []policy.Finding { return policy.Check(view, facts, policy.DefaultSettings()) }
	const (
		admin    = `path: "/admin/{**}", methods: [GET, POST], extAuth: {authorizers: [oauth2-proxy]}`
		catchAll = `path: /*, methods: [GET, POST], noAuth: true`
	)
	before := shop(t, "cart", nil, admin, catchAll)
	with := func(change func(*apirule.View), rules ...string) apirule.View {
		view := shop(t, "cart", nil, rules...)
		change(&view)
		return view
	}
	cases := map[string]struct {
		after apirule.View
		want  bool
	}{
		"nothing changed":                      {before, false},
		"a further protected rule in front":    {shop(t, "cart", nil, `path: /a, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}`, admin, catchAll), false},
		"a wider protected rule in front":      {shop(t, "cart", nil, `path: "/{*}/{**}", methods: [GET, POST], extAuth: {authorizers: [oauth2-proxy]}`, catchAll), false},
		"two protected rules in place of one":  {shop(t, "cart", nil, strings.ReplaceAll(admin, "GET, POST", "GET"), strings.ReplaceAll(admin, "GET, POST", "POST"), catchAll), false},
		"the open rule narrower":               {shop(t, "cart", nil, admin, `path: "/shop/{**}", methods: [GET], noAuth: true`), false},
		"the open rule away from what is kept": {shop(t, "cart", nil, `path: "/shop/{**}", methods: [GET], noAuth: true`), false},
		"the protected rule is gone":           {shop(t, "cart", nil, catchAll), true},
		"the protected rule behind":            {shop(t, "cart", nil, catchAll, admin), true},
		"the protected rule for GET only":      {shop(t, "cart", nil, strings.ReplaceAll(admin, "GET, POST", "GET"), catchAll), true},
		"the protected rule moved":             {shop(t, "cart", nil, strings.ReplaceAll(admin, "/admin/{**}", "/nothing"), catchAll), true},
		"the protected rule narrower":          {shop(t, "cart", nil, strings.ReplaceAll(admin, "/admin/{**}", "/admin/{*}"), catchAll), true},
		"the protected rule open":              {shop(t, "cart", nil, `path: "/admin/{**}", methods: [GET, POST], noAuth: true`, catchAll), true},
		"the protected rule with any jwt":      {shop(t, "cart", nil, `path: "/admin/{**}", methods: [GET, POST], jwt: {}`, catchAll), true},
		"another port": {with(func(view *apirule.View) {
			view.Rules[1].ServicePort = 9999
		}, admin, catchAll), true},
		"another gateway beside":       {with(func(view *apirule.View) { view.ExternalGateway = "shop/external" }, admin, catchAll), true},
		"another origin":               {with(func(view *apirule.View) { view.CORS.Origins = []string{"regex:.*"} }, admin, catchAll), true},
		"cookies of browsers":          {with(func(view *apirule.View) { view.CORS.Credentials = true }, admin, catchAll), true},
		"a second open rule inside it": {shop(t, "cart", nil, admin, `path: /a, methods: [GET], noAuth: true`, catchAll), true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			left := policy.Ratchet(check(before), check(tc.after))
			assert.NotEmpty(t, ofPolicies(left), "it is still said")
			assert.Equal(t, tc.want, policy.Denies(left), "%v", left)
		})
	}

	t.Run("fewer issuers", func(t *testing.T) {
		tokens := func(issuers ...string) apirule.View {
			view := shop(t, "cart", nil, jwt)
			for _, issuer := range issuers {
				view.Rules[0].Tokens = append(view.Rules[0].Tokens, apirule.TokenSource{Issuer: issuer})
			}
			return view
		}
		assert.False(t, policy.Denies(policy.Ratchet(check(tokens("https://a", "https://b")), check(tokens("https://b")))))
		assert.True(t, policy.Denies(policy.Ratchet(check(tokens("https://a")), check(tokens("https://b")))))
	})
}

// An author chooses how many rules an APIRule has, and may change all of them.
func TestComparingOpeningsCostsInProportion(t *testing.T) {
	facts := shopFacts(t, `{mode: Enforce, require: {authorizers: [oauth2-proxy]}}`)
	findings := func(n int, prefix string, origins ...string) []policy.Finding {
		rules := make([]string, 0, n)
		for i := range n {
			access := "noAuth: true"
			if i%2 == 0 {
				access = "extAuth: {authorizers: [oauth2-proxy]}"
			}
			rules = append(rules, fmt.Sprintf("path: /%s%d, methods: [GET], %s", prefix, i, access))
		}
		view := shop(t, "cart", nil, rules...)
		view.CORS.Origins = origins
		return policy.Check(view, facts, policy.DefaultSettings())
	}
	allocations := func(n int) float64 {
		before, after := findings(n, "a"), findings(n, "b")
		return testing.AllocsPerRun(1, func() { policy.Ratchet(before, after) })
	}
	small, large := allocations(500), allocations(2000)
	assert.LessOrEqual(t, large, 5*small, "500 rules: %v, 2,000 rules: %v", small, large)

	t.Run("what all rules share is compared once", func(t *testing.T) {
		bytes := func(length int) uint64 {
			origin := "exact:" + strings.Repeat("a", length)
			before, after := findings(500, "a", origin), findings(500, "a", origin)
			var start, end runtime.MemStats
			runtime.ReadMemStats(&start)
			require.False(t, policy.Denies(policy.Ratchet(before, after)))
			runtime.ReadMemStats(&end)
			return end.TotalAlloc - start.TotalAlloc
		}
		assert.Less(t, bytes(10_000), 2*bytes(1))
	})
}

func TestIssuersOfTokens(t *testing.T) {
	const trusted, keys = "https://idp.example.com/realm", "https://idp.example.com/realm/keys"
	cases := map[string]struct {
		require string
		tokens  []apirule.TokenSource
		want    bool // violates
	}{
		"the issuer and its keys":              {`{jwt: {issuers: ["` + trusted + `"]}}`, []apirule.TokenSource{{Issuer: trusted, JWKSURI: keys}}, false},
		"another issuer":                       {`{jwt: {issuers: ["` + trusted + `"]}}`, []apirule.TokenSource{{Issuer: "https://attacker.example", JWKSURI: "https://attacker.example/keys"}}, true},
		"the issuer with somebody's keys":      {`{jwt: {issuers: ["` + trusted + `"]}}`, []apirule.TokenSource{{Issuer: trusted, JWKSURI: "https://attacker.example/keys"}}, true},
		"a second issuer beside it":            {`{jwt: {issuers: ["` + trusted + `"]}}`, []apirule.TokenSource{{Issuer: trusted, JWKSURI: keys}, {Issuer: "https://attacker.example"}}, true},
		"keys elsewhere that the policy names": {`{jwt: {issuers: ["` + trusted + `"], jwksUris: ["https://keys.example.com/k"]}}`, []apirule.TokenSource{{Issuer: trusted, JWKSURI: "https://keys.example.com/k"}}, false},
		"keys that the policy does not name":   {`{jwt: {issuers: ["` + trusted + `"], jwksUris: ["https://keys.example.com/k"]}}`, []apirule.TokenSource{{Issuer: trusted, JWKSURI: keys}}, true},
		"a host that begins like the issuer's": {`{jwt: {issuers: ["` + trusted + `"]}}`, []apirule.TokenSource{{Issuer: trusted, JWKSURI: "https://idp.example.com.attacker.example/keys"}}, true},
		"a user in front of another host":      {`{jwt: {issuers: ["` + trusted + `"]}}`, []apirule.TokenSource{{Issuer: trusted, JWKSURI: "https://idp.example.com@attacker.example/keys"}}, true},
		"an empty jwt":                         {`{jwt: {issuers: ["` + trusted + `"]}}`, nil, true},
		"any issuer":                           {`{allowJWT: true}`, []apirule.TokenSource{{Issuer: "https://attacker.example"}}, false},
		"issuers bind any":                     {`{allowJWT: true, jwt: {issuers: ["` + trusted + `"]}}`, []apirule.TokenSource{{Issuer: "https://attacker.example"}}, true},
		"no jwt at all":                        {`{}`, []apirule.TokenSource{{Issuer: trusted, JWKSURI: keys}}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			view := shop(t, "cart", nil, jwt)
			view.Rules[0].Tokens = tc.tokens
			got := policy.Check(view, shopFacts(t, `{mode: Enforce, require: `+tc.require+`}`), policy.DefaultSettings())
			assert.Equal(t, tc.want, policy.Denies(got), "%v", got)
		})
	}
}

// The way to an authorizer itself has to be open; nothing else is excused by its
// Service.
func TestTheWayToAnAuthorizer(t *testing.T) {
	registry := policy.NewRegistry(istio.View{Authorizers: []istio.Authorizer{{Name: "oauth2-proxy", Service: "cart.shop.svc.cluster.local", Port: 80}}})
	cases := map[string]struct {
		namespace string
		port      int64
		want      bool // denied
	}{
		"from its namespace, at its port":  {"shop", 80, false},
		"at another port":                  {"shop", 44180, true},
		"from another namespace":           {"other", 80, true},
		"from another namespace and port":  {"other", 1, true},
		"without a port, which Kyma wants": {"shop", 0, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			facts := shopFacts(t, `{mode: Enforce, require: {}}`)
			facts.Registry = registry
			view := shop(t, "cart", nil, open)
			view.Namespace, view.Rules[0].ServicePort = tc.namespace, tc.port
			assert.Equal(t, tc.want, policy.Denies(policy.Check(view, facts, policy.DefaultSettings())))
		})
	}
}

// Where a policy wants consent, the owner of a Service says from where it may be
// exposed.
func TestConsent(t *testing.T) {
	const wants = `{mode: Enforce, match: {namespaceSelector: {matchLabels: {exposure: public}}}, crossNamespace: Consented}`
	web := types.NamespacedName{Namespace: "tenant-b", Name: "web"}
	cases := map[string]struct {
		policy, allowFrom string
		service           types.NamespacedName
		gone              bool
		want              policy.Severity // of the finding, "" for none
		wantState         policy.State
	}{
		"no consent":                       {policy: wants, service: web, want: policy.Deny, wantState: policy.Violating},
		"consent for another namespace":    {policy: wants, service: web, allowFrom: "tenant-c, tenant-d", want: policy.Deny, wantState: policy.Violating},
		"consent":                          {policy: wants, service: web, allowFrom: "tenant-c, tenant-a", wantState: policy.Compliant},
		"the own Service needs none":       {policy: wants, service: types.NamespacedName{Namespace: "tenant-a", Name: "web"}, wantState: policy.Compliant},
		"a Service that does not exist":    {policy: wants, service: web, gone: true, wantState: policy.Compliant},
		"a warning":                        {policy: strings.Replace(wants, "Enforce", "Warn", 1), service: web, want: policy.Warn, wantState: policy.Violating},
		"an exemption":                     {policy: strings.Replace(wants, "crossNamespace", `exemptions: [{namespace: tenant-a, name: cart, reason: r, owner: o, expires: "2030-01-01"}], crossNamespace`, 1), service: web, wantState: policy.Exempt},
		"consent that nobody asks for":     {policy: strings.Replace(wants, "Consented", "Allowed", 1), service: web, wantState: policy.Compliant},
		"a policy about another tenant":    {policy: strings.Replace(wants, "public", "private", 1), service: web},
		"consent that nobody can read":     {policy: wants, service: web, allowFrom: "Tenant-A", want: policy.Deny, wantState: policy.Compliant},
		"consent for everybody, by a star": {policy: wants, service: web, allowFrom: "*", want: policy.Deny, wantState: policy.Compliant},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			facts := shopFacts(t, tc.policy)
			facts.Namespaces = map[string]policy.Namespace{"tenant-a": {}, "tenant-b": {Labels: map[string]string{"exposure": "public"}}}
			facts.Services = map[types.NamespacedName]policy.Service{}
			if !tc.gone {
				service := policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "web"}), Ports: []int32{80}}
				if tc.allowFrom != "" {
					service.Annotations = map[string]string{annotation.AllowFrom: tc.allowFrom}
				}
				facts.Services[tc.service] = service
			}
			if tc.service.Namespace == "tenant-a" {
				facts.Namespaces["tenant-a"] = facts.Namespaces["tenant-b"]
			}
			view := shop(t, "cart", nil, authed)
			view.Namespace, view.Rules[0].Service = "tenant-a", tc.service
			var got policy.Severity
			for _, finding := range policy.Check(view, facts, policy.DefaultSettings()) {
				if finding.Code == policy.PolicyViolation || finding.Code == policy.InvalidAnnotation {
					got = finding.Severity
				}
			}
			assert.Equal(t, tc.want, got)
			assessments := policy.Assess(view, facts, policy.DefaultSettings())
			if tc.wantState == "" {
				assert.Empty(t, assessments)
				return
			}
			assert.Equal(t, tc.wantState, assessments[0].State)
		})
	}
}

func TestAGatewayOutside(t *testing.T) {
	for _, pattern := range []string{"shop/outside", "shop/outside-gw"} {
		facts := shopFacts(t, `{mode: Enforce, match: {gateways: [`+pattern+`]}, require: {}}`)
		view := shop(t, "cart.example.com", nil, open)
		assert.False(t, policy.Denies(policy.Check(view, facts, policy.DefaultSettings())))
		view.ExternalGateway = "shop/outside"
		assert.True(t, policy.Denies(policy.Check(view, facts, policy.DefaultSettings())), "%s", pattern)
	}
}

func TestOptOutForbidden(t *testing.T) {
	const forbids = `{mode: Audit, optOut: Forbidden}`
	no, yes := map[string]string{annotation.Inject: "false"}, map[string]string{annotation.Inject: "true"}
	service := types.NamespacedName{Namespace: "shop", Name: "cart"}
	const tail = `says extauth-guard.io/inject: "false", and ExtAuthPolicy p0 forbids to opt out; remove the annotation there, or ask the owner of the policy for an exemption [OptOutForbidden]`
	cases := map[string]struct {
		policies                    []string
		apirule, service, namespace map[string]string
		want                        []string
	}{
		"on the APIRule":                       {policies: []string{forbids}, apirule: no, want: []string{`deny metadata.annotations[extauth-guard.io/inject]: Invalid value: "false": APIRule ` + tail}},
		"on the Service":                       {policies: []string{forbids}, service: no, want: []string{`deny spec.service: Invalid value: "shop/cart": Service shop/cart ` + tail}},
		"on the Namespace":                     {policies: []string{forbids}, namespace: no, want: []string{`deny metadata.namespace: Invalid value: "shop": Namespace ` + tail}},
		"a nearer yes wins over a farther no":  {policies: []string{forbids}, apirule: yes, namespace: no},
		"where it is allowed":                  {policies: []string{`{mode: Enforce, inject: {}, optOut: Allowed}`}, apirule: no},
		"where an exemption excuses the rules": {policies: []string{`{mode: Audit, optOut: Forbidden, exemptions: [{namespace: shop, name: cart, reason: r, owner: o, expires: "2030-01-01"}]}`}, apirule: no},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			facts := shopFacts(t, tc.policies...)
			facts.Services = map[types.NamespacedName]policy.Service{service: {Annotations: tc.service, Selector: policy.SelectorOf(map[string]string{"a": "b"})}}
			facts.Namespaces["shop"] = policy.Namespace{Annotations: tc.namespace, Labels: facts.Namespaces["shop"].Labels}
			got := policy.Check(shop(t, "cart", tc.apirule, jwt, health), facts, policy.DefaultSettings())
			assert.Empty(t, cmp.Diff(tc.want, ofPolicies(got)), "(-want +got)")
		})
	}
}

func TestCheckOptOut(t *testing.T) {
	const at = `metadata.annotations[extauth-guard.io/inject]: Invalid value: "false": `
	const tail = ` says extauth-guard.io/inject: "false", and ExtAuthPolicy p0 forbids to opt out; remove the annotation there, or ask the owner of the policy for an exemption [OptOutForbidden]`
	service := types.NamespacedName{Namespace: "shop", Name: "cart"}
	cases := map[string]struct {
		policy string
		kind   annotation.Kind
		name   types.NamespacedName
		value  string
		want   []string
	}{
		"a Namespace of the policy":                      {`{mode: Audit, match: {namespaceSelector: {matchLabels: {exposure: public}}}, optOut: Forbidden}`, annotation.Namespace, types.NamespacedName{Name: "shop"}, "false", []string{"deny " + at + "Namespace" + tail}},
		"a Service in it, whoever uses it":               {`{mode: Audit, match: {namespaceSelector: {matchLabels: {exposure: public}}}, optOut: Forbidden}`, annotation.Service, types.NamespacedName{Namespace: "shop", Name: "other"}, "false", []string{"deny " + at + "Service" + tail}},
		"a Namespace that another policy is about":       {`{mode: Audit, match: {namespaceSelector: {matchLabels: {exposure: private}}}, optOut: Forbidden}`, annotation.Namespace, types.NamespacedName{Name: "shop"}, "false", nil},
		"a Service behind a host of the policy":          {`{mode: Audit, match: {hosts: ["*.example.com"]}, optOut: Forbidden}`, annotation.Service, service, "false", []string{"deny " + at + "Service" + tail}},
		"a Service behind no host of the policy":         {`{mode: Audit, match: {hosts: ["*.example.com"]}, optOut: Forbidden}`, annotation.Service, types.NamespacedName{Namespace: "shop", Name: "other"}, "false", nil},
		"opting in is always allowed":                    {`{mode: Audit, optOut: Forbidden}`, annotation.Service, service, "true", nil},
		"what cannot be read is reported somewhere else": {`{mode: Audit, optOut: Forbidden}`, annotation.Service, service, "nope", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			facts := shopFacts(t, tc.policy)
			got := policy.CheckOptOut(tc.kind, tc.name, map[string]string{annotation.Inject: tc.value}, policy.OptOutFacts{
				Policies: facts.Policies, Namespaces: facts.Namespaces, GatewayDomains: facts.GatewayDomains, Now: facts.Now,
				APIRules: []apirule.View{shop(t, "cart", nil, open)},
			})
			assert.Empty(t, cmp.Diff(tc.want, ofPolicies(got)), "(-want +got)")
		})
	}
}

func TestInjectionByAPolicy(t *testing.T) {
	const blank = `path: /blank, methods: [GET]`
	no, mine := map[string]string{annotation.Inject: "false"}, map[string]string{annotation.Authorizers: "corp"}
	cases := map[string]struct {
		policies    []string
		annotations map[string]string
		rules       []string
		want        []annotation.Provenance
	}{
		"an open rule gets the policy's authorizers":  {[]string{`{mode: Audit, inject: {authorizers: [corp]}}`}, nil, []string{blank}, []annotation.Provenance{{Authorizers: []string{"corp"}, From: "ExtAuthPolicy p0"}}},
		"the default where the policy names none":     {[]string{`{mode: Audit, inject: {}}`}, nil, []string{blank}, []annotation.Provenance{{Authorizers: []string{"oauth2-proxy"}, From: "ExtAuthPolicy p0"}}},
		"the first policy by name counts":             {[]string{`{mode: Audit, inject: {authorizers: [corp]}}`, `{mode: Audit, inject: {authorizers: [oauth2-proxy]}}`}, nil, []string{blank}, []annotation.Provenance{{Authorizers: []string{"corp"}, From: "ExtAuthPolicy p0"}}},
		"a policy about another host injects nothing": {[]string{`{mode: Audit, match: {hosts: [x.example.com]}, inject: {}}`}, nil, []string{blank}, nil},
		"annotations are nearer":                      {[]string{`{mode: Audit, inject: {authorizers: [oauth2-proxy]}}`}, mine, []string{blank}, []annotation.Provenance{{Authorizers: []string{"corp"}, From: "APIRule"}}},
		"an opt-out is nearer":                        {[]string{`{mode: Audit, inject: {}}`}, no, []string{blank}, nil},
		"noAuth stays unless the policy replaces it":  {[]string{`{mode: Audit, inject: {}}`}, nil, []string{health}, nil},
		"noAuth goes where the policy replaces it":    {[]string{`{mode: Audit, inject: {replace: [noAuth]}}`}, nil, []string{health}, []annotation.Provenance{{Authorizers: []string{"oauth2-proxy"}, From: "ExtAuthPolicy p0"}}},
		"a rule that is exempt is not injected":       {[]string{`{mode: Audit, require: {}, inject: {replace: [noAuth]}, exemptions: [{namespace: shop, name: cart, paths: [/healthz], reason: r, owner: o, expires: "2030-01-01"}]}`}, nil, []string{health, open}, []annotation.Provenance{{Rule: 1, Authorizers: []string{"oauth2-proxy"}, From: "ExtAuthPolicy p0"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := policy.Inject(shop(t, "cart", tc.annotations, tc.rules...), shopFacts(t, tc.policies...), policy.DefaultSettings())
			var records []annotation.Provenance
			if got.Edits.Provenance != nil {
				records = annotation.ParseProvenance(*got.Edits.Provenance)
			}
			assert.Empty(t, cmp.Diff(tc.want, records), "(-want +got)")
		})
	}
}

func TestAssess(t *testing.T) {
	const exempt = `, exemptions: [{namespace: shop, name: cart, paths: [/healthz], reason: r, owner: o, expires: "2030-01-01"}]`
	cases := map[string]struct {
		policies []string
		rules    []string
		want     []string
	}{
		"every policy that matches has a verdict": {[]string{`{mode: Audit, require: {}}`, `{mode: Audit, match: {hosts: [no.example.com]}, require: {}}`, `{mode: Enforce, require: {authorizers: [corp]}}`}, []string{authed}, []string{"p0 Compliant []", "p2 Violating [0]"}},
		"exempt is what lacks and is excused":     {[]string{`{mode: Audit, require: {}` + exempt + `}`}, []string{authed, health}, []string{"p0 Exempt []"}},
		"an exemption that nobody needs":          {[]string{`{mode: Audit, require: {}` + exempt + `}`}, []string{authed}, []string{"p0 Compliant []"}},
		"one violation outweighs an exemption":    {[]string{`{mode: Audit, require: {}` + exempt + `}`}, []string{health, open}, []string{"p0 Violating [1]"}},
		"each rule counts":                        {[]string{`{mode: Audit, require: {}}`}, []string{health, authed, open}, []string{"p0 Violating [0 2]"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, one := range policy.Assess(shop(t, "cart", nil, tc.rules...), shopFacts(t, tc.policies...), policy.DefaultSettings()) {
				rules := []int{}
				for _, violation := range one.Violations {
					rules = append(rules, violation.Rule)
				}
				got = append(got, fmt.Sprintf("%s %s %v", one.Policy, one.State, rules))
			}
			assert.Empty(t, cmp.Diff(tc.want, got), "(-want +got)")
		})
	}
}

func TestAPolicyThatCannotBeReadMatchesNothing(t *testing.T) {
	broken := clusterPolicies(t, `{mode: Enforce, match: {namespaceSelector: {matchExpressions: [{key: a, operator: Equals, values: [b]}]}}, require: {}}`)
	require.NotEmpty(t, broken[0].Fault)
	facts := shopFacts(t)
	facts.Policies = broken
	assert.Empty(t, ofPolicies(policy.Check(shop(t, "cart", nil, open), facts, policy.DefaultSettings())))
}

// Who is refused because of a policy that nobody can follow is told so.
func TestAPolicyThatNobodyCanFollow(t *testing.T) {
	const later = `{mode: Enforce, require: {authorizers: [later]}}`
	for name, tc := range map[string]struct {
		policy, rule string
		want         []string
	}{
		"an open rule": {later, open, []string{`deny: spec.rules[0]: Invalid value: "/*": ExtAuthPolicy p0 requires the authorizer later, but the rule says "noAuth: true"; ExtAuthPolicy p0 is not Ready, because nobody can comply: later not registered in a test; ask its owner to correct it, or for an exemption [PolicyViolation]`}},
		"a rule that does what it is told": {later, `path: /*, methods: [GET], extAuth: {authorizers: [later]}`, []string{
			`deny: spec.rules[0].extAuth.authorizers[0]: Invalid value: "later": not registered in a test, so every request would get 403 "RBAC: access denied"; registered: corp, oauth2-proxy; name one of these, or add it to spec.config.authorizers first; ExtAuthPolicy p0 asks for it and is not Ready as long as it is not registered: ask the owner of the policy [AuthorizerNotRegistered]`,
		}},
		"one of two can be followed": {`{mode: Enforce, require: {authorizers: [later, corp]}}`, open, []string{
			`deny: spec.rules[0]: Invalid value: "/*": ExtAuthPolicy p0 requires one of the authorizers corp, later, but the rule says "noAuth: true"; name one in extAuth.authorizers, or ask the owner of the policy for an exemption [PolicyViolation]`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			facts := shopFacts(t)
			facts.Policies = clusterPolicies(t, tc.policy)
			var said []string
			for _, one := range policy.Check(shop(t, "cart", nil, tc.rule), facts, policy.DefaultSettings()) {
				if one.Severity == policy.Deny {
					said = append(said, sentences([]policy.Finding{one})...)
				}
			}
			assert.Equal(t, tc.want, said)
		})
	}
}

func TestUnregistered(t *testing.T) {
	registry := policy.StaticRegistry("a test", []string{"corp"})
	cases := map[string]struct {
		policy string
		want   []string
	}{
		"one of the required is registered":  {`{mode: Audit, require: {authorizers: [corp, later]}}`, nil},
		"none of the required is registered": {`{mode: Audit, require: {authorizers: [later]}}`, []string{"later"}},
		"what is injected is not registered": {`{mode: Audit, inject: {authorizers: [corp, later]}}`, []string{"later"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, clusterPolicies(t, tc.policy)[0].Unregistered(registry))
		})
	}
}
