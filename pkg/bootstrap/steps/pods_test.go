// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

func TestAnErrorSaysWhyThePodsAreNotReady(t *testing.T) {
	labels := map[string]string{"app.kubernetes.io/instance": "oauth2-proxy"}
	pod := func(name string, status corev1.PodStatus) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "oauth2-proxy", Name: name, Labels: labels}, Status: status}
	}
	crashing := pod("crashing", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		Name: "oauth2-proxy", RestartCount: 2, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"}},
	}}})
	unscheduled := pod("unscheduled", corev1.PodStatus{Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available",
	}}})
	ready := pod("ready", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "oauth2-proxy", Ready: true}}})
	step := func(pods ...client.Object) *proxy {
		cfg := config.DefaultBootstrap()
		return &proxy{Environment: Environment{
			Config:     cfg,
			Client:     fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(pods...).Build(),
			Kubernetes: kubefake.NewClientset(),
		}}
	}
	cause := errors.New("not ready")
	ended, cancel := context.WithCancel(t.Context())
	cancel()

	err := step(crashing, unscheduled, ready).explain(ended, cause)
	require.ErrorIs(t, err, cause)
	// "fake logs" is what client-go's fake answers for every log.
	assert.EqualError(t, err, "not ready (Pod crashing: container oauth2-proxy waits, CrashLoopBackOff: back-off, its log ends with: fake logs; "+
		"Pod unscheduled: Unschedulable: 0/1 nodes are available)")
	assert.EqualError(t, step().explain(ended, cause), "not ready (no Pod says why; there are 0)")

	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "oauth2-proxy", Name: "oauth2-proxy-credentials"},
		Data:       map[string][]byte{clientSecretKey: []byte("fake logs")},
	}
	assert.ErrorContains(t, step(crashing, secret).explain(ended, cause), "its log ends with: [redacted]")
}

func TestTheDomainIsTheGatewaysOnlyHost(t *testing.T) {
	cases := map[string]struct {
		hosts   [][]any
		want    string
		wantErr string
	}{
		"one host on two servers":         {[][]any{{"*.example.com"}, {"*.example.com"}}, "example.com", ""},
		"with a namespace":                {[][]any{{"kyma-system/*.example.com"}}, "example.com", ""},
		"beside hosts without a wildcard": {[][]any{{"a.example.org", "*.example.com"}}, "example.com", ""},
		"two hosts": {
			[][]any{{"*.example.com"}, {"*.example.org"}},
			"",
			"the Gateway kyma-system/kyma-gateway has 2 different hosts *.<domain> (*.example.com, *.example.org), so domain: auto cannot choose; set domain in the configuration",
		},
		"no host": {nil, "", "the Gateway kyma-system/kyma-gateway has 0 different hosts *.<domain>, so domain: auto cannot choose; set domain in the configuration"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			gateway := newObject(gatewayGVK(), client.ObjectKey{Namespace: "kyma-system", Name: "kyma-gateway"})
			servers := []any{}
			for _, hosts := range tc.hosts {
				servers = append(servers, map[string]any{"hosts": hosts})
			}
			require.NoError(t, unstructured.SetNestedSlice(gateway.Object, servers, "spec", "servers"))
			env := Environment{Config: config.DefaultBootstrap(), Client: fake.NewClientBuilder().WithObjects(gateway).Build()}
			got, err := env.domain(t.Context())
			if tc.wantErr != "" {
				require.EqualError(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}
