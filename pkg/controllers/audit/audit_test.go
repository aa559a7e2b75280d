// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func compile(t testing.TB, name, spec string) policy.ClusterPolicy {
	t.Helper()
	object := &v1alpha1.ExtAuthPolicy{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(spec), &object.Spec))
	object.Name, object.Generation = name, 7
	return policy.CompilePolicy(object)
}

// crowd returns a world with count APIRules in count/20 namespaces, each on a
// Service of its own: nine of ten protected, one open.
func crowd(t testing.TB, count int) *facts.World {
	t.Helper()
	world := facts.NewWorld("a test")
	world.SetIstio(istio.View{Namespace: istio.Namespace, Name: "default", Authorizers: []istio.Authorizer{
		{Name: "oauth2-proxy", Service: "oauth2-proxy.oauth2-proxy.svc.cluster.local", Port: 80, PathPrefix: "/verify?original="},
	}})
	world.SetMesh(&istio.Mesh{Providers: map[string]bool{"oauth2-proxy": true}})
	proxy := types.NamespacedName{Namespace: "oauth2-proxy", Name: "oauth2-proxy"}
	world.SetService(proxy, policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "oauth2-proxy"}), Ports: []int32{80}})
	world.SetEndpoints(proxy, "oauth2-proxy-1", true)
	world.SetGateway(types.NamespacedName{Namespace: "kyma-system", Name: "kyma-gateway"}, "example.com")
	world.SetPolicy(compile(t, "all", `{mode: Audit, require: {}}`))
	world.SetPolicy(compile(t, "hosts", `{mode: Enforce, match: {namespaceSelector: {matchLabels: {exposure: public}}, hosts: ["*.example.com"]}, require: {authorizers: [oauth2-proxy]}}`))
	for i := range count {
		namespace := fmt.Sprintf("ns-%04d", i/20)
		name := types.NamespacedName{Namespace: namespace, Name: fmt.Sprintf("app-%05d", i)}
		world.SetNamespace(namespace, policy.Namespace{Labels: map[string]string{"istio-injection": "enabled", "exposure": "public"}})
		world.SetService(name, policy.Service{Selector: policy.SelectorOf(map[string]string{"app": name.Name}), Ports: []int32{80}})
		world.SetAPIRule(rule(name, i%10 == 0))
	}
	return world
}

func rule(name types.NamespacedName, open bool) apirule.View {
	view := apirule.View{Namespace: name.Namespace, Name: name.Name, UID: types.UID(name.Name), Hosts: []string{name.Name}, Gateway: "kyma-system/kyma-gateway"}
	for i := range 5 {
		one := apirule.Rule{
			Index: i, Path: fmt.Sprintf("/path-%d/{**}", i), Methods: []string{"GET", "POST"}, Service: name, ServicePort: 80,
			Strategy: apirule.ExtAuth, Authorizers: []string{"oauth2-proxy"},
		}
		if open {
			one.Strategy, one.Authorizers = apirule.NoAuth, nil
		}
		view.Rules = append(view.Rules, one)
	}
	return view
}

func examineAll(ctx context.Context, b *book) {
	for _, view := range b.world.APIRules() {
		b.examine(ctx, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), view.NamespacedName())
	}
}

// BenchmarkAudit10000 is what one full round costs without writing: the budget is
// 2 s of one core.
func BenchmarkAudit10000(b *testing.B) {
	world := crowd(b, 10_000)
	start := used(b)
	for b.Loop() {
		verdicts := newBook(world, policy.DefaultSettings)
		examineAll(b.Context(), verdicts)
		summarize(b.Context(), verdicts, time.Time{})
	}
	b.ReportMetric((used(b)-start).Seconds()/float64(b.N), "cpu-s/op")
}

