// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package permissions_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/app/serve"
	"github.com/extauth-guard/extauth-guard/pkg/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

const secretName = "extauth-guard-tls"

// scene is one thing that the server does for its permissions. act brings it
// about, and done says what is missing yet, or "".
type scene struct {
	name string
	act  func(t *testing.T, p *playing)
	done func(ctx context.Context, p *playing) string
}

// scenesFor are those that show what a permission is for.
func scenesFor(taken permission) []scene {
	if taken.verb == "get" && taken.group == "" && (taken.resource == "services" || taken.resource == "namespaces") {
		return lateScenes()
	}
	if taken.verb == "watch" {
		return watchScenes(taken)
	}
	return scenes()
}

// watchScenes show what a watch is for. Without it a change is seen all the same,
// but late: by listing everything again and again.
func watchScenes(taken permission) []scene {
	return []scene{{"changes are seen at once, and not by listing everything again and again", nil, func(_ context.Context, p *playing) string {
		return unless(!slices.Contains(p.seen.refusals(), taken.what()) && p.seen.watches(taken), nil)
	}}}
}

// lateScenes show what a Service and a Namespace are read for directly: the
// watches have not delivered them yet.
func lateScenes() []scene {
	return []scene{
		{"the server is ready", nil, ready},
		{"a Namespace of this moment decides", func(t *testing.T, p *playing) {
			p.namespace += "-late"
			p.stage.namespace(t, p.namespace, map[string]string{"istio-injection": "enabled"})
			p.annotate(t, "namespaces", "", p.namespace, map[string]any{"extauth-guard.io/inject": "true"})
		}, func(ctx context.Context, p *playing) string { return p.injects(ctx, "nobody") }},
		{"a Service of this moment decides", func(t *testing.T, p *playing) {
			p.service(t, "late")
			p.annotate(t, "namespaces", "", p.namespace, map[string]any{"extauth-guard.io/inject": nil})
			p.annotate(t, "services", p.namespace, "late", map[string]any{"extauth-guard.io/inject": "true"})
		}, func(ctx context.Context, p *playing) string { return p.injects(ctx, "late") }},
	}
}

