// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// toJSON returns YAML as the JSON that a request would carry.
func toJSON(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	return raw
}

// decode decodes as the API machinery does: integers are int64.
func decode(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var object map[string]any
	require.NoError(t, strictjson.UnmarshalCaseSensitivePreserveInts(raw, &object))
	return object
}

// exact decodes without losing a digit of any number, for comparing documents.
func exact(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var object map[string]any
	require.NoError(t, decoder.Decode(&object))
	return object
}

// parse reads an APIRule of the namespace shop.
func parse(t *testing.T, text string) apirule.View {
	t.Helper()
	return apirule.Parse(decode(t, toJSON(t, text)), "shop")
}

// nsName is a name in a namespace.
func nsName(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// service names a Service in the namespace shop.
func service(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

// ours gives annotations under our prefix.
func ours(keysAndValues ...string) map[string]string {
	annotations := map[string]string{}
	for i := 0; i+1 < len(keysAndValues); i += 2 {
		annotations[annotation.Prefix+keysAndValues[i]] = keysAndValues[i+1]
	}
	return annotations
}

// registered is the registry of an Istio CR with authorizers of these names and
// nothing to be said about them.
func registered(names ...string) policy.Registry {
	view := istio.View{Namespace: "kyma-system", Name: "default", State: "Ready"}
	for i, name := range names {
		view.Authorizers = append(view.Authorizers, istio.Authorizer{
			Index: i, Name: name, Service: name + ".auth.svc.cluster.local", Port: 80, PathPrefix: "/verify?original=",
		})
	}
	return policy.NewRegistry(view)
}

// sentences renders findings as people read them, with the severity before.
func sentences(findings []policy.Finding) []string {
	var texts []string
	for _, finding := range findings {
		texts = append(texts, string(finding.Severity)+": "+finding.Err.Error())
	}
	return texts
}
