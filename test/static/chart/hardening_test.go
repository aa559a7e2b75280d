// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// pods returns the Pods of a rendering and the templates of its Pods, by kind and
// name of what they belong to.
func pods(t *testing.T, rendering chart.Rendering) map[string]corev1.PodTemplateSpec {
	t.Helper()
	objects, err := rendering.Objects()
	require.NoError(t, err)
	all := map[string]corev1.PodTemplateSpec{}
	for _, object := range objects {
		content := object.Object
		switch object.GetKind() {
		case "Pod":
		case "Deployment", "Job":
			template, found, err := unstructured.NestedMap(content, "spec", "template")
			require.NoError(t, err)
			require.True(t, found)
			content = template
		default:
			continue
		}
		var pod corev1.PodTemplateSpec
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(content, &pod))
		all[object.GetKind()+" "+object.GetName()] = pod
	}
	return all
}

func TestPodSecurityRestricted(t *testing.T) {
	checks, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for name, rendering := range documented(t) {
		t.Run(name, func(t *testing.T) {
			all := pods(t, rendering)
			require.GreaterOrEqual(t, len(all), 2)
			for owner, pod := range all {
				result := policy.AggregateCheckResults(checks.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
				assert.True(t, result.Allowed, "%s: %s", owner, result.ForbiddenDetail())
			}
		})
	}
}

func TestEveryPod(t *testing.T) {
	for name, rendering := range documented(t) {
		for owner, pod := range pods(t, rendering) {
			t.Run(name+", "+owner, func(t *testing.T) {
				sidecar := strconv.FormatBool(owner == "Job extauth-guard-bootstrap")
				assert.Equal(t, sidecar, pod.Labels["sidecar.istio.io/inject"], "Istio looks for a label, not for an annotation; only the job talks to the mesh")
				assert.NotEmpty(t, pod.Spec.ServiceAccountName, "it would have the rights of the default account")
				for _, container := range pod.Spec.Containers {
					require.NotNil(t, container.SecurityContext)
					assert.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
					assert.NotEmpty(t, container.Resources.Requests, "without requests the scheduler guesses")
					assert.Contains(t, container.Resources.Limits, corev1.ResourceMemory)
					for _, env := range container.Env {
						assert.Nil(t, secretOf(env), "a secret in the environment is in every crash report")
					}
				}
			})
		}
	}
}

func secretOf(env corev1.EnvVar) *corev1.SecretKeySelector {
	if env.ValueFrom == nil {
		return nil
	}
	return env.ValueFrom.SecretKeyRef
}

func TestNoRoleIsWide(t *testing.T) {
	for name, rendering := range documented(t) {
		objects, err := rendering.Objects()
		require.NoError(t, err)
		for _, object := range objects {
			if object.GetKind() != "Role" && object.GetKind() != "ClusterRole" {
				continue
			}
			var role rbacv1.Role
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role))
			for _, rule := range role.Rules {
				for _, part := range [][]string{rule.Verbs, rule.Resources, rule.APIGroups} {
					assert.NotContains(t, part, "*", "%s: %s %s", name, object.GetKind(), object.GetName())
				}
				secrets := slices.Contains(rule.Resources, "secrets") && object.GetKind() == "ClusterRole"
				assert.False(t, secrets, "%s: %s may read secrets everywhere", name, object.GetName())
			}
		}
	}
}

// Goldens of a secret would be a leak, and a hook that forgets itself would be too.
func TestHooksGoAwayAndCarryNoSecret(t *testing.T) {
	for name, rendering := range documented(t) {
		objects, err := rendering.HookObjects()
		require.NoError(t, err)
		for _, object := range objects {
			assert.NotEqual(t, "Secret", object.GetKind(), name)
			assert.Equal(t, "before-hook-creation,hook-succeeded", object.GetAnnotations()["helm.sh/hook-delete-policy"], "%s: %s", name, object.GetName())
			_, ttl, err := unstructured.NestedInt64(object.Object, "spec", "ttlSecondsAfterFinished")
			require.NoError(t, err)
			assert.False(t, ttl, "Helm waits for a Job that is gone already")
		}
	}
}

func TestAnotherConfigurationIsAnotherRollout(t *testing.T) {
	checksum := func(values map[string]any) string {
		return pods(t, render(t, values))["Deployment extauth-guard"].Annotations["checksum/config"]
	}
	assert.NotEmpty(t, checksum(nil))
	assert.Equal(t, checksum(nil), checksum(map[string]any{"replicas": 5}), "what the configuration does not say restarts nothing")
	assert.NotEqual(t, checksum(nil), checksum(map[string]any{"log": map[string]any{"verbosity": 1}}))
}

func TestGoKnowsTheMemoryLimit(t *testing.T) {
	cases := map[string]struct{ limit, want string }{
		"mebibytes": {"256Mi", "230MiB"},
		"gibibytes": {"2Gi", "1843MiB"},
		"another":   {"500M", ""}, // from the kubelet, in bytes
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pod := pods(t, render(t, map[string]any{"resources": map[string]any{"limits": map[string]any{"memory": tc.limit}}}))["Deployment extauth-guard"]
			env := pod.Spec.Containers[0].Env
			require.Len(t, env, 1)
			assert.Equal(t, tc.want, env[0].Value)
			if tc.want == "" {
				assert.Equal(t, "limits.memory", env[0].ValueFrom.ResourceFieldRef.Resource)
			}
		})
	}
}

// Selectors cannot be changed by an upgrade, so nothing that a release changes
// may be in them.
func TestSelectorsSurviveAnUpgrade(t *testing.T) {
	objects, err := render(t, nil).Objects()
	require.NoError(t, err)
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		raw, _, err := unstructured.NestedMap(object.Object, "spec", "selector")
		require.NoError(t, err)
		var selector metav1.LabelSelector
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &selector))
		for label := range selector.MatchLabels {
			assert.False(t, strings.Contains(label, "version") || strings.Contains(label, "chart"), label)
		}
	}
}
