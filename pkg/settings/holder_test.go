// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/settings"
)

func TestSettingsOfAFile(t *testing.T) {
	all := config.DefaultWebhook()
	defaults := settings.Of(all)
	assert.Equal(t, policy.Deny, defaults.UnknownRegistry)
	assert.False(t, defaults.SeveralAuthorizers)
	assert.Equal(t, []string{"oauth2-proxy"}, defaults.DefaultAuthorizers)
	assert.True(t, defaults.ExcludedNamespaces["kyma-system"])
	assert.False(t, defaults.InternalCallers, "off until somebody decides for it")

	choices := &all.Policy
	all.Controllers.Internal.Enabled = true
	choices.UnknownRegistry, choices.SeveralAuthorizers = config.Warn, config.Warn
	choices.DefaultAuthorizers, choices.ExcludedNamespaces = []string{"corp"}, []string{"extauth-guard"}
	chosen := settings.Of(all)
	assert.True(t, chosen.InternalCallers)
	assert.Equal(t, policy.Warn, chosen.UnknownRegistry)
	assert.True(t, chosen.SeveralAuthorizers)
	assert.Equal(t, []string{"corp"}, chosen.DefaultAuthorizers)
	assert.True(t, chosen.ExcludedNamespaces["extauth-guard"])
	assert.True(t, chosen.ExcludedNamespaces["kyma-system"], "the system stays excluded")
}

func TestTheGuardGoesOverTheFile(t *testing.T) {
	h := holder()
	before := h.Settings()
	require.True(t, h.Set(guard(t, `{defaultAuthorizers: [corp], excludedNamespaces: [sandbox], names: Full}`), nil))
	got := h.Settings()
	assert.Equal(t, []string{"corp"}, got.DefaultAuthorizers)
	assert.True(t, got.ExcludedNamespaces["sandbox"])
	assert.True(t, got.ExcludedNamespaces["of-the-file"], "the API server does not ask about it anyway")
	assert.Equal(t, policy.Warn, got.UnknownRegistry, "what is not given is as in the file")
	assert.True(t, h.ForeignNames())
	assert.False(t, before.ExcludedNamespaces["sandbox"], "what was given away does not change")

	assert.False(t, h.Set(guard(t, `{defaultAuthorizers: [corp], excludedNamespaces: [sandbox], names: Full}`), nil), "the same again")
	require.True(t, h.Set(guard(t, `{unknownRegistry: Deny, severalAuthorizers: Warn}`), nil))
	assert.Equal(t, []string{"oauth2-proxy"}, h.Settings().DefaultAuthorizers)
	assert.Equal(t, policy.Deny, h.Settings().UnknownRegistry)
	assert.True(t, h.Settings().SeveralAuthorizers)

	require.True(t, h.Remove(types.NamespacedName{Namespace: "release", Name: "default"}))
	assert.Equal(t, before, h.Settings(), "gone")
	assert.False(t, h.Remove(types.NamespacedName{Namespace: "release", Name: "default"}))
	assert.False(t, h.Set(guard(t, "{names: Mine}"), nil), "what was before it went counts no more")
	assert.Nil(t, h.Guards()[0].Applied)
}

func TestAnInvalidGuardChangesNothing(t *testing.T) {
	cases := map[string]struct {
		policy string
		fault  *field.Error
		want   string
	}{
		"a name that is none":      {"{defaultAuthorizers: [corp, Corp]}", nil, `spec.policy.defaultAuthorizers[1]: Invalid value: "Corp"`},
		"a name twice":             {"{defaultAuthorizers: [corp, corp]}", nil, `spec.policy.defaultAuthorizers[1]: Duplicate value: "corp"`},
		"a namespace that is none": {"{excludedNamespaces: [a, b/c]}", nil, `spec.policy.excludedNamespaces[1]: Invalid value: "b/c"`},
		"an unknown enforcement":   {"{unknownRegistry: Maybe}", nil, `spec.policy.unknownRegistry: Unsupported value: "Maybe"`},
		"another one":              {"{severalAuthorizers: Maybe}", nil, `spec.policy.severalAuthorizers: Unsupported value: "Maybe"`},
		"unknown names":            {"{names: Mine}", nil, `spec.policy.names: Unsupported value: "Mine"`},
		"one that cannot be read":  {"{}", field.Invalid(field.NewPath("spec"), "", "a list"), `spec: Invalid value: ""`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := holder()
			require.True(t, h.Set(guard(t, "{defaultAuthorizers: [before]}"), nil))
			assert.False(t, h.Set(guard(t, tc.policy), tc.fault))
			assert.Equal(t, []string{"before"}, h.Settings().DefaultAuthorizers)
			all := h.Guards()
			require.Len(t, all, 1)
			require.Len(t, all[0].Faults, 1)
			assert.Contains(t, all[0].Faults[0].Error(), tc.want)
			require.NotNil(t, all[0].Applied)
			assert.Equal(t, []v1alpha1.AuthorizerName{"before"}, all[0].Applied.DefaultAuthorizers)
		})
	}
}

// A replica that starts while the spec is not valid decides like the others.
func TestAnInvalidGuardAtTheStart(t *testing.T) {
	one := guard(t, "{names: Mine}")
	h := holder()
	assert.False(t, h.Set(one, nil), "nobody knows what was before")
	assert.Nil(t, h.Guards()[0].Applied)

	one.Status.Policy = &v1alpha1.GuardPolicy{DefaultAuthorizers: []v1alpha1.AuthorizerName{"before"}}
	assert.True(t, h.Set(one, nil))
	assert.Equal(t, []string{"before"}, h.Settings().DefaultAuthorizers)

	worse := holder()
	one.Status.Policy.Names = "Mine"
	assert.False(t, worse.Set(one, nil), "a status that is not valid either")
	assert.Equal(t, []string{"oauth2-proxy"}, worse.Settings().DefaultAuthorizers)
}

func TestOnlyOneGuardCounts(t *testing.T) {
	h := holder()
	for _, name := range []types.NamespacedName{{Namespace: "release", Name: "other"}, {Namespace: "elsewhere", Name: "default"}} {
		one := guard(t, "{defaultAuthorizers: [mine]}")
		one.Namespace, one.Name = name.Namespace, name.Name
		assert.False(t, h.Set(one, nil), "%s", name)
		assert.False(t, h.Remove(types.NamespacedName{Namespace: "nobody", Name: "nobody"}))
	}
	assert.Equal(t, []string{"oauth2-proxy"}, h.Settings().DefaultAuthorizers)
	all := h.Guards()
	require.Len(t, all, 2)
	assert.Equal(t, "elsewhere", all[0].Object.Namespace, "in order")
	assert.False(t, all[0].Counts || all[1].Counts)
	assert.Nil(t, all[0].Applied)
}

func holder() *settings.Holder {
	file := config.DefaultWebhook()
	file.Module = config.Module{Enabled: true, Namespace: "release"}
	file.Policy.ExcludedNamespaces, file.Policy.UnknownRegistry = []string{"of-the-file"}, config.Warn
	return settings.New(file)
}

func guard(t *testing.T, policy string) *v1alpha1.ExtAuthGuard {
	t.Helper()
	one := &v1alpha1.ExtAuthGuard{}
	one.Namespace, one.Name = "release", "default"
	require.NoError(t, yaml.UnmarshalStrict([]byte(policy), &one.Spec.Policy))
	return one
}
