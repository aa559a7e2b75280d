// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd_test proves, on a real API server, what this project believes about
// the CRDs of Kyma: the CRDs under pkg/crd/kyma, which the other tests use,
// accept and refuse what Kyma's own do, in the same words.
package crd_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	m.Run()
}

// TestCRDs asks the same questions of our CRDs and of Kyma's, each on a control
// plane of its own. The answers expected are written once, so they are the same.
func TestCRDs(t *testing.T) {
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		ask(t, checkout.Path(t, "pkg/crd/kyma"))
	})
	t.Run("Kyma's", func(t *testing.T) {
		t.Parallel()
		ask(t, checkout.Shared(t, "kyma-crds"))
	})
}

func ask(t *testing.T, crds string) {
	t.Helper()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{CRDs: []string{crds}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, plane.Stop()) })
	c := newCluster(t, plane.Config())

	t.Run("an APIRule is accepted or refused", func(t *testing.T) { testAPIRuleVerdicts(t, c) })
	t.Run("the versions of APIRule", func(t *testing.T) { testAPIRuleVersions(t, c) })
	t.Run("the life of an APIRule", func(t *testing.T) { testAPIRuleLife(t, c) })
	t.Run("an Istio CR is accepted or refused", func(t *testing.T) { testIstioVerdicts(t, c) })
	t.Run("the life of an Istio CR", func(t *testing.T) { testIstioLife(t, c) })
}

// cluster is how a test speaks with a control plane.
type cluster struct {
	dynamic.Interface
	discovery discovery.DiscoveryInterface
	warnings  *warnings
}

func newCluster(t *testing.T, config *rest.Config) cluster {
	t.Helper()
	heard := &warnings{}
	config.WarningHandler = heard
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	require.NoError(t, err)
	return cluster{Interface: client, discovery: disco, warnings: heard}
}

// of returns the client for one resource in the namespace default.
func (c cluster) of(resource schema.GroupVersionResource) dynamic.ResourceInterface {
	return c.Resource(resource).Namespace("default")
}

// verdict asks whether an object may be created, as kubectl would, without
// creating it: "" is yes, otherwise the reasons of the API server.
func (c cluster) verdict(t *testing.T, resource schema.GroupVersionResource, object *unstructured.Unstructured) string {
	t.Helper()
	return verdictOf(t, c.of(resource), object)
}

func verdictOf(t *testing.T, at dynamic.ResourceInterface, object *unstructured.Unstructured) string {
	t.Helper()
	_, err := at.Create(t.Context(), object, metav1.CreateOptions{
		DryRun:          []string{metav1.DryRunAll},
		FieldValidation: metav1.FieldValidationStrict,
	})
	if err == nil {
		return ""
	}
	require.True(t, apierrors.IsInvalid(err) || apierrors.IsBadRequest(err), "neither yes nor no: %v", err)
	_, reasons, found := strings.Cut(err.Error(), " is invalid: ")
	if !found {
		return err.Error()
	}
	return reasons
}

// warnings remembers the warnings of the API server.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

// take returns what was heard since it was last called.
func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := w.texts
	w.texts = nil
	return texts
}

// object reads an object from YAML, indented with two spaces only.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	var content map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &content), "%s", text)
	return &unstructured.Unstructured{Object: content}
}

// resource returns the discovery document of a resource and whether it has a
// status subresource.
func (c cluster) resource(t *testing.T, groupVersion, name string) (found metav1.APIResource, hasStatus bool) {
	t.Helper()
	list, err := c.discovery.ServerResourcesForGroupVersion(groupVersion)
	require.NoError(t, err)
	for _, r := range list.APIResources {
		switch r.Name {
		case name:
			found = r
		case name + "/status":
			hasStatus = true
		}
	}
	require.Equal(t, name, found.Name)
	return found, hasStatus
}

// apply applies an object server-side without force.
func (c cluster) apply(t *testing.T, resource schema.GroupVersionResource, manager string, object *unstructured.Unstructured) error {
	t.Helper()
	_, err := c.of(resource).Apply(t.Context(), object.GetName(), object, metav1.ApplyOptions{FieldManager: manager})
	return err
}
