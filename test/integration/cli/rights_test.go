// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

const protectedCart = `apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.example.com]
  gateway: kyma-system/kyma-gateway
  service: {name: cart, port: 8080}
  rules:
  - {path: /*, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}
`

// A developer with rights in one namespace gets an answer, at once, that says what
// it does not know. Somebody with the ClusterRole of the chart sees everything.
func TestPeopleWithoutRightsInTheWholeCluster(t *testing.T) {
	s, plane := open(t)
	client, err := kubernetes.NewForConfig(plane.Config())
	require.NoError(t, err)
	_, err = client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "istio-system"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.create(t.Context(), parse(t, protectedCart)[0])
	require.NoError(t, err)
	inShop := []rbacv1.PolicyRule{
		{APIGroups: []string{"", "discovery.k8s.io"}, Resources: []string{"services", "endpointslices", "namespaces"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"list"}},
		{APIGroups: []string{"gateway.kyma-project.io", "security.istio.io", "networking.istio.io"}, Resources: []string{"*"}, Verbs: []string{"get", "list"}},
	}
	_, err = client.RbacV1().Roles("shop").Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "developer"}, Rules: inShop}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.RbacV1().RoleBindings("shop").Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "developer"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "developer"},
		Subjects: []rbacv1.Subject{{Kind: "User", Name: "dev", APIGroup: rbacv1.GroupName}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.RbacV1().ClusterRoles().Create(t.Context(), reader(t), metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "auditors"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "extauth-guard-reader"},
		Subjects: []rbacv1.Subject{{Kind: "User", Name: "auditor", APIGroup: rbacv1.GroupName}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)

	t.Run("a developer, in the own namespace", func(t *testing.T) {
		for _, args := range [][]string{{"explain", "shop/cart"}, {"report", "-n", "shop"}} {
			require.Eventually(t, func() bool { // until the authorizer has seen the role
				began := time.Now()
				_, stdout, stderr := s.run(t, "", append(args, "--as", "dev")...)
				assert.Less(t, time.Since(began), 5*time.Second)
				assert.NotRegexp(t, `(?m)^[EWI]\d{4} `, stderr, "lines of client libraries")
				return stdout != "" && assert.Contains(t, stdout, "cart.example.com") &&
					assert.Contains(t, stderr, "note: only the namespace shop was read: you may not list APIRule, AuthorizationPolicy, Deployment, EndpointSlice, Gateway, Namespace, Service, VirtualService in the whole cluster\n") &&
					assert.Contains(t, stderr, "note: not read, because you may not list them: ConfigMap, ExtAuthPolicy, Istio\n")
			}, 10*time.Second, 50*time.Millisecond, args)
		}
		_, stdout, _ := s.run(t, "", "explain", "shop/cart", "--as", "dev")
		assert.Contains(t, stdout, "registry   not known: you may not list Istio CRs in the namespace kyma-system")
	})
	t.Run("a developer, elsewhere", func(t *testing.T) {
		code, _, stderr := s.run(t, "", "explain", "oauth2-proxy/some", "--as", "dev")
		assert.Equal(t, 2, code)
		assert.Contains(t, stderr, `the APIRule oauth2-proxy/some cannot be read: apirules.gateway.kyma-project.io is forbidden: User "dev" cannot list resource "apirules"`)
	})
	t.Run("with the reader's role nothing is missing", func(t *testing.T) {
		for _, args := range [][]string{{"explain", "shop/cart"}, {"report"}, {"lint", "-", "--live"}} {
			_, _, stderr := s.run(t, protectedCart, append(args, "--as", "auditor")...)
			assert.NotContains(t, stderr, "note:", args)
			assert.NotContains(t, stderr, "Error:", args)
		}
		_, stdout, _ := s.run(t, "", "check", "--as", "auditor")
		assert.Contains(t, stdout, "√ the cluster can be read: 1 APIRule")
	})
}

// reader is the ClusterRole that the chart makes for people.
func reader(t *testing.T) *rbacv1.ClusterRole {
	t.Helper()
	rendering, err := chart.Render(chart.Options{})
	require.NoError(t, err)
	objects, err := rendering.Installed()
	require.NoError(t, err)
	for _, object := range objects {
		if object.GetKind() == "ClusterRole" && object.GetName() == "extauth-guard-reader" {
			role := &rbacv1.ClusterRole{}
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, role))
			return role
		}
	}
	require.Fail(t, "the chart renders no ClusterRole extauth-guard-reader")
	return nil
}