func scenes() []scene {
	return []scene{
		{"the server is ready", nil, ready},
		{"its certificate is stored", nil, func(ctx context.Context, p *playing) string {
			secret, err := p.typed.CoreV1().Secrets(chart.Namespace).Get(ctx, secretName, metav1.GetOptions{})
			return unless(err == nil && len(secret.Data["tls.crt"]) > 0, err)
		}},
		{"the mutating webhooks trust it", nil, func(ctx context.Context, p *playing) string {
			found, err := p.typed.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, webhook.ConfigurationName, metav1.GetOptions{})
			return unless(err == nil && len(found.Webhooks[0].ClientConfig.CABundle) > 0, err)
		}},
		{"the validating webhooks trust it", nil, func(ctx context.Context, p *playing) string {
			found, err := p.typed.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, webhook.ConfigurationName, metav1.GetOptions{})
			return unless(err == nil && len(found.Webhooks[0].ClientConfig.CABundle) > 0, err)
		}},
		{"a replica leads, and goes on leading", nil, func(ctx context.Context, p *playing) string {
			lease, err := p.typed.CoordinationV1().Leases(chart.Namespace).Get(ctx, serve.LeaseName, metav1.GetOptions{})
			return unless(err == nil && lease.Spec.AcquireTime != nil && lease.Spec.RenewTime.After(lease.Spec.AcquireTime.Time), err)
		}},
		{"an ExtAuthGuard says how it is", func(t *testing.T, p *playing) {
			p.apply(t, fmt.Sprintf(`{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthGuard, metadata: {name: default, namespace: %s}}`, chart.Namespace))
		}, func(ctx context.Context, p *playing) string {
			found, err := p.at("extauth-guard.io/v1alpha1", "extauthguards", chart.Namespace).Get(ctx, "default", metav1.GetOptions{})
			if err != nil {
				return err.Error()
			}
			state, _, err := unstructured.NestedString(found.Object, "status", "state")
			return unless(state != "", err)
		}},
		{"an annotated Service is exposed", func(t *testing.T, p *playing) {
			p.service(t, "web")
			p.annotate(t, "services", p.namespace, "web", map[string]any{"extauth-guard.io/expose": p.namespace})
		}, func(ctx context.Context, p *playing) string { return p.rule(ctx, p.namespace, "web", `"oauth2-proxy"`) }},
		{"the APIRule says so", nil, func(ctx context.Context, p *playing) string {
			rule, err := p.apirules(p.namespace).Get(ctx, "web", metav1.GetOptions{})
			return unless(err == nil && strings.HasPrefix(rule.GetAnnotations()["extauth-guard.io/expose-status"], "exposed as"), err)
		}},
		{"an event says so", nil, func(ctx context.Context, p *playing) string {
			list, err := p.typed.EventsV1().Events(p.namespace).List(ctx, metav1.ListOptions{})
			return unless(err == nil && len(list.Items) > 0, err)
		}},
		{"a companion changes what is exposed", func(t *testing.T, p *playing) {
			p.annotate(t, "services", p.namespace, "web", map[string]any{"extauth-guard.io/expose-path": "/api"})
		}, func(ctx context.Context, p *playing) string { return p.rule(ctx, p.namespace, "web", `"/api"`) }},
		{"without the annotation it is exposed no longer", func(t *testing.T, p *playing) {
			p.annotate(t, "services", p.namespace, "web", map[string]any{"extauth-guard.io/expose": nil, "extauth-guard.io/expose-path": nil})
		}, func(ctx context.Context, p *playing) string {
			_, err := p.apirules(p.namespace).Get(ctx, "web", metav1.GetOptions{})
			return unless(apierrors.IsNotFound(err), err)
		}},
		{"an annotation on a Namespace reaches what is there", func(t *testing.T, p *playing) {
			p.open(t, p.namespace, "old")
			p.annotate(t, "namespaces", "", p.namespace, map[string]any{"extauth-guard.io/inject": "true", "extauth-guard.io/replace": "noAuth"})
		}, func(ctx context.Context, p *playing) string { return p.rule(ctx, p.namespace, "old", `"oauth2-proxy"`) }},
		{"the API server's own policies are told about the cluster", nil, func(ctx context.Context, p *playing) string {
			told, err := p.typed.CoreV1().ConfigMaps(chart.Namespace).Get(ctx, guarantee.ConfigMap, metav1.GetOptions{})
			return unless(err == nil && told.Data[guarantee.Authorizers] == "oauth2-proxy", err)
		}},
		{"a policy counts who violates it", func(t *testing.T, p *playing) {
			p.open(t, p.audited(), "one")
			p.policy(t, p.audited())
		}, func(ctx context.Context, p *playing) string { return p.violating(ctx, 1) }},
		{"a report says it", nil, func(ctx context.Context, p *playing) string { return p.reports(ctx, "one") }},
		{
			"a report follows", func(t *testing.T, p *playing) { p.open(t, p.audited(), "two") },
			func(ctx context.Context, p *playing) string { return p.reports(ctx, "one", "two") },
		},
		{
			"a policy that is about others counts nobody", func(t *testing.T, p *playing) { p.policy(t, "nobody") },
			func(ctx context.Context, p *playing) string { return p.violating(ctx, 0) },
		},
		{
			"an event that is repeated is counted", func(t *testing.T, p *playing) { p.policy(t, p.audited()) },
			func(ctx context.Context, p *playing) string {
				list, err := p.typed.EventsV1().Events(p.audited()).List(ctx, metav1.ListOptions{})
				counted := err == nil && slices.ContainsFunc(list.Items, func(event eventsv1.Event) bool { return event.Series != nil })
				return unless(counted, err)
			},
		},
		{"a report ends", func(t *testing.T, p *playing) {
			for _, name := range []string{"one", "two"} {
				require.NoError(t, p.apirules(p.audited()).Delete(t.Context(), name, metav1.DeleteOptions{}))
			}
		}, func(ctx context.Context, p *playing) string {
			list, err := p.at(p.reportKind.apiVersion, p.reportKind.resource, p.audited()).List(ctx, metav1.ListOptions{})
			return unless(err == nil && len(list.Items) == 0, err)
		}},
	}
}

// unless is "" if something is so.
func unless(so bool, err error) string {
	if so {
		return ""
	}
	return fmt.Sprintf("not yet: %v", err)
}

