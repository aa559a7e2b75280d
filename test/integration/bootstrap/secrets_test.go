// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

// releaseStatus is the label that Helm puts on the newest revision's Secret.
func (s *scene) releaseStatus(t *testing.T) string {
	t.Helper()
	var secrets corev1.SecretList
	require.NoError(t, s.client.List(t.Context(), &secrets, client.InNamespace(s.namespace), client.MatchingLabels{"owner": "helm"}))
	newest, status := "", "absent"
	for _, secret := range secrets.Items {
		if version := secret.Labels["version"]; len(version) > len(newest) || (len(version) == len(newest) && version > newest) {
			newest, status = version, secret.Labels["status"]
		}
	}
	return status
}

// TestSecretsAreNowhereButInTheSecrets looks for the credentials' bytes in all
// objects of the cluster, also inside of Helm's packed releases, and in all that
// the job printed, after a run that worked, one that failed, and one with a
// provider that repeats requests in its errors.
func TestSecretsAreNowhereButInTheSecrets(t *testing.T) {
	s := newScene(t)
	outputs := []string{}
	keep := func(o outcome) {
		outputs = append(outputs, o.stdout, o.stderr, o.termination)
		if o.err != nil {
			outputs = append(outputs, o.err.Error())
		}
	}
	done := s.run(t)
	require.NoError(t, done.err)
	keep(done)
	cookie := string(s.secret(t).Data["cookie-secret"])

	s.provider.SetFlaws(oidcprovider.Flaws{EchoRequest: true, TokenStatus: 0, BasicRefused: true})
	keep(s.run(t))
	s.setSecret(t, map[string]string{"client-id": "nobody", "client-secret": clientSecret})
	echoed := s.run(t)
	require.Error(t, echoed.err)
	keep(echoed)
	s.provider.SetFlaws(oidcprovider.Flaws{})
	s.setSecret(t, map[string]string{"client-id": clientID, "client-secret": clientSecret})
	s.kubelet.Crash()
	s.set(t, "timeouts.step", "2s")
	s.set(t, "proxy.extraValues", map[string]any{"podLabels": map[string]any{"a": "b"}})
	crashed := s.run(t)
	require.Error(t, crashed.err)
	keep(crashed)

	needles := map[string]string{"the client secret": secretCore, "the cookie secret": cookie}
	for _, secret := range []string{clientSecret, cookie} {
		for alignment := range 3 {
			// Base64 of a text has the secret in one of three ways, depending on
			// how many bytes are before it; the ends depend on what is around.
			encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", alignment) + secret))
			name := fmt.Sprintf("base64 %d of the secret of %d bytes", alignment, len(secret))
			needles[name] = encoded[4 : len(encoded)-4]
		}
	}

	objects := s.everything(t)
	require.Contains(t, strings.Join(objects, "\n"), "checksum/credentials", "the search sees Helm's releases")
	for name, needle := range needles {
		for _, text := range append(objects, outputs...) {
			if at := strings.Index(text, needle); at >= 0 {
				assert.Failf(t, "a secret leaked", "the %s is in: …%s…", name, text[max(0, at-200):at])
			}
		}
	}
}

// everything returns all objects of the cluster as text, Helm's releases unpacked
// and the two Secrets left out in which the credentials belong.
func (s *scene) everything(t *testing.T) []string {
	t.Helper()
	found, err := discovery.NewDiscoveryClientForConfig(plane.Config())
	require.NoError(t, err)
	lists, err := found.ServerPreferredResources()
	require.NoError(t, err)
	var texts []string
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		require.NoError(t, err)
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") {
				continue
			}
			var items unstructured.UnstructuredList
			items.SetGroupVersionKind(group.WithKind(resource.Kind + "List"))
			require.NoError(t, s.client.List(t.Context(), &items))
			for i := range items.Items {
				if text, ok := s.text(t, &items.Items[i]); ok {
					texts = append(texts, text)
				}
			}
		}
	}
	return texts
}

func (s *scene) text(t *testing.T, object *unstructured.Unstructured) (string, bool) {
	t.Helper()
	if object.GetKind() == "Secret" {
		user := object.GetNamespace() == "default"
		proxy := object.GetName() == "oauth2-proxy-credentials"
		if user || proxy {
			return "", false
		}
		if object.GetLabels()["owner"] == "helm" {
			data, _, _ := unstructured.NestedString(object.Object, "data", "release")
			return unpack(t, data), true
		}
	}
	raw, err := object.MarshalJSON()
	require.NoError(t, err)
	return string(raw), true
}

// unpack undoes what Helm's storage does: base64 of Kubernetes, base64 of Helm,
// gzip.
func unpack(t *testing.T, data string) string {
	t.Helper()
	outer, err := base64.StdEncoding.DecodeString(data)
	require.NoError(t, err)
	inner, err := base64.StdEncoding.DecodeString(string(outer))
	require.NoError(t, err)
	reader, err := gzip.NewReader(bytes.NewReader(inner))
	require.NoError(t, err)
	raw, err := io.ReadAll(reader)
	require.NoError(t, err)
	return string(raw)
}
