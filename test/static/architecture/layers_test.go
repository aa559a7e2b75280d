// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// layers says on which layer each package under pkg/ is. A package imports only
// lower layers, never a sibling. To add a package, add it here first: the number
// is the decision, the code follows.
func layers() map[string]int {
	return map[string]int{
		"internal/bound":   -1, // how much of a stranger's text a sentence repeats
		"internal/quote":   -1, // text of strangers in what is printed
		"internal/suggest": -1, // "did you mean"; internal packages know nothing of ours

		"annotation":  0, // keys and their parser
		"app/exit":    0, // exit codes
		"crd":         0, // what the API server asks of an object by its CRD
		"metrics":     0, // names in one place
		"oauth2proxy": 0, // versions, advisories and settings of oauth2-proxy
		"version":     0,

		"apirule":       1, // view over an APIRule, edits, JSON Patch
		"apis/v1alpha1": 1, // ExtAuthPolicy
		"config":        1, // configuration file and its validation
		"extauthz":      1, // asks an authorizer as Envoy would
		"istio":         1, // view over the Istio CR and the mesh
		"oidc":          1, // discovery, client-credentials token
		"profile":       1, // what an entry needs for each authorizer that people use

		"manifest":  2, // manifests as text, with positions and changes
		"migrate":   2, // what protected before to annotated APIRules
		"policy":    2, // the decisions
		"probe":     2, // asks an authorizer what strangers would
		"selfcheck": 2, // tries our webhooks by two creates as a dry run

		"callers":   3, // whom inside the mesh an annotation lets in, as an AuthorizationPolicy
		"bootstrap": 3, // Step, Run, Result
		"expose":    3, // a Service's annotations to the APIRule they ask for
		"facts":     3, // the index of everything that a decision may depend on
		"guarantee": 3, // what the API server's own policies are told about the cluster
		"helm":      3, // the only package that knows Helm
		"report":    3, // host coverage
		"settings":  3, // the choices that are in force: the file, and over it the ExtAuthGuard

		"certs":                 4, // serving certificates
		"controllers/audit":     4, // the cluster's APIRules to findings
		"controllers/expose":    4, // keeps the APIRules that Services ask for
		"controllers/callers":   4, // keeps the AuthorizationPolicies for callers inside the mesh
		"controllers/guarantee": 4, // keeps what the API server's own policies are told
		"controllers/module":    4, // tells Kyma how the installation is
		"controllers/reinject":  4, // late annotations to existing APIRules
		"facts/cluster":         4, // the facts from watches
		"lint":                  4, // manifests to findings
		"webhook":               4, // admission requests to findings and patches

		"bootstrap/steps": 5, // the steps of the job

		"app/cli":   6, // composition roots
		"app/job":   6,
		"app/serve": 6,
	}
}

func TestEveryPackageHasALayer(t *testing.T) {
	for _, p := range module(t) {
		if !p.isUnder("pkg") {
			continue
		}
		_, ok := layers()[layerName(p.ImportPath)]
		assert.True(t, ok, "%s has no layer: add it to layers() in test/static/architecture, on the lowest layer that is above everything it imports", p.local())
	}
}

func TestImportsGoDownwardsOnly(t *testing.T) {
	for _, p := range module(t) {
		if p.isUnder("pkg") {
			for _, violation := range upwardImports(layers(), p) {
				assert.Fail(t, violation)
			}
		}
	}
}

// upwardImports lists the imports of p that are not on a lower layer.
func upwardImports(layers map[string]int, p pkg) []string {
	var violations []string
	from := layers[layerName(p.ImportPath)]
	for _, path := range p.Imports {
		if !strings.HasPrefix(path, modulePath+"/") {
			continue
		}
		to, ok := layers[layerName(path)]
		if ok && to < from {
			continue
		}
		violations = append(violations, fmt.Sprintf("%s (layer %d) imports %s (layer %d): a package imports only lower layers, so move what they share below both",
			p.local(), from, strings.TrimPrefix(path, modulePath+"/"), to))
	}
	slices.Sort(violations)
	return violations
}

func layerName(importPath string) string { return strings.TrimPrefix(importPath, modulePath+"/pkg/") }

func TestUpwardImports(t *testing.T) {
	layers := map[string]int{"low": 0, "middle": 1, "sibling": 1, "high": 2}
	const of = modulePath + "/pkg/"
	cases := map[string]struct {
		imports []string
		want    int
	}{
		"a lower layer, the standard library and others are fine": {[]string{of + "low", "fmt", "k8s.io/api/core/v1"}, 0},
		"a sibling is refused":                          {[]string{of + "sibling"}, 1},
		"a higher layer is refused":                     {[]string{of + "high"}, 1},
		"a package without a layer is refused":          {[]string{of + "unknown"}, 1},
		"our own code outside pkg is refused":           {[]string{modulePath + "/hack/demo"}, 1},
		"every violation is listed, not only the first": {[]string{of + "high", of + "low", of + "sibling"}, 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Len(t, upwardImports(layers, pkg{ImportPath: of + "middle", Imports: tc.imports}), tc.want)
		})
	}
}
