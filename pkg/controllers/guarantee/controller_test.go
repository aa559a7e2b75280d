// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package guarantee_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/clock"

	"github.com/extauth-guard/extauth-guard/pkg/controllers/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	parameters "github.com/extauth-guard/extauth-guard/pkg/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestTheConfigMapFollowsTheWorld(t *testing.T) {
	client := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: parameters.ConfigMap, Namespace: "release"}, Data: map[string]string{"authorizers": "stale"}})
	world := facts.NewWorld("nobody looked")
	controller := guarantee.New(guarantee.Options{
		World: world, Typed: client, Namespace: "release", Settings: policy.DefaultSettings, Clock: clock.RealClock{}, Log: logr.Discard(),
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- controller.Start(ctx) }()
	says := func(key, value string) {
		t.Helper()
		require.Eventually(t, func() bool {
			object, err := client.CoreV1().ConfigMaps("release").Get(t.Context(), parameters.ConfigMap, metav1.GetOptions{})
			return err == nil && object.Data[key] == value
		}, 30*time.Second, 5*time.Millisecond, "%s is %q", key, value)
	}
	says("unknown", "nobody looked")
	says("authorizers", "")
	world.SetIstio(istio.View{Namespace: "kyma-system", Name: "default", Authorizers: []istio.Authorizer{{Name: "corp", Service: "a.b.svc.cluster.local", Port: 80}}})
	says("authorizers", "corp")
	world.SetService(types.NamespacedName{Namespace: "shop", Name: "cart"}, policy.Service{Annotations: map[string]string{"extauth-guard.io/inject": "false"}})
	says("service.shop.cart", "inject=false")
	stop()
	require.NoError(t, <-ended)
}
