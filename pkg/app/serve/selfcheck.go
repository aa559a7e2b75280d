// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// unregistered is a name that no authorizer has.
const unregistered = "extauth-guard-test-unregistered"

// authorizerField is where both tries have the first authorizer of their rule.
const authorizerField = "spec.rules[0].extAuth.authorizers[0]"

var errSelfCheck = errors.New("the webhooks do not do what they should")

// selfCheck creates two APIRules as a dry run, so nothing is stored: one that has
// to come back with an authorizer, one that has to be refused.
func selfCheck(ctx context.Context, client dynamic.Interface, namespace, authorizer string, out io.Writer) error {
	rules := client.Resource(schema.GroupVersionResource{Group: apirule.Group, Version: "v2", Resource: apirule.Resource}).Namespace(namespace)
	create := func(rule *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return rules.Create(ctx, rule, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	}
	asking := tryRule(namespace, nil)
	asking.SetAnnotations(map[string]string{annotation.Inject: "true", annotation.Authorizers: authorizer})
	stored, err := create(asking)
	injected := refused(err, authorizer)
	if err == nil {
		injected = slices.Contains(authorizersOf(stored), authorizer)
	}
	if !injected {
		return fmt.Errorf("%w: an annotated APIRule was not injected with %s: %w", errSelfCheck, authorizer, orStored(err))
	}
	fmt.Fprintf(out, "an annotated APIRule is injected with %s\n", authorizer)
	if err != nil {
		// Only the refusal of what was injected shows that it was.
		fmt.Fprintf(out, "note: %s is not registered in the Istio CR yet, so such an APIRule is refused until it is\n", authorizer)
	}

	_, err = create(tryRule(namespace, map[string]any{"authorizers": []any{unregistered}}))
	if !refused(err, unregistered) {
		return fmt.Errorf("%w: an APIRule with an unregistered authorizer was not refused for it: %w", errSelfCheck, orStored(err))
	}
	fmt.Fprintln(out, "an APIRule with an unregistered authorizer is refused")
	return nil
}

func orStored(err error) error {
	if err == nil {
		return errors.New("it would have been stored; are the webhooks registered, and is the namespace not excluded?")
	}
	return err
}

// refused says whether err is a denial of ours, because of the authorizer.
func refused(err error, authorizer string) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsInvalid(err) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(cause metav1.StatusCause) bool {
		return cause.Field == authorizerField && strings.Contains(cause.Message, authorizer)
	})
}

func authorizersOf(rule *unstructured.Unstructured) []string {
	view := apirule.Parse(rule.Object, "")
	if len(view.Rules) == 0 {
		return nil
	}
	return view.Rules[0].Authorizers
}

func tryRule(namespace string, extAuth map[string]any) *unstructured.Unstructured {
	rule := map[string]any{"path": "/*", "methods": []any{"GET"}}
	if extAuth != nil {
		rule["extAuth"] = extAuth
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apirule.Group + "/v2",
		"kind":       apirule.Kind,
		"metadata":   map[string]any{"name": "extauth-guard-test", "namespace": namespace},
		"spec": map[string]any{
			"hosts":   []any{"extauth-guard-test.example.com"},
			"gateway": "kyma-system/kyma-gateway",
			"service": map[string]any{"name": "extauth-guard-test", "port": int64(80)},
			"rules":   []any{rule},
		},
	}}
}
