// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package permissions_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/extauth-guard/extauth-guard/pkg/app/serve"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
)

const patience, glance = 30 * time.Second, 20 * time.Millisecond

// permission is one verb on one resource, as a role grants it.
type permission struct {
	namespace, group, resource, name, verb string
}

func (p permission) String() string {
	text := p.what()
	if p.name != "" {
		text += " " + p.name
	}
	if p.namespace != "" {
		text += " in " + p.namespace
	}
	return text
}

// what is the part of a permission that a request shows.
func (p permission) what() string {
	return strings.TrimSuffix(p.verb+" "+p.resource+"."+p.group, ".")
}

// covers is true if the permission allows what another one says.
func (p permission) covers(other permission) bool {
	return p.group == other.group && p.resource == other.resource && p.verb == other.verb &&
		(p.namespace == "" || p.namespace == other.namespace) && (p.name == "" || p.name == other.name)
}

// reportKind is a kind of report that a cluster may have. Only the newest is written.
type reportKind struct {
	apiVersion, resource, crd string
}

func policyReports() reportKind {
	return reportKind{"wgpolicyk8s.io/v1alpha2", "policyreports", "test/testdata/crds/optional"}
}

func openReports() reportKind {
	return reportKind{"openreports.io/v1alpha1", "reports", "test/testdata/crds/openreports"}
}

// stage is a control plane with all the CRDs.
type stage struct {
	reportKind reportKind
	plane      *controlplane.ControlPlane
	typed      kubernetes.Interface
	untyped    dynamic.Interface
	plays      int
}

func newStage(t *testing.T, reports reportKind) *stage {
	t.Helper()
	s := &stage{reportKind: reports}
	var err error
	s.plane, err = controlplane.Start(t.Context(), controlplane.Options{CRDs: []string{
		checkout.Path(t, "pkg/crd/kyma"), checkout.Path(t, "test/testdata/crds/optional"), checkout.Path(t, reports.crd),
		checkout.Path(t, "config/crd/extauth-guard.io_extauthpolicies.yaml"), checkout.Path(t, "config/crd/extauth-guard.io_extauthguards.yaml"),
	}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.plane.Stop()) })
	settings := s.plane.Config()
	settings.QPS, settings.WarningHandler = -1, rest.NoWarnings{}
	s.typed, err = kubernetes.NewForConfig(settings)
	require.NoError(t, err)
	s.untyped, err = dynamic.NewForConfig(settings)
	require.NoError(t, err)
	for _, name := range []string{chart.Namespace, "kyma-system", "istio-system", "oauth2-proxy", "shop"} {
		s.namespace(t, name, nil)
	}
	s.apply(t, `{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: default, namespace: kyma-system}, spec: {config: {authorizers: [
		{name: oauth2-proxy, service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}]}}}`)
	s.apply(t, `{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: kyma-gateway, namespace: kyma-system}, spec: {servers: [
		{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*.kyma.example.com"]}]}}`)
	return s
}

func (s *stage) namespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	_, err := s.typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// granted lists what the chart grants to one of its accounts, with everything
// switched on that has permissions.
func (s *stage) granted(t *testing.T, of string) []permission {
	t.Helper()
	rendering, err := chart.Render(chart.Options{Values: map[string]any{
		"tests":     map[string]any{"namespace": "shop"},
		"guarantee": map[string]any{"enabled": true},
		"kyma":      map[string]any{"module": map[string]any{"enabled": true}},
		"bootstrap": map[string]any{"enabled": true, "config": map[string]any{
			"issuer": map[string]any{"url": "https://issuer.example.com"}, "credentials": map[string]any{"name": "client"},
			"proxy": map[string]any{"chart": map[string]any{"digest": "sha256:" + strings.Repeat("0", 64)}},
		}},
	}})
	require.NoError(t, err)
	objects, err := rendering.Objects()
	require.NoError(t, err)
	bound := map[string]bool{}
	for _, object := range objects {
		if kind := object.GetKind(); kind != "ClusterRoleBinding" && kind != "RoleBinding" {
			continue
		}
		var binding rbacv1.RoleBinding
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &binding))
		for _, subject := range binding.Subjects {
			if subject.Kind == rbacv1.ServiceAccountKind && subject.Namespace == chart.Namespace && subject.Name == of {
				bound[binding.RoleRef.Kind+" "+object.GetNamespace()+"/"+binding.RoleRef.Name] = true
			}
		}
	}
	var all []permission
	for _, object := range objects {
		if !bound[object.GetKind()+" "+object.GetNamespace()+"/"+object.GetName()] {
			continue
		}
		var role rbacv1.Role
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role))
		for _, rule := range role.Rules {
			all = append(all, permissions(object.GetNamespace(), rule)...)
		}
	}
	slices.SortFunc(all, func(a, b permission) int {
		return strings.Compare(a.namespace+" "+a.String(), b.namespace+" "+b.String())
	})
	return slices.Compact(all)
}

