// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/bootstrap/steps"
	"github.com/extauth-guard/extauth-guard/pkg/config"
)

// TestWhatPreflightAsksForIsEnough runs and uninstalls both flows as a
// ServiceAccount that has exactly the permissions that the steps say they need.
func TestWhatPreflightAsksForIsEnough(t *testing.T) {
	for _, flow := range []config.Flow{config.FlowClientCredentials, config.FlowAuthorizationCode} {
		t.Run(string(flow), func(t *testing.T) {
			s := newScene(t)
			if flow == config.FlowAuthorizationCode {
				s.codeFlow(t)
			}
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

// TestEachPermissionOfTheJobIsNeeded takes one permission after the other away: the
// job says before it changes anything which one it lacks.
func TestEachPermissionOfTheJobIsNeeded(t *testing.T) {
	s := newScene(t)
	s.codeFlow(t)
	raw, err := yaml.Marshal(s.config)
	require.NoError(t, err)
	cfg, err := config.LoadBootstrap(raw)
	require.NoError(t, err)
	needed := steps.Permissions(cfg)
	everything := s.allowed(t, "all", needed)
	for i, taken := range needed {
		account := fmt.Sprintf("without-%d", i)
		s.kubeconfig = s.allowed(t, account, slices.Delete(slices.Clone(needed), i, i+1))
		got := s.run(t)
		require.Error(t, got.err, "%s", taken)
		assert.Equal(t, exit.Blocked, exit.Code(got.err), "%s", taken)
		assert.Contains(t, got.steps["preflight"].Message, taken.String())
		assert.Empty(t, got.applied(), "%s", taken)
	}
	s.kubeconfig = everything
	require.NoError(t, s.run(t).err, "with all of them it runs")
}

// rare says what else than a run and two upgrades with the test's chart needs a
// permission.
func rare(one steps.Permission) string {
	switch {
	case one.Verb == "delete":
		return "Helm removes what a version no longer makes, and revisions that are too old"
	case one.Resource == "pods":
		return "a proxy that does not become ready is explained by its Pods"
	case one.Resource == "serviceaccounts":
		return "the chart oauth2-proxy makes one, the test's does not"
	case one.Resource == "namespaces" && one.Verb == "create":
		return "here the namespace is there before, as a Role needs it"
	case one.Verb == "patch" && (one.Resource == "configmaps" || one.Resource == "services"):
		return "these upgrades change the Deployment only"
	case one.Verb == "update" && (one.Resource == "apirules" || one.Resource == "authorizationpolicies"):
		return "what the callback needs is repaired after somebody changed it"
	}
	return ""
}

// TestEachPermissionOfTheJobIsUsed compares what the job may do with what it does:
// what preflight asks for would else be needed for nothing but preflight.
func TestEachPermissionOfTheJobIsUsed(t *testing.T) {
	s := newScene(t)
	s.codeFlow(t)
	raw, err := yaml.Marshal(s.config)
	require.NoError(t, err)
	cfg, err := config.LoadBootstrap(raw)
	require.NoError(t, err)
	s.kubeconfig = s.allowed(t, "used", steps.Permissions(cfg))
	require.NoError(t, s.run(t).err)
	s.set(t, "proxy.extraValues", map[string]any{"podLabels": map[string]any{"a": "b"}})
	require.NoError(t, s.run(t).err)
	s.set(t, "proxy.extraValues", map[string]any{"podLabels": map[string]any{"a": "c"}})
	require.NoError(t, s.run(t).err)
	used := usedBy(t, "used-"+s.namespace)
	for _, one := range steps.Permissions(cfg) {
		what := one.Verb + " " + one.Resource
		if one.Subresource != "" {
			what += "/" + one.Subresource
		}
		if !used[what] {
			assert.NotEmpty(t, rare(one), "the job never asked to %s", one)
			t.Logf("not used here: %s: %s", one, rare(one))
		}
	}
}

// usedBy lists what an account of the job asked the API server for.
func usedBy(t *testing.T, account string) map[string]bool {
	t.Helper()
	file, err := os.Open(auditLog)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	used := map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event auditv1.Event
		require.NoError(t, json.Unmarshal(lines.Bytes(), &event))
		if event.ImpersonatedUser == nil || !strings.HasSuffix(event.ImpersonatedUser.Username, ":"+account) || event.ObjectRef == nil {
			continue
		}
		what := event.Verb + " " + event.ObjectRef.Resource
		if event.ObjectRef.Subresource != "" {
			what += "/" + event.ObjectRef.Subresource
		}
		used[what] = true
	}
	require.NoError(t, lines.Err())
	return used
}
