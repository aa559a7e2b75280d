// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/selfcheck"
)

// admission plays an API server with our webhooks, or with one of them missing.
type admission struct {
	mutates, validates bool
	// other is returned for every create instead.
	other error
}

func (a admission) create(_ context.Context, _ client.WithWatch, object client.Object, opts ...client.CreateOption) error {
	var options client.CreateOptions
	options.ApplyOptions(opts)
	if len(options.DryRun) != 1 {
		return errors.New("this is not a dry run")
	}
	if a.other != nil {
		return a.other
	}
	rule := object.(*unstructured.Unstructured)
	rules, _, _ := unstructured.NestedSlice(rule.Object, "spec", "rules")
	first := rules[0].(map[string]any)
	if rule.GetAnnotations()[annotation.Inject] == "true" && a.mutates {
		first["extAuth"] = map[string]any{"authorizers": []any{rule.GetAnnotations()[annotation.Authorizers]}}
		_ = unstructured.SetNestedSlice(rule.Object, rules, "spec", "rules")
	}
	invalid := func(path *field.Path, value any, detail string) error {
		return apierrors.NewInvalid(schema.GroupKind{Group: apiRuleGVK().Group, Kind: apiRuleGVK().Kind}, rule.GetName(), field.ErrorList{field.Invalid(path, value, detail)})
	}
	path := field.NewPath("spec", "rules").Index(0)
	if first["extAuth"] == nil {
		return invalid(path, "object", "One of the following fields must be set: noAuth, jwt, extAuth")
	}
	if usesAuthorizer(rule.Object, selfcheck.Unregistered) && a.validates {
		return invalid(path.Child("extAuth", "authorizers").Index(0), selfcheck.Unregistered, selfcheck.Unregistered+" is not registered")
	}
	return nil
}

func TestSelfCheck(t *testing.T) {
	cases := map[string]struct {
		admission admission
		want      bootstrap.State
		message   string
		err       string
	}{
		"both webhooks work": {
			admission{mutates: true, validates: true}, bootstrap.Done, "an annotated APIRule is injected, an unregistered authorizer is refused", "",
		},
		"nobody injects": {
			admission{validates: true}, bootstrap.Needed, "One of the following fields must be set: noAuth, jwt, extAuth; is the mutating webhook running, and is the namespace not excluded?", "",
		},
		"nobody refuses": {
			admission{mutates: true}, bootstrap.Needed, "an APIRule with an unregistered authorizer was let through; is the validating webhook running, and is the namespace not excluded?", "",
		},
		"the webhook cannot be reached": {
			admission{other: apierrors.NewInternalError(errors.New("failed calling webhook"))}, bootstrap.Needed, "failed calling webhook", "",
		},
		"something else went wrong": {
			admission{other: errors.New("connection reset")}, "", "", "creating an APIRule as a dry run: connection reset",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := config.DefaultBootstrap()
			cfg.Domain = "example.com"
			check := &selfCheck{Environment{
				Config: cfg,
				Client: fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{Create: tc.admission.create}).Build(),
			}}
			got, err := check.Observe(t.Context())
			if tc.err != "" {
				require.EqualError(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, got.State)
			assert.Contains(t, got.Message, tc.message)
		})
	}
}
