// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package contract_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/facts/cluster"
	"github.com/extauth-guard/extauth-guard/pkg/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	policies "github.com/extauth-guard/extauth-guard/test/harness/guarantee"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// lenient says why the policies alone admit what the webhooks refuse. None of the codes
// is one that they promise; see promised.
func lenient() map[policy.Code]string {
	return map[policy.Code]string{
		policy.AuthorizerConflict:       "what else acts on a workload is in other objects, which CEL does not see",
		policy.ForeignServiceOpen:       "what the owner of a Service in another namespace asks for is in objects that CEL does not see",
		policy.InternalCallersForbidden: "the annotation lets callers inside the mesh in, and opens no host",
		policy.AuthorizerInUse:          "which APIRules use an authorizer is in other objects",
		policy.AuthorizerDuplicate:      "the policies do not look at the Istio CR; an APIRule that names the authorizer is looked at",
		policy.LimitExceeded:            "the API server bounds what an APIRule costs by itself",
	}
}

// promised are the codes that the policies promise to refuse.
func promised() []policy.Code {
	return []policy.Code{
		policy.InvalidAnnotation, policy.AuthorizerNotRegistered, policy.AuthorizerInvalid, policy.RegistryUnknown, policy.InjectionMissing,
		policy.PolicyViolation, policy.OptOutForbidden,
	}
}

// exceptions are fixtures with a promised code that are beyond the promise, and why.
func exceptions() map[string]string {
	const elsewhere = "the policies read annotations of APIRules, and of their namespaces when an APIRule is written; the webhooks read them where they are written"
	return map[string]string{
		"invalid-examples/invalid-annotation-callers":   elsewhere,
		"invalid-examples/invalid-annotation-namespace": elsewhere,
		"invalid-examples/invalid-annotation-service":   elsewhere,
		"testdata/expose-port":                          elsewhere,
	}
}

// stricter says that the policies alone refuse what the webhooks admit after they have
// injected: the API server's own sentence, or that injection is missing.
func stricter(answer string) bool {
	return strings.Contains(answer, crdSentence) || strings.Contains(answer, "["+string(policy.InjectionMissing)+"]")
}

const crdSentence = "One of the following fields must be set"

// The policies without a webhook judge every fixture: what they promise to refuse they
// refuse, with the code of the webhooks, and what the webhooks admit they admit, but for
// what only injection makes right.
func TestThePoliciesWithoutAWebhookKeepTheirPromises(t *testing.T) {
	s := &stage{Cluster: kyma.Start(t)}
	for _, object := range world(t) {
		s.apply(t, object)
	}
	require.NoError(t, policies.Install(t.Context(), s.Plane.Config(), "shop", nil))
	used := map[policy.Code]bool{}
	for _, f := range fixtures(t) {
		if kind := f.last.GetKind(); kind == "Istio" || kind == "ExtAuthPolicy" || f.last.GroupVersionKind().Version == "v1beta1" {
			continue // nothing is promised about them
		}
		t.Run(f.name, func(t *testing.T) {
			t.Cleanup(func() { s.clear(t, f) })
			if f.given == "no Istio CR" {
				require.NoError(t, s.istios().Delete(t.Context(), "default", metav1.DeleteOptions{}))
			}
			s.tell(t)
			for _, object := range f.before {
				until(t, object.GetKind()+" "+object.GetName()+" is there", func(ctx context.Context) (string, bool) {
					_, err := s.at(s.Untyped, object).Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "test", Force: true})
					if err != nil && strings.Contains(err.Error(), crdSentence) {
						t.Skip("only injection makes what is there before right: ", err)
					}
					return fmt.Sprint(err), err == nil
				})
			}
			s.tell(t)
			code := policy.Code(f.code)
			_, excused := lenient()[code]
			_, excepted := exceptions()[f.name]
			until(t, "the policies answer as they should", func(ctx context.Context) (string, bool) {
				answer := s.admit(ctx, s.Plane.Config(), f.last)
				text := "admitted"
				if answer.err != nil {
					text = answer.err.Error()
				}
				switch {
				case f.code == "":
					return text, answer.err == nil || stricter(text)
				case strings.Contains(text, crdSentence):
					return text, true // it is refused, and not stored open
				case slices.Contains(promised(), code) && !excepted:
					return text, answer.err != nil && (strings.HasSuffix(text, "["+f.code+"]") || strings.Contains(text, "ValidatingAdmissionPolicy"))
				}
				used[code] = used[code] || excused
				return text, answer.err == nil && (excused || excepted)
			})
		})
	}
	for code, why := range lenient() {
		assert.NotContains(t, promised(), code, "the policies promise no less than they keep")
		if !used[code] {
			t.Logf("no fixture needs the difference %s: %s", code, why)
		}
	}
}

// tell publishes what a leader would know of the cluster now.
func (s *stage) tell(t *testing.T) {
	t.Helper()
	now, gaps, err := cluster.Read(t.Context(), s.Plane.Config(), "")
	require.NoError(t, err)
	require.Empty(t, gaps)
	known := guarantee.Known{Registry: now.Registry(), Settings: policy.DefaultSettings(), Services: map[types.NamespacedName]policy.Service{}}
	for _, name := range now.Services(func(one policy.Service) bool { return len(one.Annotations) > 0 }) {
		known.Services[name], _ = now.Service(name)
	}
	require.NoError(t, policies.Publish(t.Context(), s.Plane.Config(), guarantee.Parameters(known)))
}

// clear removes what a fixture left, and makes the world what it was.
func (s *stage) clear(t *testing.T, f fixture) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for _, object := range f.before {
		if object.GetKind() == "Namespace" {
			continue // a control plane without controllers cannot remove it
		}
		if err := s.at(s.Untyped, object).Delete(ctx, object.GetName(), metav1.DeleteOptions{}); err != nil {
			require.True(t, apierrors.IsNotFound(err), "%v", err)
		}
	}
	for _, object := range world(t) {
		_, err := s.at(s.Untyped, object).Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "test", Force: true})
		require.NoError(t, err)
	}
}