// used returns the processor time of this process, garbage collection included:
// the time on the clock says more about the other work of the machine.
func used(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkAuditOneOf10000 is what one change among 10,000 costs.
func BenchmarkAuditOneOf10000(b *testing.B) {
	world := crowd(b, 10_000)
	verdicts := newBook(world, policy.DefaultSettings)
	examineAll(b.Context(), verdicts)
	one := types.NamespacedName{Namespace: "ns-0000", Name: "app-00000"}
	for b.Loop() {
		verdicts.examine(b.Context(), time.Time{}, one)
		summarize(b.Context(), verdicts, time.Time{})
	}
}

func TestSummary(t *testing.T) {
	world := crowd(t, 300)
	world.SetPolicy(compile(t, "broken", `{mode: Audit, match: {namespaceSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}}, require: {}}`))
	world.SetPolicy(compile(t, "later", `{mode: Audit, match: {hosts: [nobody.example.com]}, require: {authorizers: [later]}}`))
	world.SetVirtualService(types.NamespacedName{Namespace: "ns-0000", Name: "raw"}, istio.VirtualService{Hosts: []string{"raw.example.com"}, Gateways: []string{"kyma-system/kyma-gateway"}})
	world.SetVirtualService(types.NamespacedName{Namespace: "ns-0000", Name: "inside"}, istio.VirtualService{Hosts: []string{"inside"}, Gateways: []string{"other/gateway"}})
	verdicts := newBook(world, policy.DefaultSettings)
	examineAll(t.Context(), verdicts)
	found := summarize(t.Context(), verdicts, time.Time{})

	counts := map[string]int{}
	for of, count := range found.hosts {
		counts[of.Kind+" "+of.Verdict] += count
	}
	assert.Empty(t, cmp.Diff(map[string]int{"APIRule Protected": 270, "APIRule Open": 30, "VirtualService Unknown": 1}, counts), "(-want +got)")
	all, hosts := found.statuses["all"], found.statuses["hosts"]
	assert.Equal(t, []int32{300, 270, 0, 30, 1}, []int32{all.Matched, all.Compliant, all.Exempt, all.Violating, all.Unguarded})
	assert.Equal(t, []int32{300, 270, 0, 30, 1}, []int32{hosts.Matched, hosts.Compliant, hosts.Exempt, hosts.Violating, hosts.Unguarded})
	assert.Equal(t, int64(7), all.ObservedGeneration)
	require.Len(t, all.Violations, maxListed)
	assert.Equal(t, "ns-0000/app-00000 0, ns-0001/app-00030 4", fmt.Sprintf("%s/%s %d, %s/%s %d",
		all.Violations[0].Namespace, all.Violations[0].Name, all.Violations[0].Rule,
		all.Violations[19].Namespace, all.Violations[19].Name, all.Violations[19].Rule), "in the order of namespace, name and rule")
	assert.Equal(t, []v1alpha1.UnguardedHost{{Namespace: "ns-0000", Name: "raw", Host: "raw.example.com", Gateway: "kyma-system/kyma-gateway"}}, all.UnguardedHosts)

	ready := map[string]string{}
	for name, status := range found.statuses {
		ready[name] = fmt.Sprintf("%s %s: %s", status.Conditions[0].Status, status.Conditions[0].Reason, status.Conditions[0].Message)
	}
	assert.Empty(t, cmp.Diff(map[string]string{
		"all":    "True InEffect: the policy is in effect",
		"hosts":  "True InEffect: the policy is in effect",
		"broken": `False Invalid: the policy matches nothing: spec.match.namespaceSelector: "Is" is not a valid label selector operator`,
		"later":  "False AuthorizerNotRegistered: nobody can comply: later not registered in the Istio CR kyma-system/default",
	}, ready), "(-want +got)")

	name := types.NamespacedName{Namespace: "ns-0000", Name: "app-00000"}
	before := verdicts.verdicts[name]
	require.NotEmpty(t, before.grave)
	world.SetAPIRule(rule(name, false))
	seen := verdicts.examine(t.Context(), time.Time{}, name)
	assert.Same(t, before, seen.before)
	assert.Empty(t, seen.after.grave)
	kept := map[*judged]bool{}
	for _, one := range verdicts.verdicts {
		kept[one] = true
	}
	assert.Less(t, len(kept), 40, "of 300 verdicts, of which 29 violate something, what is alike is kept once")
	world.DeleteAPIRule(name)
	assert.Nil(t, verdicts.examine(t.Context(), time.Time{}, name).after)
	assert.Equal(t, int32(299), summarize(t.Context(), verdicts, time.Time{}).statuses["all"].Matched)
}

// What somebody else's object does to an APIRule that was right is told, and counts.
func TestWhatOthersWiden(t *testing.T) {
	world := crowd(t, 20)
	verdicts := newBook(world, policy.DefaultSettings)
	examineAll(t.Context(), verdicts)
	work := newTodo()
	defer world.Subscribe(work.changed)()
	widened, shared := types.NamespacedName{Namespace: "ns-0000", Name: "app-00003"}, types.NamespacedName{Namespace: "ns-0000", Name: "app-00004"}
	world.SetAuthorizationPolicy(types.NamespacedName{Namespace: "ns-0000", Name: "open"}, &facts.AuthorizationPolicy{
		Selector: policy.SelectorOf(map[string]string{"app": widened.Name}), Allows: []istio.Allow{{}},
	})
	world.SetVirtualService(types.NamespacedName{Namespace: "web", Name: "raw"}, istio.VirtualService{Hosts: []string{shared.Name + ".example.com"}, Gateways: []string{"web/gateway"}})
	names, _ := work.take()
	assert.Subset(t, names, []types.NamespacedName{widened, shared})
	for name, want := range map[types.NamespacedName]policy.Code{widened: policy.ProtectionWidened, shared: policy.HostTaken} {
		seen := verdicts.examine(t.Context(), time.Time{}, name)
		if assert.Len(t, seen.grave, 1, "%s", name) {
			assert.Equal(t, want, seen.grave[0].Code)
		}
	}
	found := summarize(t.Context(), verdicts, time.Time{})
	assert.Equal(t, int32(1), found.statuses["all"].NotEnforced)
	assert.Equal(t, 1, found.hosts[metrics.HostsIn{Namespace: "ns-0000", Kind: apirule.Kind, Verdict: string(policy.NotEnforced)}])
	for _, code := range []policy.Code{policy.ProtectionWidened, policy.HostTaken} {
		assert.Equal(t, 1, found.findings[metrics.CodeIn{Code: string(code), Namespace: "ns-0000"}], code)
	}
}

func TestExemptions(t *testing.T) {
	one := compile(t, "p", `{mode: Audit, require: {}, exemptions: [
		{namespace: a, name: b, reason: r, owner: o, expires: "2027-01-01"},
		{namespace: a, name: c, reason: r, owner: o, expires: "2027-01-03"},
		{namespace: a, name: d, reason: r, owner: o, expires: "2027-02-01"}]}`)
	got := exemptions([]policy.ClusterPolicy{one, compile(t, "none", `{mode: Audit, require: {}}`)}, time.Date(2027, 1, 2, 12, 0, 0, 0, time.UTC))
	assert.Empty(t, cmp.Diff(map[string]metrics.Exemptions{"p": {Active: 2, Expired: 1, DaysLeft: 1.5}}, got), "(-want +got)")
}

func TestAChangeThatMattersToNobodyWakesNobody(t *testing.T) {
	world := crowd(t, 20)
	work := newTodo()
	defer world.Subscribe(work.changed)()
	world.SetService(types.NamespacedName{Namespace: "elsewhere", Name: "x"}, policy.Service{Selector: policy.SelectorOf(map[string]string{"a": "b"})})
	world.SetNamespace("elsewhere", policy.Namespace{Labels: map[string]string{"a": "b"}})
	world.SetEndpoints(types.NamespacedName{Namespace: "elsewhere", Name: "x"}, "s", true)
	assert.Empty(t, work.wake)
	world.SetService(types.NamespacedName{Namespace: "ns-0000", Name: "app-00003"}, policy.Service{Selector: policy.SelectorOf(map[string]string{"a": "b"})})
	require.Len(t, work.wake, 1)
	names, all := work.take()
	assert.Equal(t, []types.NamespacedName{{Namespace: "ns-0000", Name: "app-00003"}}, names)
	assert.False(t, all)
}

func TestAReportCountsAllAndListsABoundedNumber(t *testing.T) {
	content := &page{}
	world := crowd(t, 1)
	verdicts := newBook(world, policy.DefaultSettings)
	examineAll(t.Context(), verdicts)
	content.add(types.NamespacedName{Namespace: "a", Name: "b"}, nil, []policy.Assessment{{Policy: "p", State: policy.Exempt}, {Policy: "q", State: policy.Compliant}})
	verdicts.all(func(name types.NamespacedName, _ *judged) {
		for range 300 {
			again := verdicts.judge(t.Context(), time.Time{}, name)
			content.add(name, lasting(again.Findings), again.Assessments)
		}
	})
	object := content.object(reportKinds()[0], "a")
	assert.Empty(t, cmp.Diff(map[string]any{"pass": int64(1), "skip": int64(1), "fail": int64(3000), "warn": int64(0), "error": int64(0)}, object.Object["summary"]), "(-want +got)")
	assert.Len(t, object.Object["results"], maxResults)
	assert.Equal(t, metav1.ObjectMeta{Name: "extauth-guard", Namespace: "a"}, metav1.ObjectMeta{Name: object.GetName(), Namespace: object.GetNamespace()})
}

func TestAReportFitsIntoEtcdWhateverItsMessages(t *testing.T) {
	content := &page{}
	long := policy.Finding{Code: policy.RuleLeftOpen, Severity: policy.Warn, Err: field.Invalid(field.NewPath("spec"), "x", strings.Repeat("\x01", maxMessage))}
	for range 2 * maxResults {
		content.add(types.NamespacedName{Namespace: strings.Repeat("a", 63), Name: strings.Repeat("b", 253)}, []policy.Finding{long}, nil)
	}
	for _, kind := range reportKinds() {
		raw, err := json.Marshal(content.object(kind, "a").Object)
		require.NoError(t, err)
		assert.Less(t, len(raw), maxListedBytes+64<<10)
		assert.Greater(t, len(raw), maxListedBytes/2, "and it is not left empty either")
	}
	assert.Equal(t, int64(2*maxResults), content.warn, "what is not listed is counted")
}
