// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/e2e-framework/pkg/features"

	"github.com/extauth-guard/extauth-guard/pkg/oidc"
)

// The environment that says how to get in from outside. Without it the requests
// at the gateway are skipped.
const (
	// AddressEnv is host:port of the ingress gateway's TLS port.
	AddressEnv = "EXTAUTH_E2E_GATEWAY"
	// DomainEnv is the domain of kyma-gateway.
	DomainEnv = "EXTAUTH_E2E_DOMAIN"
	// IssuerEnv is the issuer, exactly as it calls itself.
	IssuerEnv = "EXTAUTH_E2E_ISSUER"
	// ClientEnv and SecretEnv are the client whose tokens the proxy accepts.
	ClientEnv = "EXTAUTH_E2E_CLIENT_ID"
	SecretEnv = "EXTAUTH_E2E_CLIENT_SECRET"
	// ImageEnv is the image of an HTTP server on 8080 that answers GET /headers.
	ImageEnv = "EXTAUTH_E2E_APP_IMAGE"
)

// What may be said besides.
const (
	// IssuerAddressEnv is host:port where this machine reaches the issuer, if not
	// where its URL says, such as a port that is forwarded.
	IssuerAddressEnv = "EXTAUTH_E2E_ISSUER_ADDRESS"
	// IssuerCAEnv is PEM of an authority to trust for the issuer.
	IssuerCAEnv = "EXTAUTH_E2E_ISSUER_CA"
	// JWKSEnv is the URL of the issuer's keys, as istiod reaches it. Without it no
	// JWT restrictions are tried.
	JWKSEnv = "EXTAUTH_E2E_JWKS"
)

// gateway is what it is all for: requests from outside, by Envoy, Istio, Kyma's
// controller and the proxy. It repeats what Kyma's own suite asserts (Kyma
// api-gateway 3.10, tests/e2e/tests/extauth): Ready, one VirtualService, two
// AuthorizationPolicies, and the answers, with and without JWT restrictions.
func gateway() features.Feature {
	return features.New("requests at the gateway").
		Assess("no token 401, a token 200, the proxy's own paths 401", assess(func(t *testing.T, s *scene) {
			host := s.expose(t, nil)
			token := token(s.ctx, t)
			s.eventually(t, "the mesh to know", func() error { return answers(s.ctx, host, "/headers", token, http.StatusOK) })
			require.NoError(t, answers(s.ctx, host, "/headers", "", http.StatusUnauthorized))
			require.NoError(t, answers(s.ctx, host, "/headers", "garbage", http.StatusUnauthorized))
			for _, path := range []string{"/ping", "/ready", "/robots.txt", "/oauth2/static/css/all.min.css"} {
				require.NoError(t, answers(s.ctx, host, path, "", http.StatusUnauthorized), "the proxy answers this one by itself, if it is let")
			}
		})).
		Assess("restrictions on top: a token for somebody else 403", assess(func(t *testing.T, s *scene) {
			needs(t, JWKSEnv)
			allowed, other := s.expose(t, restrictions(os.Getenv(ClientEnv))), s.expose(t, restrictions("somebody-else"))
			token := token(s.ctx, t)
			s.eventually(t, "the mesh to know", func() error { return answers(s.ctx, allowed, "/headers", token, http.StatusOK) })
			s.eventually(t, "the mesh to know", func() error { return answers(s.ctx, other, "/headers", token, http.StatusForbidden) })
			for _, host := range []string{allowed, other} {
				require.NoError(t, answers(s.ctx, host, "/headers", "", http.StatusUnauthorized), "the authorizer is asked first")
				require.NoError(t, answers(s.ctx, host, "/headers", "garbage", http.StatusUnauthorized))
			}
		})).
		Feature()
}

// needs skips where the environment does not say how.
func needs(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if os.Getenv(name) == "" {
			t.Skipf("no such requests at the gateway: %s is not set", name)
		}
	}
}

// restrictions are those of an extAuth that accept the issuer's tokens for an
// audience.
func restrictions(audience string) map[string]any {
	return map[string]any{
		"authentications": []any{map[string]any{"issuer": os.Getenv(IssuerEnv), "jwksUri": os.Getenv(JWKSEnv)}},
		"authorizations":  []any{map[string]any{"audiences": []any{audience}}},
	}
}

