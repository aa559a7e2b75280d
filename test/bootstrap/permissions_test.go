// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap/steps"
	"github.com/extauth-guard/extauth-guard/pkg/config"
)

// TestWhatPreflightAsksForIsEnough runs and uninstalls both flows as a
// ServiceAccount that has exactly the permissions that the steps say they need.
func TestWhatPreflightAsksForIsEnough(t *testing.T) {
	for _, flow := range []config.Flow{config.FlowClientCredentials, config.FlowAuthorizationCode} {
		t.Run(string(flow), func(t *testing.T) {
			s := newScene(t)
			s.set(t, "flow", string(flow))
			s.set(t, "proxy.emailDomains", []any{"*"})
			raw, err := yaml.Marshal(s.config)
			require.NoError(t, err)
			cfg, err := config.LoadBootstrap(raw)
			require.NoError(t, err)

			s.kubeconfig = s.allowed(t, "run", steps.Permissions(cfg))
			got := s.run(t)
			require.NoError(t, got.err, got.stdout)
			s.set(t, "proxy.extraValues", map[string]any{"podLabels": map[string]any{"a": "b"}})
			require.NoError(t, s.run(t).err, "an upgrade needs more")

			s.kubeconfig = s.allowed(t, "uninstall", steps.UninstallPermissions(cfg))
			got = s.run(t, "uninstall")
			require.NoError(t, got.err, got.stdout)
		})
	}
}

// allowed returns the kubeconfig of a ServiceAccount with these permissions, the
// lock and the results, and nothing else.
func (s *scene) allowed(t *testing.T, operation string, permissions []steps.Permission) string {
	t.Helper()
	account := operation + "-" + s.namespace
	for _, verb := range []string{"get", "list", "create", "update"} {
		permissions = append(permissions,
			steps.Permission{Namespace: jobNamespace, Group: "coordination.k8s.io", Resource: "leases", Verb: verb},
			steps.Permission{Namespace: jobNamespace, Resource: "configmaps", Verb: verb})
	}
	s.keepNamespace(t) // A Role needs its namespace.
	for i, p := range permissions {
		s.grant(t, account, account+"-"+strconv.Itoa(i), p)
	}
	return writeKubeconfig(t, plane.AsServiceAccount(jobNamespace, account))
}

func (s *scene) grant(t *testing.T, account, name string, p steps.Permission) {
	t.Helper()
	resource := p.Resource
	if p.Subresource != "" {
		resource += "/" + p.Subresource
	}
	rule := rbacv1.PolicyRule{APIGroups: []string{p.Group}, Resources: []string{resource}, Verbs: []string{p.Verb}}
	if p.Name != "" {
		rule.ResourceNames = []string{p.Name}
	}
	meta := metav1.ObjectMeta{Namespace: p.Namespace, Name: name}
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: jobNamespace, Name: account}}
	if p.Namespace == "" {
		s.ensure(t, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}})
		s.ensure(t, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}})
		return
	}
	s.ensure(t, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}})
	s.ensure(t, &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}})
}
