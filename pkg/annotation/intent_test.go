// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

func yes() *bool { value := true; return &value }
func no() *bool  { value := false; return &value }

func sentences(errs field.ErrorList) []string {
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return texts
}

func TestParseReads(t *testing.T) {
	cases := map[string]struct {
		kind        annotation.Kind
		annotations map[string]string
		want        annotation.Intent
	}{
		"nothing asks for nothing": {annotation.APIRule, nil, annotation.Intent{}},
		"other people's annotations are not looked at": {
			annotation.APIRule,
			map[string]string{"inject": "maybe", "example.com/inject": "maybe", "extauth-guard.io": "x"},
			annotation.Intent{},
		},
		"inject true asks": {
			annotation.APIRule,
			map[string]string{annotation.Inject: "true"},
			annotation.Intent{Inject: yes()},
		},
		"inject false forbids": {
			annotation.Namespace,
			map[string]string{annotation.Inject: "false"},
			annotation.Intent{Inject: no()},
		},
		"names without inject ask": {
			annotation.Service,
			map[string]string{annotation.Authorizers: "corp"},
			annotation.Intent{Inject: yes(), Authorizers: []string{"corp"}},
		},
		"names do not ask against inject false": {
			annotation.Service,
			map[string]string{annotation.Authorizers: "corp", annotation.Inject: "false"},
			annotation.Intent{Inject: no(), Authorizers: []string{"corp"}},
		},
		"names keep their order and lose the blanks around them": {
			annotation.APIRule,
			map[string]string{annotation.Authorizers: " b ,a,\tc\n"},
			annotation.Intent{Inject: yes(), Authorizers: []string{"b", "a", "c"}},
		},
		"a name may be as long as a DNS label": {
			annotation.APIRule,
			map[string]string{annotation.Authorizers: strings.Repeat("a", 63)},
			annotation.Intent{Inject: yes(), Authorizers: []string{strings.Repeat("a", 63)}},
		},
		"replace alone asks for nothing": {
			annotation.APIRule,
			map[string]string{annotation.Replace: "noAuth"},
			annotation.Intent{Replace: &annotation.Strategies{NoAuth: true}},
		},
		"replace takes jwt": {
			annotation.APIRule,
			map[string]string{annotation.Replace: "jwt"},
			annotation.Intent{Replace: &annotation.Strategies{JWT: true}},
		},
		"replace takes both in any order, with blanks": {
			annotation.APIRule,
			map[string]string{annotation.Replace: "jwt , noAuth"},
			annotation.Intent{Replace: &annotation.Strategies{NoAuth: true, JWT: true}},
		},
		"what we wrote on an APIRule is known and not read": {
			annotation.APIRule,
			map[string]string{annotation.Injected: "not even JSON"},
			annotation.Intent{},
		},
		"keys of exposing are known on a Service": {
			annotation.Service,
			map[string]string{
				annotation.Expose: "shop", annotation.ExposePort: "80", annotation.ExposePath: "/*",
				annotation.ExposeMethods: "GET", annotation.ExposeGateway: "a/b", annotation.ExposeStatus: "done",
			},
			annotation.Intent{},
		},
		"the key of an operator is known on the Istio CR": {
			annotation.Istio,
			map[string]string{annotation.AllowRemoval: "corp"},
			annotation.Intent{},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, errs := annotation.Parse(tc.kind, tc.annotations)
			require.Empty(t, errs)
			assert.Empty(t, cmp.Diff(tc.want, got))
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const (
		knownOnAPIRule   = "extauth-guard.io/authorizers, extauth-guard.io/inject, extauth-guard.io/injected, extauth-guard.io/replace"
		knownOnNamespace = "extauth-guard.io/authorizers, extauth-guard.io/inject, extauth-guard.io/replace"
		badName          = " is not a name that an authorizer can have; use up to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit"
		badStrategies    = `must be "noAuth", "jwt" or "noAuth,jwt"`
		inject           = "metadata.annotations[extauth-guard.io/inject]: Invalid value: "
		authorizers      = "metadata.annotations[extauth-guard.io/authorizers]: Invalid value: "
		replace          = "metadata.annotations[extauth-guard.io/replace]: Invalid value: "
	)
	cases := map[string]struct {
		kind        annotation.Kind
		annotations map[string]string
		want        []string
	}{
		"inject yes":        {annotation.APIRule, map[string]string{annotation.Inject: "yes"}, []string{inject + `"yes": must be "true" or "false"`}},
		"inject True":       {annotation.APIRule, map[string]string{annotation.Inject: "True"}, []string{inject + `"True": must be "true" or "false"`}},
		"inject with blank": {annotation.APIRule, map[string]string{annotation.Inject: "true "}, []string{inject + `"true ": must be "true" or "false"`}},
		"inject empty":      {annotation.APIRule, map[string]string{annotation.Inject: ""}, []string{inject + `"": must be "true" or "false"`}},

		"no names": {annotation.APIRule, map[string]string{annotation.Authorizers: ""}, []string{
			authorizers + `"": must name at least one authorizer, for example "oauth2-proxy"`,
		}},
		"blank names": {annotation.APIRule, map[string]string{annotation.Authorizers: " \t"}, []string{
			authorizers + `" \t": must name at least one authorizer, for example "oauth2-proxy"`,
		}},
		"an empty entry": {annotation.APIRule, map[string]string{annotation.Authorizers: "corp, "}, []string{
			authorizers + `"corp, ": has an empty entry; separate names by single commas`,
		}},
		"a name twice": {annotation.APIRule, map[string]string{annotation.Authorizers: "corp, corp"}, []string{
			authorizers + `"corp, corp": names "corp" twice; name each authorizer once`,
		}},
		"a capital letter": {annotation.APIRule, map[string]string{annotation.Authorizers: "Corp"}, []string{
			authorizers + `"Corp": "Corp"` + badName,
		}},
		"a name with a dot": {annotation.APIRule, map[string]string{annotation.Authorizers: "corp.sso"}, []string{
			authorizers + `"corp.sso": "corp.sso"` + badName,
		}},
		"a letter that only looks like one": {annotation.APIRule, map[string]string{annotation.Authorizers: "c\u043erp"}, []string{
			authorizers + `"c` + "\u043e" + `rp": "c` + "\u043e" + `rp"` + badName,
		}},
		"names separated by blanks": {annotation.APIRule, map[string]string{annotation.Authorizers: "a b"}, []string{
			authorizers + `"a b": "a b"` + badName,
		}},
		"every bad entry is told": {annotation.APIRule, map[string]string{annotation.Authorizers: "a,,a,B"}, []string{
			authorizers + `"a,,a,B": has an empty entry; separate names by single commas`,
			authorizers + `"a,,a,B": names "a" twice; name each authorizer once`,
			authorizers + `"a,,a,B": "B"` + badName,
		}},

		"replace empty":             {annotation.APIRule, map[string]string{annotation.Replace: ""}, []string{replace + `"": ` + badStrategies}},
		"replace in small letters":  {annotation.APIRule, map[string]string{annotation.Replace: "noauth"}, []string{replace + `"noauth": ` + badStrategies}},
		"replace extAuth":           {annotation.APIRule, map[string]string{annotation.Replace: "extAuth"}, []string{replace + `"extAuth": ` + badStrategies}},
		"replace the same twice":    {annotation.APIRule, map[string]string{annotation.Replace: "jwt,jwt"}, []string{replace + `"jwt,jwt": ` + badStrategies}},
		"replace with trailing ','": {annotation.APIRule, map[string]string{annotation.Replace: "jwt,"}, []string{replace + `"jwt,": ` + badStrategies}},

		"a misspelled key": {annotation.APIRule, map[string]string{annotation.Prefix + "injet": "true"}, []string{
			`metadata.annotations[extauth-guard.io/injet]: Invalid value: "extauth-guard.io/injet": unknown annotation on an APIRule; known here: ` +
				knownOnAPIRule + `; did you mean "extauth-guard.io/inject"?`,
		}},
		"a key like no other": {annotation.Namespace, map[string]string{annotation.Prefix + "protection": "on"}, []string{
			`metadata.annotations[extauth-guard.io/protection]: Invalid value: "extauth-guard.io/protection": unknown annotation on a Namespace; known here: ` + knownOnNamespace,
		}},
		"nothing but the prefix": {annotation.Namespace, map[string]string{annotation.Prefix: "true"}, []string{
			`metadata.annotations[extauth-guard.io/]: Invalid value: "extauth-guard.io/": unknown annotation on a Namespace; known here: ` + knownOnNamespace,
		}},
		"exposing is for Services": {annotation.Namespace, map[string]string{annotation.Expose: "shop"}, []string{
			`metadata.annotations[extauth-guard.io/expose]: Invalid value: "extauth-guard.io/expose": unknown annotation on a Namespace; known here: ` + knownOnNamespace,
		}},
		"our record is for APIRules": {annotation.Service, map[string]string{annotation.Injected: "[]"}, []string{
			`metadata.annotations[extauth-guard.io/injected]: Invalid value: "extauth-guard.io/injected": unknown annotation on a Service; known here: ` +
				"extauth-guard.io/authorizers, extauth-guard.io/expose, extauth-guard.io/expose-gateway, extauth-guard.io/expose-methods, extauth-guard.io/expose-path, extauth-guard.io/expose-port, extauth-guard.io/expose-status, extauth-guard.io/inject, extauth-guard.io/replace" +
				`; did you mean "extauth-guard.io/inject"?`,
		}},
		"intent is not for the Istio CR": {annotation.Istio, map[string]string{annotation.Inject: "true"}, []string{
			`metadata.annotations[extauth-guard.io/inject]: Invalid value: "extauth-guard.io/inject": unknown annotation on an Istio; known here: extauth-guard.io/allow-removal`,
		}},
		"all faults are told, sorted by key": {
			annotation.APIRule,
			map[string]string{annotation.Replace: "x", annotation.Inject: "x", annotation.Authorizers: "X", annotation.Prefix + "a": ""},
			[]string{
				`metadata.annotations[extauth-guard.io/a]: Invalid value: "extauth-guard.io/a": unknown annotation on an APIRule; known here: ` + knownOnAPIRule,
				authorizers + `"X": "X"` + badName,
				inject + `"x": must be "true" or "false"`,
				replace + `"x": ` + badStrategies,
			},
		},
		"one fault spoils what is right beside it": {
			annotation.APIRule,
			map[string]string{annotation.Inject: "true", annotation.Authorizers: "corp", annotation.Replace: "all"},
			[]string{replace + `"all": ` + badStrategies},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, errs := annotation.Parse(tc.kind, tc.annotations)
			assert.Empty(t, cmp.Diff(tc.want, sentences(errs)))
			assert.Empty(t, cmp.Diff(annotation.Intent{}, got), "what cannot be read asks for nothing")
		})
	}
}

func TestParseNamesAtAnyPlace(t *testing.T) {
	names, errs := annotation.ParseNames(nil, "a,b")
	require.Empty(t, errs)
	assert.Equal(t, []string{"a", "b"}, names)

	names, errs = annotation.ParseNames(field.NewPath("spec", "list"), strings.Repeat("a", 64))
	assert.Nil(t, names)
	require.Len(t, errs, 1)
	assert.Equal(t, "spec.list", errs[0].Field)
}