// expose runs an application in a namespace that asks for injection, exposes it,
// and returns its host. With restrictions the rule names its authorizer itself.
func (s *scene) expose(t *testing.T, restrictions map[string]any) string {
	t.Helper()
	needs(t, AddressEnv, DomainEnv, IssuerEnv, ClientEnv, SecretEnv, ImageEnv)
	namespace := s.namespace(t, map[string]string{inject: "true"})
	s.app(t, namespace)
	rule := apirule(namespace, "app", nil)
	if restrictions != nil {
		rule = apirule(namespace, "app", nil, s.standard(t))
		rules, _, err := unstructured.NestedSlice(rule.Object, "spec", "rules")
		require.NoError(t, err)
		require.NoError(t, unstructured.SetNestedMap(rules[0].(map[string]any), restrictions, "extAuth", "restrictions"))
		require.NoError(t, unstructured.SetNestedSlice(rule.Object, rules, "spec", "rules"))
	}
	host := "app-" + namespace + "." + os.Getenv(DomainEnv)
	require.NoError(t, unstructured.SetNestedStringSlice(rule.Object, []string{host}, "spec", "hosts"))
	s.create(t, rule)
	s.ready(t, namespace)
	s.made(t, namespace, "networking.istio.io", "virtualservices", 1)
	s.made(t, namespace, "security.istio.io", "authorizationpolicies", 2)
	return host
}

// app runs an HTTP server with a sidecar.
func (s *scene) app(t *testing.T, namespace string) {
	t.Helper()
	_, err := s.typed.CoreV1().Pods(namespace).Create(s.ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "app", Labels: map[string]string{"app": "app"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: os.Getenv(ImageEnv), ImagePullPolicy: corev1.PullIfNotPresent}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.typed.CoreV1().Services(namespace).Create(s.ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "app"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "app"},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// ready waits until Kyma's controller says so.
func (s *scene) ready(t *testing.T, namespace string) {
	t.Helper()
	s.eventually(t, "Kyma's controller", func() error {
		rule, err := s.apirules(namespace).Get(s.ctx, "app", metav1.GetOptions{})
		if err != nil {
			return err
		}
		state, _, _ := unstructured.NestedString(rule.Object, "status", "state")
		description, _, _ := unstructured.NestedString(rule.Object, "status", "description")
		if state != "Ready" {
			return fmt.Errorf("it is %q: %s", state, description)
		}
		return nil
	})
}

// made insists on how many objects Kyma's controller made for the APIRule. Where
// Istio is not installed there are none of them to look at.
func (s *scene) made(t *testing.T, namespace, group, resource string, want int) {
	t.Helper()
	list, err := s.untyped.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}).Namespace(namespace).
		List(s.ctx, metav1.ListOptions{LabelSelector: "apirule.gateway.kyma-project.io/name=app"})
	if apierrors.IsNotFound(err) {
		t.Logf("not looked at: %s.%s is not served here", resource, group)
		return
	}
	require.NoError(t, err)
	assert.Len(t, list.Items, want, resource)
}

// token gets one by the client-credentials grant.
func token(ctx context.Context, t *testing.T) string {
	t.Helper()
	options := oidc.HTTPOptions{Timeout: patience, CA: []byte(os.Getenv(IssuerCAEnv))}
	if address := os.Getenv(IssuerAddressEnv); address != "" {
		options.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	}
	client, err := oidc.NewHTTPClient(options)
	require.NoError(t, err)
	metadata, err := oidc.Discover(ctx, client, os.Getenv(IssuerEnv))
	require.NoError(t, err)
	got, err := oidc.ClientCredentials(ctx, client, metadata, oidc.Credentials{
		ClientID: os.Getenv(ClientEnv), Secret: oidc.NewSecret(os.Getenv(SecretEnv)),
	})
	require.NoError(t, err)
	return got.Access.Reveal()
}

// answers says how the gateway's answer differs from the status wanted.
func answers(ctx context.Context, host, path, token string, want int) error {
	address := os.Getenv(AddressEnv)
	client := &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			},
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the gateway of a test cluster signs for itself
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+path, http.NoBody)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != want {
		return fmt.Errorf("GET %s answered %s, expected %d", path, response.Status, want)
	}
	return nil
}
