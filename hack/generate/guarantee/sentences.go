// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Words that stand in a finding for what CEL puts there.
const (
	someName   = "somename"
	somePolicy = "somepolicy"
	someValue  = "Some_Value"
	somePath   = "/somepath"
)

// example is an APIRule, and the world around it, with one fault: package policy makes
// the sentence about it, and the generator puts CEL in the place of the example's words.
type example struct {
	annotations, namespace map[string]string
	rule                   map[string]any
	policy                 *v1alpha1.ExtAuthPolicySpec
	registry               policy.Registry
}

// registered is a registry with one authorizer that is not valid, and others.
func registered(others ...string) policy.Registry {
	view := istio.View{Namespace: istio.Namespace, Name: "default"}
	for i, name := range append([]string{"registered"}, others...) {
		view.Authorizers = append(view.Authorizers, istio.Authorizer{Index: i, Name: name, Service: "a.b.svc.cluster.local"})
	}
	return policy.NewRegistry(view)
}

// sentence returns the finding of the code as the API server shows it: the field and
// what is wrong. An example without that finding is an error of this program.
func (e example) sentence(code policy.Code) (string, error) {
	object := map[string]any{
		"metadata": map[string]any{"name": "a", "namespace": "somespace", "annotations": texts(e.annotations)},
		"spec": map[string]any{
			"hosts": []any{"a.example.com"}, "gateway": "kyma-system/kyma-gateway",
			"service": map[string]any{"name": "a", "port": int64(80)}, "rules": []any{e.rule},
		},
	}
	view := apirule.Parse(object, "")
	facts := policy.Facts{
		Registry:   e.registry,
		Services:   map[types.NamespacedName]policy.Service{{Namespace: "somespace", Name: "a"}: {}},
		Namespaces: map[string]policy.Namespace{"somespace": {Annotations: e.namespace}},
		Now:        time.Unix(0, 0),
	}
	if e.policy != nil {
		facts.Policies = []policy.ClusterPolicy{policy.CompilePolicy(&v1alpha1.ExtAuthPolicy{ObjectMeta: metav1.ObjectMeta{Name: somePolicy}, Spec: *e.policy})}
	}
	for _, finding := range policy.Check(view, facts, policy.DefaultSettings()) {
		if finding.Code == code {
			return finding.Err.Error(), nil
		}
	}
	return "", fmt.Errorf("making the sentence of %s: the example has no such finding", code)
}

func texts(values map[string]string) map[string]any {
	all := map[string]any{}
	for key, value := range values {
		all[key] = value
	}
	return all
}

func ruleWith(strategy string, value any) map[string]any {
	return map[string]any{"path": somePath, "methods": []any{"GET"}, strategy: value}
}

// message is the CEL text that the sentence about an example makes, with expressions in
// the place of some of its words. Each word has to be there.
func (e example) message(code policy.Code, words ...string) (string, error) {
	sentence, err := e.sentence(code)
	if err != nil {
		return "", err
	}
	for i := 0; i < len(words); i += 2 {
		if !strings.Contains(sentence, words[i]) {
			return "", fmt.Errorf("making the sentence of %s: there is no %q in %q", code, words[i], sentence)
		}
		sentence = strings.ReplaceAll(sentence, words[i], fmt.Sprintf("\x00%d\x00", i+1))
	}
	parts := strings.Split(sentence, "\x00")
	var terms []string
	for i, part := range parts {
		switch {
		case i%2 == 1:
			var word int
			if _, err := fmt.Sscan(part, &word); err != nil {
				return "", err
			}
			terms = append(terms, "("+words[word]+")")
		case part != "":
			terms = append(terms, text(part))
		}
	}
	return strings.Join(terms, " + "), nil
}

// shown is a text of a stranger for a sentence: no more than 64 characters of it.
func shown(expression string) string {
	return fill("size($e) > 64 ? $e.substring(0, 63) + '…' : $e", "e", expression)
}

// listed joins names for a sentence; a sentence names no more than 16.
func listed(names string) string {
	return fill("size($n) == 0 ? 'none' : size($n) > 16 ? string(size($n)) + ' authorizers' : $n.join(', ')", "n", names)
}

// keys is a list of annotation keys in CEL.
func keys(kind annotation.Kind) string {
	var all []string
	for _, key := range annotation.Keys(kind) {
		all = append(all, text(key))
	}
	return "[" + strings.Join(all, ", ") + "]"
}
