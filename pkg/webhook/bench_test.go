// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// The benchmarks send an AdmissionReview as the API server does, without the
// network: bytes in, bytes out. Compare them with NoOp of the same run only.

func BenchmarkNoOp(b *testing.B)            { benchmark(b, noOp(b), review(b, openRules)) }
func BenchmarkMutateInjects(b *testing.B)   { benchmark(b, mutating(b, 10), review(b, openRules)) }
func BenchmarkMutateLeaves(b *testing.B)    { benchmark(b, mutating(b, 10), review(b, leftAlone)) }
func BenchmarkValidateAccepts(b *testing.B) { benchmark(b, validating(b, 10), review(b, injected)) }
func BenchmarkValidateLeaves(b *testing.B)  { benchmark(b, validating(b, 10), review(b, leftAlone)) }

func BenchmarkMutateInjectsAmong10000(b *testing.B) {
	benchmark(b, mutating(b, 10_000), review(b, openRules))
}

func BenchmarkValidateAcceptsAmong10000(b *testing.B) {
	benchmark(b, validating(b, 10_000), review(b, injected))
}

// gateVariable asks for the gate: it needs seconds and a machine that does not
// do much else, so it is no part of the other tests.
const gateVariable = "EXTAUTH_BENCH_GATE"

// A handler may cost at most this many times a handler that does nothing.
const gate = 1.5

// The handlers take turns in short blocks, so that whatever else the machine
// does meets all of them. What decides is processor time, which others take less
// part in than in time on the clock.
func TestHandlersCostAboutWhatDoingNothingCosts(t *testing.T) {
	if os.Getenv(gateVariable) == "" {
		t.Skipf("measures for some seconds; make bench-gate sets %s", gateVariable)
	}
	cases := map[string]struct {
		handler http.Handler
		body    []byte
	}{
		"injecting":                  {mutating(t, 10_000), review(t, openRules)},
		"accepting what is injected": {validating(t, 10_000), review(t, injected)},
		"mutating leaves alone":      {mutating(t, 10_000), review(t, leftAlone)},
		"validating leaves alone":    {validating(t, 10_000), review(t, leftAlone)},
	}
	nothing := noOp(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var ours, theirs taken
			for range 60 {
				theirs.block(t, nothing, tc.body)
				ours.block(t, tc.handler, tc.body)
			}
			for _, percent := range []int{50, 99} {
				one, other := percentile(ours.clock, percent), percentile(theirs.clock, percent)
				t.Logf("p%d: %.2f times a handler that does nothing (%s, %s)", percent, float64(one)/float64(other), one, other)
			}
			one, other := percentile(ours.processor, 50), percentile(theirs.processor, 50)
			ratio := float64(one) / float64(other)
			t.Logf("processor time: %.2f times a handler that does nothing (%s, %s)", ratio, one, other)
			assert.LessOrEqual(t, ratio, gate, "go test -bench . -cpuprofile says where the time goes")
		})
	}
}

// taken is the time of each request by the clock, and the mean processor time of
// a request in each block.
type taken struct{ clock, processor []time.Duration }

func (took *taken) block(tb testing.TB, handler http.Handler, body []byte) {
	tb.Helper()
	const requests = 200
	begin := processorTime(tb)
	for range requests {
		start := time.Now()
		send(handler, body)
		took.clock = append(took.clock, time.Since(start))
	}
	took.processor = append(took.processor, (processorTime(tb)-begin)/requests)
}

// processorTime is what this process has used so far, collecting garbage
// included.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func percentile(of []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[(len(sorted)-1)*percent/100]
}

func benchmark(b *testing.B, handler http.Handler, body []byte) {
	b.Helper()
	answer := send(handler, body)
	require.Contains(b, answer, `"allowed":true`)
	b.ReportAllocs()
	begin := processorTime(b)
	for b.Loop() {
		send(handler, body)
	}
	b.ReportMetric(float64(processorTime(b)-begin)/float64(b.N), "cpu-ns/op")
}

func send(handler http.Handler, body []byte) string {
	request := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder.Body.String()
}

// noOp is the webhook of controller-runtime itself.
func noOp(tb testing.TB) http.Handler {
	tb.Helper()
	return serving(&admission.Webhook{
		Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") }),
	})
}

func mutating(tb testing.TB, size int) http.Handler {
	tb.Helper()
	return serving(endpoint(&webhook.Injector{Decider: measured(tb, size)}, discarding()))
}

func validating(tb testing.TB, size int) http.Handler {
	tb.Helper()
	return serving(endpoint(&webhook.Validator{Decider: measured(tb, size)}, discarding()))
}

// serving wraps a webhook as the server of controller-runtime does.
func serving(hook http.Handler) http.Handler {
	mux := http.NewServeMux()
	ctrlwebhook.NewServer(ctrlwebhook.Options{WebhookMux: mux}).Register("/", hook)
	return mux
}

// discarding is the real log, written to nowhere.
func discarding() logr.Logger {
	return logr.FromSlogHandler(slog.NewJSONHandler(io.Discard, nil))
}