func permissions(namespace string, rule rbacv1.PolicyRule) []permission {
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	var all []permission
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, name := range names {
				for _, verb := range rule.Verbs {
					all = append(all, permission{namespace, group, resource, name, verb})
				}
			}
		}
	}
	return all
}

// account is the name of the ServiceAccount that plays another one without one of
// its permissions; -1 is the one with all of them.
func account(of string, without int) string {
	return of + "-without-" + strconv.Itoa(without+1)
}

// accounts grants to each account everything but one permission, and waits until
// the authorizer knows.
func (s *stage) accounts(t *testing.T, of string, granted []permission) {
	t.Helper()
	for without := -1; without < len(granted); without++ {
		rules := map[string][]rbacv1.PolicyRule{}
		for i, one := range granted {
			if i == without {
				continue
			}
			rule := rbacv1.PolicyRule{APIGroups: []string{one.group}, Resources: []string{one.resource}, Verbs: []string{one.verb}}
			if one.name != "" {
				rule.ResourceNames = []string{one.name}
			}
			rules[one.namespace] = append(rules[one.namespace], rule)
		}
		for _, namespace := range namespacesOf(granted) {
			s.grant(t, namespace, account(of, without), rules[namespace])
		}
	}
	for without := -1; without < len(granted); without++ {
		for i, one := range granted {
			if i == without {
				require.False(t, s.may(t, account(of, without), one), "%s", one)
				continue
			}
			// A role and its binding are known or not: one question for each is enough.
			if i+1 == len(granted) || granted[i+1].namespace != one.namespace || i+1 == without {
				require.Eventually(t, func() bool { return s.may(t, account(of, without), one) }, patience, glance, "%s: %s", account(of, without), one)
			}
		}
	}
}

func namespacesOf(granted []permission) []string {
	var all []string
	for _, one := range granted {
		all = append(all, one.namespace)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// grant sets the role of an account in a namespace, or in all of them.
func (s *stage) grant(t *testing.T, namespace, name string, rules []rbacv1.PolicyRule) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: chart.Namespace, Name: name}}
	api := s.typed.RbacV1()
	var errs [2]error
	if namespace == "" {
		_, errs[0] = api.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
		_, errs[1] = api.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		}, metav1.CreateOptions{})
	} else {
		_, errs[0] = api.Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
		_, errs[1] = api.RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		}, metav1.CreateOptions{})
	}
	require.NoError(t, errors.Join(errs[:]...))
}

// may asks the API server's authorizer.
func (s *stage) may(t *testing.T, name string, what permission) bool {
	t.Helper()
	resource, subresource, _ := strings.Cut(what.resource, "/")
	user := s.plane.AsServiceAccount(chart.Namespace, name).Impersonate
	review, err := s.typed.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: user.UserName, Groups: user.Groups, ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: what.namespace, Group: what.group, Resource: resource, Subresource: subresource, Name: what.name, Verb: what.verb,
		}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return review.Status.Allowed
}

// questions are what could be allowed.
func (s *stage) questions(t *testing.T, granted []permission) []permission {
	t.Helper()
	_, lists, err := s.typed.Discovery().ServerGroupsAndResources()
	require.NoError(t, err)
	elsewhere := map[string]bool{"": true, "kube-system": true, chart.Namespace: true}
	for _, one := range granted {
		elsewhere[one.namespace] = true
	}
	var all []permission
	for _, list := range lists {
		group, _, ok := strings.Cut(list.GroupVersion, "/")
		if !ok {
			group = ""
		}
		for _, resource := range list.APIResources {
			names := []string{""}
			for _, one := range granted {
				if one.resource == resource.Name && one.name != "" {
					names = append(names, one.name, "other")
				}
			}
			for namespace := range elsewhere {
				if namespace != "" && !resource.Namespaced {
					continue
				}
				for _, name := range names {
					for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "escalate", "bind", "impersonate"} {
						all = append(all, permission{namespace, group, resource.Name, name, verb})
					}
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b permission) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return slices.Compact(all)
}

// command runs the webhook binary's command line as an account.
func (s *stage) command(t *testing.T, name string, args ...string) error {
	t.Helper()
	config := s.plane.AsServiceAccount(chart.Namespace, name)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData,
			Impersonate: config.Impersonate.UserName, ImpersonateGroups: config.Impersonate.Groups,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}, file))
	var out bytes.Buffer
	return serve.Run(t.Context(), append(args, "--kubeconfig", file), &out, &out)
}
