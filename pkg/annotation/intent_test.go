// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation_test

import (
	"fmt"
	"math"
	"runtime"
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
		knownOnAPIRule   = "extauth-guard.io/authorizers, extauth-guard.io/expose-status, extauth-guard.io/inject, extauth-guard.io/injected, extauth-guard.io/replace"
		knownOnNamespace = "extauth-guard.io/authorizers, extauth-guard.io/inject, extauth-guard.io/internal-callers, extauth-guard.io/replace"
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
			authorizers + `"corp, corp": names "corp" twice; each name may appear once`,
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
			authorizers + `"a,,a,B": names "a" twice; each name may appear once`,
			authorizers + `"a,,a,B": "B"` + badName,
		}},

		"as many commas as an annotation may hold": {annotation.Service, map[string]string{annotation.Authorizers: strings.Repeat(",", 256<<10)}, []string{
			authorizers + `"` + strings.Repeat(",", 61) + `…": has 262144 bytes; at most 4096 are read`,
		}},
		"more names than a workload could have": {annotation.APIRule, map[string]string{annotation.Authorizers: strings.Repeat("a,", 16) + "b"}, []string{
			authorizers + `"` + strings.Repeat("a,", 16) + `b": has 17 entries; name at most 16 authorizers`,
		}},
		"a long name": {annotation.APIRule, map[string]string{annotation.Authorizers: strings.Repeat("a", 4000)}, []string{
			authorizers + `"` + strings.Repeat("a", 61) + `…": "` + strings.Repeat("a", 61) + `…"` + badName,
		}},
		"a long value of another key": {annotation.APIRule, map[string]string{annotation.Inject: strings.Repeat("true", 1000)}, []string{
			inject + `"` + strings.Repeat("true", 15) + `t…": must be "true" or "false"`,
		}},
		"a long key": {annotation.Namespace, map[string]string{annotation.Prefix + strings.Repeat("a", 1000): ""}, []string{
			`metadata.annotations[extauth-guard.io/` + strings.Repeat("a", 44) + `…]: Invalid value: "extauth-guard.io/` + strings.Repeat("a", 44) + `…": unknown annotation on a Namespace; known here: ` + knownOnNamespace,
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
				"extauth-guard.io/allow-from, extauth-guard.io/authorizers, extauth-guard.io/expose, extauth-guard.io/expose-gateway, extauth-guard.io/expose-methods, extauth-guard.io/expose-path, extauth-guard.io/expose-port, extauth-guard.io/expose-status, extauth-guard.io/inject, extauth-guard.io/internal-callers, extauth-guard.io/replace" +
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

func TestParseCountsWhatItDoesNotRead(t *testing.T) {
	annotations := map[string]string{annotation.Inject: "true"}
	for i := range 10_000 {
		annotations[fmt.Sprintf("%sk%05d", annotation.Prefix, i)] = "x"
	}
	got, errs := annotation.Parse(annotation.Namespace, annotations)
	assert.Equal(t, annotation.Intent{}, got)
	require.Len(t, errs, 1)
	assert.Equal(t, "metadata.annotations", errs[0].Field)
	assert.Equal(t, `10001 annotations start with extauth-guard.io/; a Namespace knows these: extauth-guard.io/authorizers, extauth-guard.io/inject, extauth-guard.io/internal-callers, extauth-guard.io/replace`, errs[0].Detail)
	assert.Less(t, len(errs[0].Error()), 2000)
}

// TestParseCostsInProportion: four times the text may cost at most five times the
// memory, whatever the text is made of.
func TestParseCostsInProportion(t *testing.T) {
	texts := map[string]func(n int) string{
		"commas":        func(n int) string { return strings.Repeat(",", n) },
		"the same name": func(n int) string { return strings.Repeat("a,", n/2) },
		"distinct names": func(n int) string {
			var names strings.Builder
			for i := 0; names.Len() < n; i++ {
				fmt.Fprintf(&names, "n%d,", i)
			}
			return names.String()
		},
		"bad names": func(n int) string { return strings.Repeat("A,", n/2) },
		"one name":  func(n int) string { return strings.Repeat("a", n) },
	}
	for name, text := range texts {
		for _, key := range annotation.Keys(annotation.Service) {
			for _, n := range []int{1 << 10, 16 << 10, 64 << 10} {
				bytes := func(n int, enough uint64) uint64 {
					annotations := map[string]string{key: text(n)}
					return allocated(enough, func() {
						_, errs := annotation.Parse(annotation.Service, annotations)
						_, more := annotation.ParseExposure(annotations)
						for _, err := range append(errs, more...) {
							_ = err.Error()
						}
					})
				}
				most := 5*bytes(n, 0) + 1024
				assert.LessOrEqual(t, bytes(4*n, most), most, "%s in %s, %d bytes", name, key, n)
			}
		}
	}
}

// allocated returns how many bytes run allocates: the least of three times, and of up to
// thirty while it is more than enough. The runtime allocates at times of its own, and
// under the race detector a pool, such as that of regexp, forgets one in four.
func allocated(enough uint64, run func()) uint64 {
	var before, after runtime.MemStats
	run() // what is made once does not count
	least := uint64(math.MaxUint64)
	for i := 0; i < 3 || i < 30 && enough > 0 && least > enough; i++ {
		runtime.ReadMemStats(&before)
		run()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
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
