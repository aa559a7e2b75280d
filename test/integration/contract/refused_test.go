// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package contract_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/crd"
	"github.com/extauth-guard/extauth-guard/pkg/facts/cluster"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

const (
	generatedAPIRules = 2000
	seed              = 20
	parallel          = 4
)

// judge has lint and the API server, with the webhooks, judge objects one by one.
type judge struct {
	*stage
	linter lint.Linter
	client rest.Interface
	istio  *unstructured.Unstructured

	mu     sync.Mutex
	counts map[string]int
}

func newJudge(t *testing.T) *judge {
	t.Helper()
	j := &judge{stage: newStage(t), counts: map[string]int{}}
	schemas, err := crd.Kyma()
	require.NoError(t, err)
	world, gaps, err := cluster.Read(t.Context(), j.Plane.Config(), "shop")
	require.NoError(t, err)
	require.Empty(t, gaps)
	j.linter = lint.Linter{
		Source: world, Settings: settings(), Namespace: "shop", Now: time.Now(), Istios: world.Istios(), Complete: true, Schemas: schemas,
	}
	config := rest.CopyConfig(j.Plane.Config())
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return impatient{next} })
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	j.client = client.Discovery().RESTClient()
	j.istio, err = j.istios().Get(t.Context(), "default", metav1.GetOptions{})
	require.NoError(t, err)
	return j
}

// What the API server refuses, with our webhooks and Kyma's CRDs, lint refuses in
// the same fields, and nothing else.
func TestLintRefusesWhatTheAPIServerRefuses(t *testing.T) {
	j := newJudge(t)
	t.Run("generated APIRules", j.testGenerated)
	t.Run("manifests", j.testManifests)
}

func (j *judge) testGenerated(t *testing.T) {
	started := time.Now()
	different := make([][]string, parallel)
	var workers sync.WaitGroup
	for worker := range parallel {
		workers.Go(func() {
			for number := worker; number < generatedAPIRules; number += parallel {
				object := generate(number)
				if difference := j.compare(t.Context(), fmt.Sprintf("number %d", number), object, object); difference != "" {
					different[worker] = append(different[worker], difference)
				}
			}
		})
	}
	workers.Wait()
	same(t, slices.Concat(different...))
	t.Logf("%d APIRules (seed %d) in %s: %v", generatedAPIRules, seed, time.Since(started).Round(time.Millisecond), j.counts)
	assert.Greater(t, j.counts["accepted"], generatedAPIRules/10)
	for _, phase := range []string{unknownFields, byTheCRD, byTheWebhooks} {
		assert.Greater(t, j.counts[phase], generatedAPIRules/20, phase)
	}
}

// same fails with the first ten of the differences.
func same(t *testing.T, different []string) {
	t.Helper()
	for _, one := range different[:min(len(different), 10)] {
		assert.Fail(t, "an object is judged in different ways", "one of %d: %s", len(different), one)
	}
}

// testManifests is about every APIRule and Istio CR in test/testdata/manifests.
func (j *judge) testManifests(t *testing.T) {
	j.counts = map[string]int{}
	folder := checkout.Path(t, "test/testdata/manifests")
	files, err := manifest.Find([]string{filepath.Join(folder, "apirules"), filepath.Join(folder, "ingresses")}, nil)
	require.NoError(t, err)
	var different []string
	namespaces := map[string]bool{"shop": true, "kyma-system": true, "istio-system": true, "auth": true}
	for _, file := range files.List {
		if file.Patch {
			continue
		}
		for document, err := range file.Documents() {
			require.NoError(t, err)
			parsed, err := document.Parse()
			if err != nil {
				continue // a template
			}
			if !slices.ContainsFunc(parsed, func(one manifest.Object) bool { return judged(one.Value) }) {
				continue
			}
			for i, sent := range asSent(t, document.Text) {
				if !judged(sent) {
					continue
				}
				name := fmt.Sprintf("%s, document at line %d, object %d", filepath.Base(file.Name), document.Line, i)
				namespace := (&unstructured.Unstructured{Object: sent}).GetNamespace()
				if strings.ContainsAny(namespace, "$<") {
					continue // kubectl finds no place to send it to
				}
				if namespace != "" && !namespaces[namespace] {
					namespaces[namespace] = true
					j.Namespace(namespace, nil)
				}
				if difference := j.compare(t.Context(), name, parsed[i].Value, sent); difference != "" {
					different = append(different, difference)
				}
			}
		}
	}
	same(t, different)
	t.Logf("%v", j.counts)
	assert.Greater(t, j.counts["accepted"], 20)
	assert.Greater(t, j.counts[byTheCRD]+j.counts[unknownFields], 10)
}

// judged is true for the kinds that have a CRD.
func judged(object map[string]any) bool {
	return object["kind"] == "APIRule" || object["kind"] == "Istio"
}

// asSent returns the objects of a document as kubectl sends them.
func asSent(t *testing.T, text []byte) []map[string]any {
	t.Helper()
	var one map[string]any
	if json.Unmarshal(text, &one) != nil { // JSON has escapes that YAML does not
		require.NoError(t, yaml.Unmarshal(text, &one))
	}
	items, isList := one["items"].([]any)
	kind, _ := one["kind"].(string)
	if !isList || !strings.HasSuffix(kind, "List") {
		return []map[string]any{one}
	}
	var all []map[string]any
	for _, item := range items {
		object := item.(map[string]any)
		if _, typed := object["kind"]; !typed {
			object["kind"], object["apiVersion"] = strings.TrimSuffix(kind, "List"), one["apiVersion"]
		}
		all = append(all, object)
	}
	return all
}

