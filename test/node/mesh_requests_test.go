// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build mesh

package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/pkg/oidc"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// request is one at the ingress gateway; what it does not say is GET / of
// demo.example.com without a token.
type request struct {
	method, host, path, token string
	header                    http.Header
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a request to the gateway, from outside of the mesh.
func (c *cluster) send(ctx context.Context, r request) (answer, error) {
	gateway, err := c.typed.CoreV1().Services("istio-system").Get(ctx, "istio-ingressgateway", metav1.GetOptions{})
	if err != nil {
		return answer{}, err
	}
	if r.method == "" {
		r.method = http.MethodGet
	}
	if r.host == "" {
		r.host = "demo.example.com"
	}
	if r.path == "" {
		r.path = "/"
	}
	name, _, _ := strings.Cut(r.host, ":")
	client := &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(gateway.Spec.ClusterIP, "443"))
			},
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: name}, //nolint:gosec // the gateway of a test signs for itself
		},
	}
	out, err := http.NewRequestWithContext(ctx, r.method, "https://"+name+r.path, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	maps.Copy(out.Header, r.header)
	out.Host = r.host
	if r.token != "" {
		out.Header.Set("Authorization", "Bearer "+r.token)
	}
	response, err := client.Do(out)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body)}, errors.Join(err, response.Body.Close())
}

// status says how the gateway's answer differs from the status wanted.
func (c *cluster) status(ctx context.Context, r request, want int) error {
	got, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	if got.status != want {
		return fmt.Errorf("%s %s%s answered %d, expected %d: %s", r.method, r.host, r.path, got.status, want, got.body)
	}
	return nil
}

// token gets one by the client-credentials grant, as the README says.
func (c *cluster) token(t *testing.T) string {
	t.Helper()
	client, err := oidc.NewHTTPClient(oidc.HTTPOptions{Timeout: patience, CA: c.issuer.CA()})
	require.NoError(t, err)
	metadata, err := oidc.Discover(t.Context(), client, c.issuer.Issuer())
	require.NoError(t, err)
	token, err := oidc.ClientCredentials(t.Context(), client, metadata, oidc.Credentials{ClientID: "shop", Secret: oidc.NewSecret("hush")})
	require.NoError(t, err)
	return token.Access.Reveal()
}

// answers is the table of what the gateway answers.
func (c *cluster) answers(t *testing.T) {
	token := c.token(t)
	eventually(t, "the mesh to know", func(ctx context.Context) error { return c.status(ctx, request{token: token}, http.StatusOK) })
	for name, tc := range map[string]struct {
		request
		want int
	}{
		"no token":                            {request{}, 401},
		"garbage":                             {request{token: "garbage"}, 401},
		"a token":                             {request{token: token}, 200},
		"the proxy's /ping":                   {request{path: "/ping"}, 401},
		"the proxy's /ready":                  {request{path: "/ready"}, 401},
		"the proxy's /robots.txt":             {request{path: "/robots.txt"}, 401},
		"the proxy's static files":            {request{path: "/oauth2/static/css/all.min.css"}, 401},
		"the proxy's sign-in":                 {request{path: "/oauth2/sign_in"}, 401},
		"the app's /ping with a token":        {request{path: "/ping", token: token}, 200},
		"a method that is not listed":         {request{method: http.MethodPost, token: token}, 404},
		"noAuth":                              {request{host: "open.example.com"}, 200},
		"noAuth, a method that is not listed": {request{host: "open.example.com", method: http.MethodDelete}, 404},
		"Host with a port and a token":        {request{host: "demo.example.com:443", token: token}, 403},
		"Host with a port, without a token":   {request{host: "demo.example.com:443"}, 403},
		"a host that no APIRule has":          {request{host: "nobody.example.com", token: token}, 404},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, c.status(t.Context(), tc.request, tc.want))
		})
	}
}

// inside sends a request from the application of a Pod, and returns its status, or
// 0 where no answer came.
func (c *cluster) inside(ctx context.Context, pod, url string) (int, error) {
	out, err := exec.CommandContext(ctx, os.Getenv("EXTAUTH_KUBECTL"), "exec", "-n", namespace, pod, "-c", "app", "--", "/app", "get", url).CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "app: ") { // it ran, and says why no answer came
			return 0, nil
		}
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	var status int
	_, err = fmt.Sscan(string(out), &status)
	return status, err
}

