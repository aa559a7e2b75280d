// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package expose_test has Services exposed by the webhook binary as it ships, on
// a real API server.
package expose_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/extauth-guard/extauth-guard/test/harness/guard"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

const (
	namespace = "demo"
	status    = "extauth-guard.io/expose-status"
)

type fixture struct {
	*kyma.Cluster
	t *testing.T
}

func (f fixture) service(name string, ports ...int32) {
	f.t.Helper()
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": name}}}
	for _, port := range ports {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: fmt.Sprintf("p%d", port), Port: port})
	}
	_, err := f.Typed.CoreV1().Services(namespace).Create(f.t.Context(), service, metav1.CreateOptions{})
	require.NoError(f.t, err)
}

// annotate sets annotations; a nil value removes one.
func (f fixture) annotate(service string, annotations map[string]any) {
	f.t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	require.NoError(f.t, err)
	_, err = f.Typed.CoreV1().Services(namespace).Patch(f.t.Context(), service, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(f.t, err)
}

// says waits until an event on the Service has the sentence, and its APIRule, if it
// is exposed.
func (f fixture) says(service, want string) {
	f.t.Helper()
	f.Eventually("the Service "+service+" says "+want, func(ctx context.Context) (string, bool) {
		notes := f.Events(ctx, namespace, "Service", service)
		said := slices.ContainsFunc(notes, func(note string) bool { return strings.HasSuffix(note, "xposed: "+want) })
		if !strings.HasPrefix(want, "exposed") {
			return strings.Join(notes, "; "), said
		}
		object, err := f.APIRules(namespace).Get(ctx, service, metav1.GetOptions{})
		if err != nil {
			return err.Error(), false
		}
		return fmt.Sprint(notes, object.GetAnnotations()), said && object.GetAnnotations()[status] == want
	})
}

func (f fixture) spec(name string) any {
	f.t.Helper()
	object, err := f.APIRules(namespace).Get(f.t.Context(), name, metav1.GetOptions{})
	require.NoError(f.t, err)
	return object.Object["spec"]
}

func (f fixture) absent(name string) {
	f.t.Helper()
	_, err := f.APIRules(namespace).Get(f.t.Context(), name, metav1.GetOptions{})
	assert.True(f.t, apierrors.IsNotFound(err), "%v", err)
}

func (f fixture) gone(name string) {
	f.t.Helper()
	f.Eventually("the APIRule "+name+" is gone", func(ctx context.Context) (string, bool) {
		_, err := f.APIRules(namespace).Get(ctx, name, metav1.GetOptions{})
		return fmt.Sprint(err), apierrors.IsNotFound(err)
	})
}

const exposed = "exposed as %s.kyma.example.com by the APIRule %s, protected by oauth2-proxy"

func TestExpose(t *testing.T) {
	f := fixture{kyma.Start(t), t}
	f.Namespace(namespace, nil)
	f.Admission()
	replicas := []*guard.Process{f.Replica(nil), f.Replica(nil)}
	f.Leader(replicas...)

	t.Run("one annotation makes a protected APIRule within a second", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.service("httpbin", 8000)
		start := time.Now()
		f.annotate("httpbin", map[string]any{"extauth-guard.io/expose": "httpbin"})
		f.says("httpbin", fmt.Sprintf(exposed, "httpbin", "httpbin"))
		t.Logf("exposed after %s", time.Since(start))
		assert.Less(t, time.Since(start), 5*time.Second, "a second is what an idle machine needs")
		want := map[string]any{
			"hosts": []any{"httpbin"}, "gateway": kyma.Gateway,
			"service": map[string]any{"name": "httpbin", "port": int64(8000)},
			"rules": []any{map[string]any{
				"path": "/*", "methods": []any{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"},
				"extAuth": map[string]any{"authorizers": []any{"oauth2-proxy"}},
			}},
		}
		assert.Empty(t, cmp.Diff(want, f.spec("httpbin")), "(-want +got)")
		object, err := f.APIRules(namespace).Get(t.Context(), "httpbin", metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, int64(1), object.GetGeneration(), "protected from its first moment")
		owner := metav1.GetControllerOf(object)
		require.NotNil(t, owner)
		assert.Equal(t, "Service httpbin", owner.Kind+" "+owner.Name)
		f.Eventually("an event says so", func(ctx context.Context) (string, bool) {
			notes := f.Events(ctx, namespace, "Service", "httpbin")
			return strings.Join(notes, "; "), len(notes) == 1 && notes[0] == "Exposed: "+fmt.Sprintf(exposed, "httpbin", "httpbin")
		})
	})

	t.Run("companions change the APIRule", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.annotate("httpbin", map[string]any{"extauth-guard.io/expose": "bin", "extauth-guard.io/expose-path": "/api/{**}", "extauth-guard.io/expose-methods": "GET"})
		f.says("httpbin", fmt.Sprintf(exposed, "bin", "httpbin"))
		want := map[string]any{
			"hosts": []any{"bin"}, "gateway": kyma.Gateway,
			"service": map[string]any{"name": "httpbin", "port": int64(8000)},
			"rules":   []any{map[string]any{"path": "/api/{**}", "methods": []any{"GET"}, "extAuth": map[string]any{"authorizers": []any{"oauth2-proxy"}}}},
		}
		assert.Empty(t, cmp.Diff(want, f.spec("httpbin")), "(-want +got)")
	})

	t.Run("what somebody else did to the APIRule is undone", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		patch := `[{"op":"remove","path":"/spec/rules/0/extAuth"},{"op":"add","path":"/spec/rules/0/noAuth","value":true},{"op":"remove","path":"/metadata/annotations"}]`
		_, err := f.APIRules(namespace).Patch(t.Context(), "httpbin", types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
		require.NoError(t, err)
		f.Eventually("the rule is protected again", func(context.Context) (string, bool) {
			text, err := json.Marshal(f.spec("httpbin")) //nolint:contextcheck // the fixture has it
			return string(text), err == nil && !strings.Contains(string(text), "noAuth") && strings.Contains(string(text), `"oauth2-proxy"`)
		})
	})

	t.Run("without the annotation the APIRule goes", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.annotate("httpbin", map[string]any{"extauth-guard.io/expose": nil, "extauth-guard.io/expose-path": nil, "extauth-guard.io/expose-methods": nil})
		f.gone("httpbin")
	})

	t.Run("a host that is taken is never taken over, and is given when it is free", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.Apply(`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: first, namespace: demo}, spec: {hosts: [wanted.kyma.example.com], gateway: kyma-system/kyma-gateway, service: {name: httpbin, port: 8000}, rules: [{path: /*, methods: [GET], noAuth: true}]}}`)
		f.service("second", 80)
		f.annotate("second", map[string]any{"extauth-guard.io/expose": "wanted"})
		f.says("second", "not exposed: the host wanted.kyma.example.com is taken by the APIRule demo/first; choose another one")
		f.absent("second")
		require.NoError(t, f.APIRules(namespace).Delete(t.Context(), "first", metav1.DeleteOptions{}))
		f.says("second", fmt.Sprintf(exposed, "wanted", "second"))
	})

	t.Run("an APIRule with the name of the Service is never taken over", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.service("named", 80)
		f.Apply(`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: named, namespace: demo}, spec: {hosts: [another], gateway: kyma-system/kyma-gateway, service: {name: named, port: 80}, rules: [{path: /*, methods: [GET], noAuth: true}]}}`)
		before := f.spec("named")
		f.annotate("named", map[string]any{"extauth-guard.io/expose": "named"})
		f.says("named", "not exposed: there is an APIRule demo/named that does not belong to the Service, and it is never taken over; rename or delete it, or remove the annotation")
		assert.Empty(t, cmp.Diff(before, f.spec("named")))
		f.annotate("named", map[string]any{"extauth-guard.io/expose": nil})
		assert.Empty(t, cmp.Diff(before, f.spec("named")), "and it is not removed with the annotation either")
	})

	t.Run("what is wrong is said, and nothing is half made", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.Apply(`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: raw, namespace: demo}, spec: {hosts: [raw.kyma.example.com], gateways: [kyma-system/kyma-gateway]}}`)
		cases := map[string]struct {
			ports       []int32
			annotations map[string]any
			want        string
		}{
			"several-ports":  {[]int32{80, 8080}, map[string]any{"extauth-guard.io/expose": "a1"}, "not exposed: the Service has the ports 80, 8080: choose one with the annotation extauth-guard.io/expose-port"},
			"a-wrong-port":   {[]int32{80}, map[string]any{"extauth-guard.io/expose": "a2", "extauth-guard.io/expose-port": "81"}, "not exposed: the Service has no port 81, only 80: correct the annotation extauth-guard.io/expose-port"},
			"no-protection":  {[]int32{80}, map[string]any{"extauth-guard.io/expose": "a3", "extauth-guard.io/inject": "false"}, `not exposed: the Service says extauth-guard.io/inject: "false", but what is exposed by annotation is always protected; remove one of the two`},
			"no-authorizer":  {[]int32{80}, map[string]any{"extauth-guard.io/expose": "a4", "extauth-guard.io/authorizers": "later"}, `not exposed: spec.rules[0].extAuth.authorizers[0]: Invalid value: "later": not registered in the Istio CR kyma-system/default, so every request would get 403 "RBAC: access denied"; registered: oauth2-proxy; name one of these, or add it to spec.config.authorizers first [AuthorizerNotRegistered]`},
			"a-raw-host":     {[]int32{80}, map[string]any{"extauth-guard.io/expose": "raw"}, "not exposed: the host raw.kyma.example.com is taken by the VirtualService demo/raw; choose another one"},
			"a-refused-host": {[]int32{80}, map[string]any{"extauth-guard.io/expose": "a.b"}, ""},
		}
		for name, tc := range cases {
			f.service(name, tc.ports...)
			f.annotate(name, tc.annotations)
			if tc.want != "" {
				f.says(name, tc.want)
				f.Eventually("one event says so", func(ctx context.Context) (string, bool) {
					notes := f.Events(ctx, namespace, "Service", name)
					return strings.Join(notes, "; "), len(notes) == 1 && notes[0] == "NotExposed: "+tc.want
				})
			} else {
				f.Eventually("the words of the API server are passed on", func(ctx context.Context) (string, bool) {
					notes := f.Events(ctx, namespace, "Service", name)
					return strings.Join(notes, "; "), len(notes) == 1 && strings.HasPrefix(notes[0], "NotExposed: not exposed: the API server refused the APIRule: ")
				})
			}
			f.absent(name)
		}
		f.Apply(`{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: default, namespace: kyma-system}, spec: {config: {authorizers: [
			{name: oauth2-proxy, service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/verify?original="},
			{name: later, service: later.auth.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}]}}}`)
		f.says("no-authorizer", "exposed as a4.kyma.example.com by the APIRule no-authorizer, protected by later")
	})

	t.Run("a malformed value is refused where it is written", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		_, err := f.Typed.CoreV1().Services(namespace).Patch(t.Context(), "named", types.MergePatchType,
			[]byte(`{"metadata":{"annotations":{"extauth-guard.io/expose":"https://x"}}}`), metav1.PatchOptions{})
		assert.ErrorContains(t, err, `metadata.annotations[extauth-guard.io/expose]: Invalid value: "https://x": must be a host`)
	})

	t.Run("the other replica goes on when the leader is killed", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		leader := f.Leader(replicas...)
		leader.Kill()
		f.service("after", 80)
		f.annotate("after", map[string]any{"extauth-guard.io/expose": "after"})
		f.says("after", fmt.Sprintf(exposed, "after", "after"))
		assert.NotSame(t, leader, f.Leader(replicas...))
		assert.Equal(t, []string{"Exposed: " + fmt.Sprintf(exposed, "wanted", "second"), "NotExposed: not exposed: the host wanted.kyma.example.com is taken by the APIRule demo/first; choose another one"},
			sorted(f.Events(t.Context(), namespace, "Service", "second")), "what was said before is not said again")
	})
}

func sorted(texts []string) []string {
	slices.Sort(texts)
	return texts
}