func ready(ctx context.Context, p *playing) string {
	asked, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.settings.Probes.Address+"/readyz", http.NoBody)
	if err != nil {
		return err.Error()
	}
	response, err := http.DefaultClient.Do(asked)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }() // it was not read
	return unless(response.StatusCode == http.StatusOK, nil)
}

// reset makes what a server finds when it starts for the first time.
func (s *stage) reset(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	ignore := func(err error) {
		if !apierrors.IsNotFound(err) {
			require.NoError(t, err)
		}
	}
	ignore(s.typed.CoordinationV1().Leases(chart.Namespace).Delete(ctx, serve.LeaseName, metav1.DeleteOptions{}))
	ignore(s.typed.CoreV1().Secrets(chart.Namespace).Delete(ctx, secretName, metav1.DeleteOptions{}))
	_, err := s.typed.CoreV1().Secrets(chart.Namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretName}}, metav1.CreateOptions{})
	require.NoError(t, err)
	ignore(s.typed.CoreV1().ConfigMaps(chart.Namespace).Delete(ctx, guarantee.ConfigMap, metav1.DeleteOptions{}))
	_, err = s.typed.CoreV1().ConfigMaps(chart.Namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: guarantee.ConfigMap}}, metav1.CreateOptions{})
	require.NoError(t, err)
	// Webhooks as they ship, but for what nobody writes: the server is not called.
	registration := webhook.Registration{Client: func(path string) admissionregistrationv1.WebhookClientConfig {
		return admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{Namespace: chart.Namespace, Name: "extauth-guard", Path: new(path)}}
	}}
	mutating, validating := registration.Mutating(), registration.Validating()
	mutating.Webhooks, validating.Webhooks = mutating.Webhooks[:1], validating.Webhooks[:1]
	mutating.Webhooks[0].Rules[0].APIGroups, validating.Webhooks[0].Rules[0].APIGroups = []string{"nobody.example.com"}, []string{"nobody.example.com"}
	api := s.typed.AdmissionregistrationV1()
	ignore(api.MutatingWebhookConfigurations().Delete(ctx, webhook.ConfigurationName, metav1.DeleteOptions{}))
	ignore(api.ValidatingWebhookConfigurations().Delete(ctx, webhook.ConfigurationName, metav1.DeleteOptions{}))
	_, err = api.MutatingWebhookConfigurations().Create(ctx, mutating, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = api.ValidatingWebhookConfigurations().Create(ctx, validating, metav1.CreateOptions{})
	require.NoError(t, err)
}

// clear removes what an audit of a later run would find.
func (s *stage) clear(t *testing.T, p *playing) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, s.at("extauth-guard.io/v1alpha1", "extauthpolicies", "").DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	require.NoError(t, s.at("extauth-guard.io/v1alpha1", "extauthguards", chart.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	services, err := s.typed.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	for _, service := range services.Items {
		if strings.HasPrefix(service.Namespace, "play-") {
			require.NoError(t, s.typed.CoreV1().Services(service.Namespace).Delete(ctx, service.Name, metav1.DeleteOptions{}))
		}
	}
	for _, namespace := range []string{p.namespace, p.audited()} {
		require.NoError(t, s.apirules(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
		require.NoError(t, s.at(s.reportKind.apiVersion, s.reportKind.resource, namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	}
}

func (s *stage) at(apiVersion, resource, namespace string) dynamic.ResourceInterface {
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = "", apiVersion
	}
	all := s.untyped.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: resource})
	if namespace == "" {
		return all
	}
	return all.Namespace(namespace)
}

func (s *stage) apirules(namespace string) dynamic.ResourceInterface {
	return s.at("gateway.kyma-project.io/v2", "apirules", namespace)
}

func (s *stage) apply(t *testing.T, text string) {
	t.Helper()
	object := &unstructured.Unstructured{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), &object.Object))
	resource := map[string]string{"ExtAuthPolicy": "extauthpolicies"}[object.GetKind()]
	if resource == "" {
		resource = strings.ToLower(object.GetKind()) + "s"
	}
	_, err := s.at(object.GetAPIVersion(), resource, object.GetNamespace()).Apply(t.Context(), object.GetName(), object,
		metav1.ApplyOptions{FieldManager: "test", Force: true})
	require.NoError(t, err, "%s", text)
}