func measured(tb testing.TB, size int) webhook.Decider {
	tb.Helper()
	counted, err := metrics.NewAdmission(prometheus.NewRegistry())
	require.NoError(tb, err)
	return webhook.Decider{
		Source:  crowded(size),
		Metrics: counted, Now: time.Now,
		Settings: policy.DefaultSettings,
	}
}

// crowded has size APIRules, each with a Service of its own, and a tenth as many
// authorizers.
func crowded(size int) *facts.World {
	world := facts.NewWorld("not read yet")
	cr := istio.View{Namespace: istio.Namespace, Name: "default", State: "Ready"}
	mesh := istio.Mesh{Providers: map[string]bool{}}
	for i := range max(1, size/10) {
		name := "oauth2-proxy"
		if i > 0 {
			name = fmt.Sprintf("authorizer-%d", i)
		}
		cr.Authorizers = append(cr.Authorizers, istio.Authorizer{
			Index: i, Name: name, Service: name + ".auth.svc.cluster.local", Port: 80, PathPrefix: "/verify?original=",
		})
		mesh.Providers[name] = true
		service := types.NamespacedName{Namespace: "auth", Name: name}
		world.SetService(service, policy.Service{Selector: policy.SelectorOf(map[string]string{"app": name}), Ports: []int32{80}})
		world.SetEndpoints(service, name, true)
	}
	world.SetIstio(cr)
	world.SetMesh(&mesh)
	world.SetNamespace("shop", policy.Namespace{Labels: map[string]string{"istio-injection": "enabled"}})
	for i := range size {
		name := types.NamespacedName{Namespace: "shop", Name: fmt.Sprintf("app-%d", i)}
		world.SetService(name, policy.Service{Selector: policy.SelectorOf(map[string]string{"app": name.Name}), Ports: []int32{80}})
		if i > 0 { // the first Service is that of the request
			world.SetAPIRule(apirule.Parse(object(name.Name, injected), ""))
		}
	}
	return world
}

// The three states of the five rules of a request.
const (
	openRules = `{"path":"/%d","methods":["GET","POST"]}`
	injected  = `{"path":"/%d","methods":["GET","POST"],"extAuth":{"authorizers":["oauth2-proxy"]}}`
	leftAlone = `{"path":"/%d","methods":["GET","POST"],"noAuth":true}`
)

func object(name, rule string) map[string]any {
	var rules []any
	for i := range 5 {
		var value any
		if err := json.Unmarshal(fmt.Appendf(nil, rule, i), &value); err != nil {
			panic(err)
		}
		rules = append(rules, value)
	}
	annotations := map[string]any{}
	if rule != leftAlone {
		annotations["extauth-guard.io/inject"] = "true"
	}
	return map[string]any{
		"apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
		"metadata": map[string]any{"name": name, "namespace": "shop", "annotations": annotations},
		"spec": map[string]any{
			"hosts": []any{name}, "gateway": "kyma-system/kyma-gateway",
			"service": map[string]any{"name": name, "port": int64(80)}, "rules": rules,
		},
	}
}

func review(tb testing.TB, rule string) []byte {
	tb.Helper()
	raw, err := json.Marshal(withManagedFields(tb, object("app-0", rule)))
	require.NoError(tb, err)
	resource := metav1.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}
	kind := metav1.GroupVersionKind{Group: "gateway.kyma-project.io", Version: "v2", Kind: "APIRule"}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "705ab4f5-6393-11e8-b7cc-42010a800002", Kind: kind, Resource: resource, RequestKind: &kind, RequestResource: &resource,
			Name: "app-0", Namespace: "shop", Operation: admissionv1.Create,
			UserInfo: authenticationv1.UserInfo{Username: "kubernetes-admin", Groups: []string{"system:masters", "system:authenticated"}},
			Object:   runtime.RawExtension{Raw: raw},
			Options:  runtime.RawExtension{Raw: []byte(`{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}`)},
		},
	})
	require.NoError(tb, err)
	return body
}

// withManagedFields adds what the API server adds before it asks a webhook: for
// each field, who manages it.
func withManagedFields(tb testing.TB, object map[string]any) map[string]any {
	tb.Helper()
	fields := map[string]any{
		"f:metadata": map[string]any{"f:annotations": map[string]any{".": map[string]any{}, "f:extauth-guard.io/inject": map[string]any{}}},
		"f:spec": map[string]any{
			".": map[string]any{}, "f:gateway": map[string]any{}, "f:hosts": map[string]any{}, "f:rules": map[string]any{},
			"f:service": map[string]any{".": map[string]any{}, "f:name": map[string]any{}, "f:port": map[string]any{}},
		},
	}
	metadata, ok := object["metadata"].(map[string]any)
	require.True(tb, ok)
	metadata["uid"], metadata["generation"], metadata["creationTimestamp"] = "705ab4f5-6393-11e8-b7cc-42010a800001", 1, "2026-01-01T00:00:00Z"
	metadata["managedFields"] = []any{map[string]any{
		"manager": "kubectl-create", "operation": "Update", "apiVersion": "gateway.kyma-project.io/v2",
		"time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields,
	}}
	return object
}
