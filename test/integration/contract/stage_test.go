// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package contract_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// stage is a cluster with the webhook binary as it ships, and the world that the
// samples expect.
type stage struct {
	*kyma.Cluster
	guard      *guard.Process
	kubeconfig string
	// unseen is a writer whom the webhooks never hear of: Kyma's controller.
	unseen dynamic.Interface
	// hosts is what the last audit counted in the namespace of the last manifest.
	hosts map[policy.Verdict]int
	// verdicts counts what everybody said.
	verdicts map[policy.Verdict]int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{Cluster: kyma.Start(t), kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"), verdicts: map[policy.Verdict]int{}}
	require.NoError(t, s.Plane.WriteKubeconfig(s.kubeconfig))
	unseen := s.Plane.AsServiceAccount("kyma-system", "api-gateway-controller-manager")
	unseen.Impersonate.Groups = append(unseen.Impersonate.Groups, "system:masters") // what it may do is not the point
	var err error
	s.unseen, err = dynamic.NewForConfig(unseen)
	require.NoError(t, err)
	for _, object := range world(t) {
		s.apply(t, object)
	}
	s.guard = s.Admission()
	s.reset(t, fixture{}) // returns once the webhooks are called
	return s
}

// worldText is that of the integration tests of the webhooks, which the samples
// are written for.
func worldText(t *testing.T, withIstio bool) string {
	t.Helper()
	raw, err := os.ReadFile(checkout.Path(t, "test/integration/webhook/testdata/world.yaml"))
	require.NoError(t, err)
	var kept []string
	for document := range strings.SplitSeq(string(raw), "\n---\n") {
		if withIstio || !strings.Contains(document, "kind: Istio\n") {
			kept = append(kept, document)
		}
	}
	return strings.Join(kept, "\n---\n")
}

func world(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for document := range strings.SplitSeq(worldText(t, true), "\n---\n") {
		all = append(all, kyma.Object(t, document))
	}
	return all
}

// at returns a client for the kind, version and namespace of an object.
func (s *stage) at(client dynamic.Interface, object *unstructured.Unstructured) dynamic.ResourceInterface {
	kind := object.GroupVersionKind()
	plural := strings.ToLower(kind.Kind) + "s"
	if stem, found := strings.CutSuffix(plural, "ys"); found {
		plural = stem + "ies"
	}
	resource := client.Resource(schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: plural})
	if object.GetNamespace() == "" {
		return resource
	}
	return resource.Namespace(object.GetNamespace())
}

// until waits until check says true; what it says besides is shown if it never
// does.
func until(t *testing.T, what string, check func(context.Context) (string, bool)) {
	t.Helper()
	var last string
	err := wait.PollUntilContextTimeout(context.WithoutCancel(t.Context()), 10*time.Millisecond, 15*time.Second, true, func(ctx context.Context) (bool, error) {
		text, done := check(ctx)
		if ctx.Err() == nil {
			last = text
		}
		return done, nil
	})
	require.NoError(t, err, "%s; last seen: %s", what, last)
}

func (s *stage) apply(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	_, err := s.at(s.Untyped, object).Apply(t.Context(), object.GetName(), object, metav1.ApplyOptions{FieldManager: "test", Force: true})
	require.NoError(t, err, "%s %s", object.GetKind(), object.GetName())
}

// prepare makes the cluster what a fixture expects.
func (s *stage) prepare(t *testing.T, f fixture) {
	t.Helper()
	registration, err := guard.Registration(s.guard.Settings)
	require.NoError(t, err)
	switch f.given {
	case "":
	case "no Istio CR":
		require.NoError(t, s.istios().Delete(t.Context(), "default", metav1.DeleteOptions{}))
	case "no mutating webhook":
		require.NoError(t, s.Typed.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(t.Context(), registration.Mutating().Name, metav1.DeleteOptions{}))
	default:
		t.Fatalf("what is given is not known: %q", f.given)
	}
	for _, object := range f.before {
		s.apply(t, object)
	}
}

func (s *stage) istios() dynamic.ResourceInterface {
	return s.Untyped.Resource(schema.GroupVersionResource{Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"}).Namespace("kyma-system")
}

// reset removes what a fixture left, apart from namespaces, which a control plane
// without controllers cannot remove, and makes the world what it was. It returns
// once the webhooks have noticed.
func (s *stage) reset(t *testing.T, f fixture) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	ofWorld := map[string]bool{}
	for _, object := range world(t) {
		ofWorld[object.GetKind()+object.GetNamespace()+"/"+object.GetName()] = true
	}
	all := f.before
	if f.last != nil {
		all = append(all, f.last)
	}
	for _, object := range all {
		if object.GetKind() == "Namespace" || ofWorld[object.GetKind()+object.GetNamespace()+"/"+object.GetName()] {
			continue
		}
		if err := s.at(s.Untyped, object).Delete(ctx, object.GetName(), metav1.DeleteOptions{}); err != nil {
			require.True(t, apierrors.IsNotFound(err), "%v", err)
		}
	}
	if f.given == "no mutating webhook" {
		registration, err := guard.Registration(s.guard.Settings)
		require.NoError(t, err)
		_, err = s.Typed.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx, registration.Mutating(), metav1.CreateOptions{})
		require.NoError(t, err)
	}
	for _, object := range world(t) {
		until(t, "the world is what it was", func(ctx context.Context) (string, bool) {
			_, err := s.at(s.Untyped, object).Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "test", Force: true})
			if err != nil {
				return err.Error(), false
			}
			return "", true
		})
	}
	s.settle(t)
}

// settle waits until the webhooks are called and know the world: the rules of a
// Service that nobody else uses get both authorizers in turn, and others are
// refused.
func (s *stage) settle(t *testing.T) {
	t.Helper()
	probe := func(authorizer string) *unstructured.Unstructured {
		return kyma.Object(t, `{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: probe, namespace: shop, annotations: {extauth-guard.io/authorizers: `+authorizer+`}},
			spec: {hosts: [probe], gateway: kyma-system/kyma-gateway, service: {name: orders, port: 8000}, rules: [{path: /*, methods: [GET]}]}}`)
	}
	for authorizer, want := range map[string]bool{"oauth2-proxy": true, "corp": true, "partners": false, "bare": false, "planned": false} {
		until(t, "the webhooks know of "+authorizer, func(ctx context.Context) (string, bool) {
			answer := s.admit(ctx, s.Plane.Config(), probe(authorizer))
			codes := map[string]bool{}
			for at := range answer.verdict {
				codes[at.code] = true
			}
			if answer.err != nil {
				return answer.err.Error(), !want && codes["AuthorizerNotRegistered"]
			}
			return "admitted", want && !codes["AuthorizerNotEffective"]
		})
	}
}