// open stores an APIRule that anybody may call.
func (s *stage) open(t *testing.T, namespace, name string) {
	t.Helper()
	s.apply(t, fmt.Sprintf(`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: %[2]s, namespace: %[1]s}, spec: {
		hosts: [%[2]s-%[1]s], gateway: kyma-system/kyma-gateway, service: {name: %[2]s, port: 80}, rules: [{path: /*, methods: [GET], noAuth: true}]}}`, namespace, name))
}

func (p *playing) service(t *testing.T, name string) {
	t.Helper()
	_, err := p.typed.CoreV1().Services(p.namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

func (s *stage) annotate(t *testing.T, resource, namespace, name string, annotations map[string]any) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	require.NoError(t, err)
	_, err = s.at("v1", resource, namespace).Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
}

// rule says that the rules of an APIRule lack something.
func (s *stage) rule(ctx context.Context, namespace, name, want string) string {
	object, err := s.apirules(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	rules, _, _ := unstructured.NestedSlice(object.Object, "spec", "rules") // none is printed as null
	raw, err := json.Marshal(rules)
	return unless(err == nil && bytes.Contains(raw, []byte(want)), err)
}

// policy is about the namespaces with a label.
func (p *playing) policy(t *testing.T, label string) {
	t.Helper()
	p.apply(t, fmt.Sprintf(`{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: %s}, spec: {mode: Audit, require: {},
		match: {namespaceSelector: {matchLabels: {play: %s}}}}}`, p.audited(), label))
}

// violating says that the policy counts another number.
func (p *playing) violating(ctx context.Context, want int64) string {
	policy, err := p.at("extauth-guard.io/v1alpha1", "extauthpolicies", "").Get(ctx, p.audited(), metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	observed, _, _ := unstructured.NestedInt64(policy.Object, "status", "observedGeneration") // 0 until there is one
	violating, _, err := unstructured.NestedInt64(policy.Object, "status", "violating")
	return unless(err == nil && observed == policy.GetGeneration() && violating == want, err)
}

// reports says that the report of the audited namespace is not about these
// APIRules.
func (p *playing) reports(ctx context.Context, names ...string) string {
	list, err := p.at(p.reportKind.apiVersion, p.reportKind.resource, p.audited()).List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		return unless(false, err)
	}
	raw, err := json.Marshal(list.Items[0].Object["results"])
	if err != nil {
		return err.Error()
	}
	for _, name := range names {
		if !bytes.Contains(raw, []byte(`"name":"`+name+`"`)) {
			return name + " is not in it"
		}
	}
	return ""
}

// injects asks the server itself about an APIRule in front of a Service.
func (p *playing) injects(ctx context.Context, service string) string {
	rule := fmt.Sprintf(`{"apiVersion":"gateway.kyma-project.io/v2","kind":"APIRule","metadata":{"name":"r","namespace":%q},"spec":{"hosts":["r"],
		"gateway":"kyma-system/kyma-gateway","service":{"name":%q,"port":80},"rules":[{"path":"/*","methods":["GET"]}]}}`, p.namespace, service)
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "1", Operation: admissionv1.Create, Name: "r", Namespace: p.namespace,
			Kind:     metav1.GroupVersionKind{Group: "gateway.kyma-project.io", Version: "v2", Kind: "APIRule"},
			Resource: metav1.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"},
		},
	}
	review.Request.Object.Raw = []byte(rule)
	body, err := json.Marshal(review)
	if err != nil {
		return err.Error()
	}
	url := "https://" + net.JoinHostPort(p.settings.Server.Host, strconv.Itoa(p.settings.Server.Port)) + webhook.MutateAPIRulePath
	asked, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	asked.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the loopback, and its certificate is for a Service
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(asked)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }() // it is read to its end
	var answer admissionv1.AdmissionReview
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Response == nil {
		return unless(false, err)
	}
	if !bytes.Contains(answer.Response.Patch, []byte("oauth2-proxy")) {
		return "the patch is " + base64.StdEncoding.EncodeToString(answer.Response.Patch)
	}
	return ""
}