// insideAnswers says how an answer inside of the cluster differs from the status wanted.
func (c *cluster) insideAnswers(pod, url string, want int) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		got, err := c.inside(ctx, pod, url)
		if err == nil && got != want {
			err = fmt.Errorf("GET %s from %s: got %d, expected %d", url, pod, got, want)
		}
		return err
	}
}

// callers are Pods of the cluster: what an APIRule protects is closed to them, until
// a policy lets them in.
func (c *cluster) callers(t *testing.T) {
	c.app(t, "caller", true)
	c.app(t, "outsider", false)
	const open, protected = "http://open.shop.svc.cluster.local/", "http://demo.shop.svc.cluster.local/"
	eventually(t, "a caller without permission", c.insideAnswers("caller", open, http.StatusForbidden))
	eventually(t, "a caller without permission", c.insideAnswers("caller", protected, http.StatusForbidden))
	eventually(t, "a caller without mutual TLS", c.insideAnswers("outsider", open, 0))
	c.apply(t, authorizations, `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: callers, namespace: shop}
spec:
  selector: {matchLabels: {app: open}}
  rules: [{from: [{source: {namespaces: [shop]}}]}]
`)
	eventually(t, "a caller with permission", c.insideAnswers("caller", open, http.StatusOK))
	eventually(t, "the other application", c.insideAnswers("caller", protected, http.StatusForbidden))
	eventually(t, "a caller without mutual TLS", c.insideAnswers("outsider", open, 0))
	require.NoError(t, c.status(t.Context(), request{host: "open.example.com"}, http.StatusOK))
}

