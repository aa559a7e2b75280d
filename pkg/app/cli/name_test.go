// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/facts/cluster"
)

func TestEveryWayToNameAnAPIRule(t *testing.T) {
	cases := map[string]struct {
		args      []string
		namespace string
		want      string
		wantErr   string
	}{
		"a name":                          {args: []string{"cart"}, want: "/cart"},
		"a name, and -n":                  {args: []string{"cart"}, namespace: "shop", want: "shop/cart"},
		"both, as everything prints them": {args: []string{"shop/cart"}, want: "shop/cart"},
		"both, and the same -n":           {args: []string{"shop/cart"}, namespace: "shop", want: "shop/cart"},
		"the kind before it":              {args: []string{"apirule", "cart"}, namespace: "shop", want: "shop/cart"},
		"the kind in it":                  {args: []string{"apirules/cart"}, namespace: "shop", want: "shop/cart"},
		"as kubectl prints it":            {args: []string{"apirule.gateway.kyma-project.io/cart"}, want: "/cart"},
		"the kind and both":               {args: []string{"apirule", "shop/cart"}, want: "shop/cart"},
		"another -n":                      {args: []string{"shop/cart"}, namespace: "demo", wantErr: "the APIRule is shop/cart, and --namespace is demo: leave one of them out"},
		"a Service":                       {args: []string{"svc/cart"}, wantErr: `"svc/cart" is no APIRule: only APIRules can be explained, by NAME or NAMESPACE/NAME`},
		"a Service in two words":          {args: []string{"service", "cart"}, wantErr: `"service" is no APIRule`},
		"too many parts":                  {args: []string{"a/b/c"}, wantErr: `"a/b/c" names no APIRule: write NAME or NAMESPACE/NAME`},
		"no name":                         {args: []string{"shop/"}, wantErr: `"shop/" names no APIRule`},
		"no namespace":                    {args: []string{"/cart"}, wantErr: `"/cart" names no APIRule`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := meant(tc.args, tc.namespace)
			if tc.wantErr != "" {
				require.ErrorContains(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, got.String())
		})
	}
}

func TestAnAPIRuleThatIsNotThere(t *testing.T) {
	world := facts.NewWorld("not read")
	for _, name := range []types.NamespacedName{{Namespace: "shop", Name: "checkout"}, {Namespace: "demo", Name: "httpbin"}} {
		world.SetAPIRule(apirule.View{Namespace: name.Namespace, Name: name.Name})
	}
	all := &known{world: world}
	assert.EqualError(t, all.noAPIRule(types.NamespacedName{Namespace: "default", Name: "httpbin"}), "there is no APIRule default/httpbin; there is demo/httpbin")
	assert.EqualError(t, all.noAPIRule(types.NamespacedName{Namespace: "shop", Name: "chekout"}), "there is no APIRule shop/chekout; did you mean shop/checkout?")
	assert.EqualError(t, all.noAPIRule(types.NamespacedName{Namespace: "shop", Name: "other"}), "there is no APIRule shop/other")
	all.gaps = []cluster.Gap{{Kind: apirule.Kind, Err: assert.AnError}}
	require.ErrorIs(t, all.noAPIRule(types.NamespacedName{Namespace: "shop", Name: "other"}), assert.AnError, "what nobody may see is not missing")
}

func TestLinesAreBrokenAtTheTerminalsWidth(t *testing.T) {
	assert.Equal(t, "  one two\n    three\n", wrap("  one two three\n", 10))
	assert.Equal(t, "  one two three\n", wrap("  one two three\n", 0), "no terminal")
	assert.Equal(t, "  aaaaaaaaaaaaaaaa\n", wrap("  aaaaaaaaaaaaaaaa\n", 10), "a word is not broken")
	assert.Equal(t, "\x1b[31mone\x1b[0m two\n  three\n", wrap("\x1b[31mone\x1b[0m two three\n", 7), "colours take no room")
	assert.Equal(t, "\none", wrap("\none", 3))
}