// Where an object is refused, in the order in which that happens.
const (
	notServed     = "refused: the version is not served"
	undecodable   = "refused: it cannot be decoded"
	unknownFields = "refused: fields are not known"
	byTheCRD      = "refused by the CRD"
	byTheWebhooks = "refused by the webhooks"
)

// compare compares what lint says of an object with what the API server does, and
// returns the difference, "" if there is none.
func (j *judge) compare(ctx context.Context, name string, read, sent map[string]any) string {
	found, _ := j.linter.Check(ctx, read)
	phase, fields := expected(found)
	gotPhase, gotFields, err := j.send(ctx, sent)
	j.mu.Lock()
	j.counts[gotPhase]++
	j.mu.Unlock()
	if phase == gotPhase && (slices.Equal(fields, gotFields) || phase == byTheWebhooks && j.mutatingOnly(found, fields, gotFields)) {
		return ""
	}
	raw, _ := yaml.Marshal(sent)
	return fmt.Sprintf("%s: lint says %s, fields %q\nthe API server says %s, fields %q: %v\n%s", name, phase, fields, gotPhase, gotFields, err, raw)
}

// mutatingOnly is true if only the mutating webhook refused an object: it says what
// it cannot read, and the validating one, which is not asked any more, the rest.
func (j *judge) mutatingOnly(found []policy.Finding, all, said []string) bool {
	return slices.ContainsFunc(found, func(one policy.Finding) bool { return one.Code == policy.InvalidAnnotation }) &&
		len(said) > 0 && !slices.ContainsFunc(said, func(at string) bool { return !slices.Contains(all, at) })
}

// expected returns where an object will be refused by what lint found, and the
// fields that are named there.
func expected(found []policy.Finding) (phase string, fields []string) {
	in := map[string][]string{}
	for _, one := range found {
		at := one.Err.Field
		switch {
		case one.Severity != policy.Deny:
		case one.Code == lint.VersionNotServed:
			in[notServed] = append(in[notServed], "")
		case strings.Contains(one.Err.Detail, "quote it") || strings.Contains(one.Err.Detail, "cannot decode it"):
			in[undecodable] = append(in[undecodable], "")
		case one.Code == lint.SchemaInvalid && one.Err.Detail == "there is no such field":
			in[unknownFields] = append(in[unknownFields], at)
		case one.Code == lint.SchemaInvalid:
			in[byTheCRD] = append(in[byTheCRD], at)
		case lintOnly(one):
		default:
			in[byTheWebhooks] = append(in[byTheWebhooks], at)
		}
	}
	for _, phase := range []string{notServed, undecodable, unknownFields, byTheCRD, byTheWebhooks} {
		if len(in[phase]) > 0 {
			return phase, sorted(in[phase])
		}
	}
	return "accepted", nil
}

// lintOnly is true for what only lint can see: keys that are nearly ours, and
// labels that should be annotations. In a cluster they are somebody else's.
func lintOnly(one policy.Finding) bool {
	at := one.Err.Field
	return one.Code == policy.InvalidAnnotation &&
		(!strings.HasPrefix(at, "metadata.annotations[") || !annotation.Ours(strings.TrimSuffix(strings.TrimPrefix(at, "metadata.annotations["), "]")))
}

func sorted(fields []string) []string {
	slices.Sort(fields)
	return slices.Compact(fields)
}

var unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)

// send has the API server create an APIRule, or change the Istio CR, as a dry run.
func (j *judge) send(ctx context.Context, object map[string]any) (phase string, fields []string, err error) {
	at := &unstructured.Unstructured{Object: object}
	request := j.client.Post()
	namespace := at.GetNamespace()
	if namespace == "" {
		namespace = "shop"
	}
	path := fmt.Sprintf("/apis/%s/namespaces/%s/%ss", object["apiVersion"], namespace, strings.ToLower(fmt.Sprint(object["kind"])))
	if object["kind"] == "Istio" {
		at = at.DeepCopy()
		if object["apiVersion"] == j.istio.GetAPIVersion() {
			at.SetResourceVersion(j.istio.GetResourceVersion())
			path += "/" + j.istio.GetName()
			request = j.client.Put()
		}
	}
	delete(at.Object, "status")
	for _, key := range []string{"resourceVersion", "uid"} {
		if object["kind"] == "APIRule" {
			unstructured.RemoveNestedField(at.Object, "metadata", key)
		}
	}
	raw, err := json.Marshal(at.Object)
	if err != nil {
		return "", nil, err
	}
	err = request.AbsPath(path).Param("dryRun", "All").Param("fieldValidation", "Strict").SetHeader("Content-Type", "application/json").Body(raw).Do(ctx).Error()
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return "accepted", nil, nil
	case apierrors.IsNotFound(err):
		return notServed, []string{""}, err
	case apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "strict decoding error"):
		for _, match := range unknownField.FindAllStringSubmatch(err.Error(), -1) {
			fields = append(fields, match[1])
		}
		return unknownFields, sorted(fields), err
	case apierrors.IsBadRequest(err):
		return undecodable, []string{""}, err
	case apierrors.IsInvalid(err) && errors.As(err, &status):
		phase = byTheCRD
		for _, cause := range status.Status().Details.Causes {
			if cause.Field == "<nil>" {
				continue // that CEL rules were not looked at
			}
			fields = append(fields, cause.Field)
			if known(codeIn(cause.Message)) {
				phase = byTheWebhooks
			}
		}
		return phase, sorted(fields), err
	}
	return "neither accepted nor refused", nil, err
}