// custom writes a CUSTOM policy by hand, which nobody checks, and takes it away when
// the test ends.
func (c *cluster) custom(t *testing.T, app, provider, path string) {
	t.Helper()
	c.apply(t, authorizations, fmt.Sprintf(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: by-hand, namespace: shop}
spec:
  action: CUSTOM
  provider: {name: %s}
  selector: {matchLabels: {app: %s}}
  rules: [{to: [{operation: {paths: [%s]}}]}]
`, provider, app, path))
	t.Cleanup(func() {
		require.NoError(t, c.untyped.Resource(authorizations).Namespace(namespace).Delete(context.WithoutCancel(t.Context()), "by-hand", metav1.DeleteOptions{}))
	})
}

// conflict gives a workload a second authorizer: nobody gets in any more.
func (c *cluster) conflict(t *testing.T) {
	token := c.token(t)
	t.Run("while there are two", func(t *testing.T) {
		c.custom(t, "demo", "corporate", "/corporate")
		for _, path := range []string{"/corporate", "/"} {
			eventually(t, "403 for "+path, func(ctx context.Context) error {
				return c.status(ctx, request{path: path, token: token}, http.StatusForbidden)
			})
		}
	})
	eventually(t, "200 with one again", func(ctx context.Context) error { return c.status(ctx, request{token: token}, http.StatusOK) })
}

// unknown names an authorizer that the mesh has not: its requests get 403, others
// go on.
func (c *cluster) unknown(t *testing.T) {
	open := func(path string, want int) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			return c.status(ctx, request{host: "open.example.com", path: path}, want)
		}
	}
	t.Run("while it is named", func(t *testing.T) {
		c.custom(t, "open", "nobody", "/secret")
		eventually(t, "403 where it is named", open("/secret", http.StatusForbidden))
		require.NoError(t, open("/", http.StatusOK)(t.Context()))
	})
	eventually(t, "200 after that", open("/secret", http.StatusOK))
}

// proxyDown takes the proxy away and brings it back: nobody gets in meanwhile.
func (c *cluster) proxyDown(t *testing.T) {
	token := c.token(t)
	scale := func(replicas int32, want int) {
		deployments := c.typed.AppsV1().Deployments("oauth2-proxy")
		current, err := deployments.GetScale(t.Context(), "oauth2-proxy", metav1.GetOptions{})
		require.NoError(t, err)
		current.Spec.Replicas = replicas
		_, err = deployments.UpdateScale(t.Context(), "oauth2-proxy", current, metav1.UpdateOptions{})
		require.NoError(t, err)
		// One that is about to end still answers.
		eventually(t, fmt.Sprintf("%d Pods of the proxy", replicas), func(ctx context.Context) error {
			pods, err := c.typed.CoreV1().Pods("oauth2-proxy").List(ctx, metav1.ListOptions{LabelSelector: "app=oauth2-proxy"})
			if err == nil && len(pods.Items) != int(replicas) {
				err = fmt.Errorf("there are %d", len(pods.Items))
			}
			return err
		})
		eventually(t, fmt.Sprintf("%d with %d replicas", want, replicas), func(ctx context.Context) error {
			return c.status(ctx, request{token: token}, want)
		})
	}
	scale(0, http.StatusForbidden)
	require.NoError(t, c.status(t.Context(), request{}, http.StatusForbidden))
	require.NoError(t, c.status(t.Context(), request{host: "open.example.com"}, http.StatusOK))
	page, err := os.ReadFile(checkout.Path(t, "docs/cli.md"))
	require.NoError(t, err)
	// The sidecar may not have the last change of policies yet, and then denies for another reason.
	eventually(t, "the answers that docs/cli.md has", func(ctx context.Context) error {
		out, err := c.try(ctx, t)
		if err == nil {
			return errors.New("every answer was right")
		}
		if !strings.Contains(string(page), out) {
			return fmt.Errorf("they are:\n%s", out)
		}
		return nil
	})
	scale(1, http.StatusOK)
	require.NoError(t, c.status(t.Context(), request{}, http.StatusUnauthorized))
}

// renewal waits until the sidecar has another certificate, while requests go on.
func (c *cluster) renewal(t *testing.T) {
	token := c.token(t)
	before, err := c.serial(t.Context())
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var right, wrong atomic.Int64
	var example atomic.Value
	var load sync.WaitGroup
	for range 2 {
		load.Go(func() {
			for ctx.Err() == nil {
				if err := c.status(ctx, request{token: token}, http.StatusOK); err != nil && ctx.Err() == nil {
					wrong.Add(1)
					example.Store(err.Error())
				} else if err == nil {
					right.Add(1)
				}
			}
		})
	}
	eventually(t, "another certificate", func(ctx context.Context) error {
		now, err := c.serial(ctx)
		if err == nil && now == before {
			err = errors.New("it is still the same")
		}
		return err
	})
	after := right.Load()
	eventually(t, "requests with it", func(context.Context) error {
		if right.Load() < after+50 {
			return fmt.Errorf("%d are answered, %d are not", right.Load(), wrong.Load())
		}
		return nil
	})
	stop()
	load.Wait()
	t.Logf("%d requests were answered while the certificate was renewed, %d were not", right.Load(), wrong.Load())
	require.Zero(t, wrong.Load(), example.Load())
	require.Positive(t, right.Load())
}

// serial is the serial number of the certificate of the demo's sidecar.
func (c *cluster) serial(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, os.Getenv("EXTAUTH_KUBECTL"), "exec", "-n", namespace, "demo", "-c", "istio-proxy", "--", "pilot-agent", "request", "GET", "certs").Output()
	if err != nil {
		return "", fmt.Errorf("asking the sidecar for its certificates: %w", err)
	}
	var answer struct {
		Certificates []struct {
			Chain []struct {
				Serial string `json:"serial_number"`
			} `json:"cert_chain"`
		} `json:"certificates"`
	}
	_, text, _ := bytes.Cut(out, []byte("\n{")) // after what the agent logs
	if err := json.Unmarshal(append([]byte("{"), text...), &answer); err != nil {
		return "", fmt.Errorf("decoding the sidecar's certificates: %w", err)
	}
	for _, each := range answer.Certificates {
		if len(each.Chain) > 0 {
			return each.Chain[0].Serial, nil
		}
	}
	return "", errors.New("the sidecar has no certificate")
}
