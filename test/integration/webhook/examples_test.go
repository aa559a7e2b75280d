// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// testExamples applies every sample, which has to be accepted with the warnings
// that it announces, and every invalid example, whose last document has to be
// refused with the code that it announces. What kubectl prints is kept word for
// word in testdata/kubectl; go test -update writes it.
func (s *stage) testExamples(t *testing.T) {
	for _, folder := range []string{"config/samples", "hack/invalid-examples"} {
		files, err := filepath.Glob(filepath.Join(checkout.Path(t, folder), "*.yaml"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			one := readExample(t, file)
			t.Run(folder+"/"+one.name, func(t *testing.T) { s.testExample(t, one) })
		}
	}
}

// testUnasked applies a rule without an access strategy where nobody asks for one. Kyma's
// CRD refuses it, in words that may change with Kyma; above them is our warning.
func (s *stage) testUnasked(t *testing.T) {
	answer, err := s.kubectl(t, apiRule("v2", "default", "unasked", "", open), "apply", "-f", "-")
	require.Error(t, err)
	warning, refusal, _ := strings.Cut(answer, "\n")
	golden(t, filepath.Join("testdata", "kubectl", "unasked.txt"), warning+"\n")
	assert.Contains(t, refusal, "One of the following fields must be set")
}

// example is a file of manifests. Its first lines are comments: "code" is why its
// last document is refused, "expect" the codes of the warnings about its last
// document, "given" what is unusual about the cluster.
type example struct {
	name      string
	code      string
	expect    []string
	given     string
	documents []string
	kinds     map[string]bool
}

func readExample(t *testing.T, file string) example {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	one := example{name: strings.TrimSuffix(filepath.Base(file), ".yaml"), kinds: map[string]bool{}}
	for line := range strings.Lines(string(raw)) {
		comment, found := strings.CutPrefix(strings.TrimSpace(line), "# ")
		if !found {
			break
		}
		key, value, _ := strings.Cut(comment, ": ")
		switch key {
		case "code":
			one.code = value
		case "expect":
			one.expect = strings.Split(value, ", ")
		case "given":
			one.given = value
		}
	}
	slices.Sort(one.expect)
	one.documents = strings.Split(string(raw), "\n---\n")
	for _, document := range one.documents {
		one.kinds[object(t, document).GetKind()] = true
	}
	return one
}

func (s *stage) testExample(t *testing.T, one example) {
	t.Cleanup(func() { s.cleanUp(t, one) })
	switch one.given {
	case "":
	case "no Istio CR":
		s.deleteIstio(t)
	case "no mutating webhook":
		s.withoutMutatingWebhook(t)
	default:
		t.Fatalf("what is given is not known: %q", one.given)
	}
	last := len(one.documents) - 1
	if last > 0 {
		s.mustKubectl(t, strings.Join(one.documents[:last], "\n---\n"), "apply", "-f", "-")
	}
	// The watches may not have seen yet what was just applied; the exact answer is
	// compared once they have. An answer that asks to come back is repeated by
	// kubectl itself, for 20 seconds.
	if one.given != "no Istio CR" {
		var answer string
		assert.Eventually(t, func() bool {
			answer, _ = s.kubectl(t, one.documents[last], "apply", "--dry-run=server", "-f", "-")
			warned, refused := codesIn(answer)
			return one.matches(warned, refused)
		}, patience/4, often, "an answer with code %q and warnings %q", one.code, one.expect)
		if t.Failed() {
			t.Fatal(answer)
		}
	}
	answer, err := s.kubectl(t, one.documents[last], "apply", "-f", "-")
	assert.Equal(t, one.code != "", err != nil, "refused: %v", err)
	warned, refused := codesIn(answer)
	assert.True(t, one.matches(warned, refused), "%s", answer)
	golden(t, filepath.Join("testdata", "kubectl", one.name+".txt"), answer)
}

// matches is true if the codes in an answer are those that the example names. A
// refusal may come with warnings that an example need not announce.
func (e example) matches(warned, refused []string) bool {
	if e.code != "" {
		return slices.Contains(refused, e.code)
	}
	return len(refused) == 0 && slices.Equal(e.expect, warned)
}

// codesIn returns the codes of the warnings and of the refusal in what kubectl
// printed, sorted and without repetition.
func codesIn(answer string) (warned, refused []string) {
	for _, match := range regexp.MustCompile(`(?m)^Warning: ([A-Z]\w+): `).FindAllStringSubmatch(answer, -1) {
		warned = append(warned, match[1])
	}
	for _, match := range regexp.MustCompile(`\[([A-Z]\w+)\]`).FindAllStringSubmatch(answer, -1) {
		refused = append(refused, match[1])
	}
	slices.Sort(warned)
	slices.Sort(refused)
	return slices.Compact(warned), slices.Compact(refused)
}

// golden compares text with a file that is written by -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "go test -update writes it")
	assert.Empty(t, cmp.Diff(string(want), got), "%s (-want +got)", file)
}

// withoutMutatingWebhook takes the mutating webhook away until the test ends.
func (s *stage) withoutMutatingWebhook(t *testing.T) {
	t.Helper()
	registration, err := guard.Registration(s.settings)
	require.NoError(t, err)
	configurations := s.typed.AdmissionregistrationV1().MutatingWebhookConfigurations()
	name := registration.Mutating().Name
	require.NoError(t, configurations.Delete(t.Context(), name, metav1.DeleteOptions{}))
	probe := object(t, apiRule("v2", "default", "probe", inject, open))
	injects := func(ctx context.Context) bool {
		_, err := s.apiRules("v2", "default").Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil
	}
	require.Eventually(t, func() bool { return !injects(t.Context()) }, patience, often)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := configurations.Create(ctx, registration.Mutating(), metav1.CreateOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return injects(ctx) }, patience, often)
	})
}

// cleanUp removes what an example left, apart from namespaces, which a control
// plane without controllers cannot remove, and makes the world what it was.
func (s *stage) cleanUp(t *testing.T, one example) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	ofWorld := worldObjects(t)
	restore := false
	for _, document := range one.documents {
		manifest := object(t, document)
		if ofWorld[identity(manifest)] {
			restore = true
			continue
		}
		if manifest.GetKind() == "Namespace" {
			continue
		}
		err := s.dynamic.Resource(resourceOf(manifest)).Namespace(manifest.GetNamespace()).Delete(ctx, manifest.GetName(), metav1.DeleteOptions{})
		if !apierrors.IsNotFound(err) {
			require.NoError(t, err)
		}
	}
	if one.kinds["Istio"] || one.given == "no Istio CR" {
		s.resetIstio(t)
	}
	if restore {
		s.mustKubectl(t, "", "apply", "-f", world)
	}
}

// worldObjects are what every test finds.
func worldObjects(t *testing.T) map[string]bool {
	t.Helper()
	raw, err := os.ReadFile(world)
	require.NoError(t, err)
	all := map[string]bool{}
	for document := range strings.SplitSeq(string(raw), "\n---\n") {
		all[identity(object(t, document))] = true
	}
	return all
}

func identity(manifest *unstructured.Unstructured) string {
	return manifest.GetKind() + " " + manifest.GetNamespace() + "/" + manifest.GetName()
}

func resourceOf(manifest *unstructured.Unstructured) schema.GroupVersionResource {
	plural := map[string]string{"APIRule": "apirules", "Service": "services", "AuthorizationPolicy": "authorizationpolicies", "ExtAuthPolicy": "extauthpolicies", "Deployment": "deployments"}
	return manifest.GroupVersionKind().GroupVersion().WithResource(plural[manifest.GetKind()])
}
