// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
	"github.com/extauth-guard/extauth-guard/test/harness/e2e"
)

// standInForGatewayAndSidecar plays what the node has not got: Kyma's API Gateway
// controller, which makes APIRules Ready; the ingress gateway, which takes requests
// for their hosts; and the sidecar, which asks the authorizer before the
// application sees one. The authorizer is the one of the APIRule's only rule, from
// the mesh configuration, asked over its Service; the application is a real Pod.
//
// It is no Envoy: paths, methods, JWTs and everything else that istiod makes of an
// APIRule are not looked at. The kind suite asks the real ones.
type standInForGatewayAndSidecar struct {
	cluster *cluster
}

// gateway starts the stand-in on loopback and tells the end-to-end suite of it.
func (c *cluster) gateway(t *testing.T) {
	t.Helper()
	server := httptest.NewTLSServer(&standInForGatewayAndSidecar{cluster: c})
	t.Cleanup(server.Close)
	t.Setenv(e2e.AddressEnv, server.Listener.Addr().String())
	c.outside(t)
}

// makeReady does what Kyma's controller does last with an APIRule.
func (c *cluster) makeReady(ctx context.Context) error {
	all, err := c.untyped.Resource(apirules).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for _, rule := range all.Items {
		if state, _, _ := unstructured.NestedString(rule.Object, "status", "state"); state == "" && rule.GetDeletionTimestamp() == nil {
			_, err := c.untyped.Resource(apirules).Namespace(rule.GetNamespace()).Patch(ctx, rule.GetName(), types.MergePatchType,
				[]byte(`{"status":{"state":"Ready","description":"played by a test"}}`), metav1.PatchOptions{}, "status")
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ServeHTTP answers as the gateway would.
func (g *standInForGatewayAndSidecar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rule, err := g.cluster.apiruleOf(r.Context(), r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	authorizer, err := g.cluster.authorizerOf(r.Context(), rule)
	if err != nil {
		http.Error(w, "RBAC: access denied ("+err.Error()+")", http.StatusForbidden)
		return
	}
	verdict, err := extauthz.Asker{Dial: g.cluster.dial}.Ask(r.Context(), authorizer, extauthz.Request{
		Method: r.Method, Authority: r.Host, Path: r.URL.RequestURI(), Header: r.Header,
	})
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusForbidden)
	case !verdict.Allowed:
		w.WriteHeader(verdict.Status)
		_, _ = w.Write(verdict.Body)
	default:
		g.forward(w, r, rule)
	}
}

// forward hands the request on to the application.
func (g *standInForGatewayAndSidecar) forward(w http.ResponseWriter, r *http.Request, rule *unstructured.Unstructured) {
	name, _, _ := unstructured.NestedString(rule.Object, "spec", "service", "name")
	port, _, _ := unstructured.NestedInt64(rule.Object, "spec", "service", "port")
	out := r.Clone(r.Context())
	out.RequestURI, out.URL.Scheme = "", "http"
	out.URL.Host = fmt.Sprintf("%s.%s.svc.cluster.local:%d", name, rule.GetNamespace(), port)
	response, err := (&http.Transport{DialContext: g.cluster.dial, DisableKeepAlives: true}).RoundTrip(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer func() { _ = response.Body.Close() }()
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, response.Body)
}

// apiruleOf finds the APIRule of a host.
func (c *cluster) apiruleOf(ctx context.Context, host string) (*unstructured.Unstructured, error) {
	all, err := c.untyped.Resource(apirules).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, rule := range all.Items {
		if hosts, _, _ := unstructured.NestedStringSlice(rule.Object, "spec", "hosts"); len(hosts) == 1 && hosts[0] == host {
			return &rule, nil
		}
	}
	return nil, fmt.Errorf("no APIRule has the host %s", host)
}

// authorizerOf finds the authorizer of the APIRule's rule where the sidecar's
// configuration comes from: the mesh, not the Istio CR.
func (c *cluster) authorizerOf(ctx context.Context, rule *unstructured.Unstructured) (extauthz.Authorizer, error) {
	rules, _, err := unstructured.NestedSlice(rule.Object, "spec", "rules")
	if err != nil || len(rules) != 1 {
		return extauthz.Authorizer{}, errors.Join(errors.New("this stand-in knows one rule"), err)
	}
	names, _, err := unstructured.NestedStringSlice(rules[0].(map[string]any), "extAuth", "authorizers")
	if err != nil || len(names) != 1 {
		return extauthz.Authorizer{}, errors.Join(errors.New("this stand-in knows one authorizer"), err)
	}
	providers, err := c.providers(ctx)
	if err != nil {
		return extauthz.Authorizer{}, err
	}
	for _, provider := range providers {
		if provider.Name == names[0] {
			http := provider.HTTP
			return extauthz.Authorizer{Service: http.Service, Port: http.Port, PathPrefix: http.PathPrefix}, nil
		}
	}
	return extauthz.Authorizer{}, fmt.Errorf("the mesh has no provider %s", names[0])
}

// dial connects to a Service by its name, as inside of the cluster: this machine
// reaches the addresses of Services, and does not know their names.
func (c *cluster) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	name, _ := strings.CutSuffix(host, ".svc.cluster.local")
	service, namespace, _ := strings.Cut(name, ".")
	found, err := c.typed.CoreV1().Services(namespace).Get(ctx, service, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(found.Spec.ClusterIP, port))
}
