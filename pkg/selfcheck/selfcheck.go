// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package selfcheck tries our webhooks in a cluster by two creates as a dry run:
// one APIRule has to come back injected, one has to be refused. Nothing is stored.
package selfcheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// Unregistered is a name that no authorizer has.
const Unregistered = "extauth-guard-self-check-unregistered"

// name is that of the APIRules, and of the Service that they expose.
const name = "extauth-guard-self-check"

// authorizerField is where an APIRule of ours has its first authorizer.
const authorizerField = "spec.rules[0].extAuth.authorizers[0]"

// Try says what to create, and how.
type Try struct {
	Namespace string
	// Domain is that of the host, Gateway what serves it, as namespace/name.
	Domain, Gateway string
	// Authorizer is what an annotated APIRule has to come back with.
	Authorizer string
	// Create creates an APIRule as a dry run, and puts the answer into it.
	Create func(ctx context.Context, rule *unstructured.Unstructured) error
}

// Wrong is an answer that working webhooks do not give.
type Wrong struct {
	problem, question string
	// Err is what the API server answered; nil if it would have stored the object.
	Err error
	// NotRegistered is true if the APIRule was injected, and refused because the
	// authorizer is not registered (yet).
	NotRegistered bool
}

const (
	mutating   = "is the mutating webhook running, and is the namespace not excluded?"
	validating = "is the validating webhook running, and is the namespace not excluded?"
)

// Error says what is wrong, and what to look at.
func (w *Wrong) Error() string {
	sentence := w.problem
	if w.Err != nil {
		sentence += ": " + w.Err.Error()
	}
	if w.question != "" {
		sentence += "; " + w.question
	}
	return sentence
}

// Unwrap returns what the API server answered.
func (w *Wrong) Unwrap() error { return w.Err }

// Injects creates an annotated APIRule. It returns nil if that comes back with
// the authorizer, a [*Wrong] for another answer, and any other error if there was
// none.
func (t Try) Injects(ctx context.Context) error {
	rule := t.apiRule(nil)
	rule.SetAnnotations(map[string]string{annotation.Inject: "true", annotation.Authorizers: t.Authorizer})
	err := t.Create(ctx, rule)
	switch {
	case refusedFor(err, t.Authorizer):
		return &Wrong{"an APIRule that asks for injection was injected and then refused", "", err, true}
	case answered(err):
		return &Wrong{"an APIRule that asks for injection was refused", mutating, err, false}
	case err != nil:
		return failed(err)
	}
	if view := apirule.Parse(rule.Object, ""); len(view.Rules) == 0 || !slices.Contains(view.Rules[0].Authorizers, t.Authorizer) {
		return &Wrong{"an APIRule that asks for injection came back without the authorizer", mutating, nil, false}
	}
	return nil
}

// Refuses creates an APIRule whose authorizer nobody registered. It returns nil
// if that is refused for it, a [*Wrong] for another answer, and any other error
// if there was none.
func (t Try) Refuses(ctx context.Context) error {
	err := t.Create(ctx, t.apiRule(map[string]any{"authorizers": []any{Unregistered}}))
	switch {
	case refusedFor(err, Unregistered):
		return nil
	case err == nil:
		return &Wrong{"an APIRule with an unregistered authorizer was let through", validating, nil, false}
	case answered(err):
		return &Wrong{"an APIRule with an unregistered authorizer was refused for another reason", "", err, false}
	}
	return failed(err)
}

func failed(err error) error {
	return fmt.Errorf("creating an APIRule as a dry run: %w", err)
}

// answered is true for a refusal, and for a webhook that could not be asked.
func answered(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err)
}

// refusedFor says whether err is a denial of ours because of the authorizer.
func refusedFor(err error, authorizer string) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsInvalid(err) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(cause metav1.StatusCause) bool {
		return cause.Field == authorizerField && strings.Contains(cause.Message, authorizer)
	})
}

func (t Try) apiRule(extAuth map[string]any) *unstructured.Unstructured {
	rule := map[string]any{"path": "/*", "methods": []any{"GET"}}
	if extAuth != nil {
		rule["extAuth"] = extAuth
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apirule.Group + "/v2",
		"kind":       apirule.Kind,
		"metadata":   map[string]any{"name": name, "namespace": t.Namespace},
		"spec": map[string]any{
			"hosts":   []any{name + "." + t.Domain},
			"gateway": t.Gateway,
			"service": map[string]any{"name": name, "port": int64(80)},
			"rules":   []any{rule},
		},
	}}
}
