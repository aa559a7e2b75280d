// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

// answers is a proxy that answers by path and by whether there is a token.
type answers func(r *http.Request) int

func TestVerifySaysWhichRequestGotWhatAndWhyThatMayBe(t *testing.T) {
	good := func(r *http.Request) int {
		if r.Header.Get("Authorization") != "" && r.Header.Get("Authorization") != garbage {
			return http.StatusOK
		}
		return http.StatusUnauthorized
	}
	cases := map[string]struct {
		proxy answers
		want  []string
	}{
		"as it should be": {good, nil},
		"a login page instead of 401": {
			func(*http.Request) int { return http.StatusFound },
			[]string{"no token (GET /): the authorizer answered 302, and only 200 allows, wanted 401", "is force-json-errors overridden"},
		},
		"everybody is let in": {
			func(*http.Request) int { return http.StatusOK },
			[]string{"no token (GET /): the authorizer answered 200, wanted 401", "is a skip-auth flag set"},
		},
		"the token is refused": {
			func(*http.Request) int { return http.StatusUnauthorized },
			[]string{"client-credentials token (GET /): the authorizer answered 401, and only 200 allows, wanted 200; 401: ", "can the proxy reach the issuer's keys?"},
		},
		"the token is known and forbidden": {
			func(r *http.Request) int {
				if good(r) == http.StatusOK {
					return http.StatusForbidden
				}
				return http.StatusUnauthorized
			},
			[]string{"wanted 200; 403: the proxy takes the token and a rule of its own forbids it: proxy.emailDomains [\"corp.com\"], --allowed-group=admins,staff"},
		},
		"garbage is let in": {
			func(r *http.Request) int {
				if r.Header.Get("Authorization") == "" {
					return http.StatusUnauthorized
				}
				return http.StatusOK
			},
			[]string{"garbage token (GET /)"},
		},
		"an own path is open": {
			func(r *http.Request) int {
				if r.URL.Query().Get("original") == "/ping" {
					return http.StatusOK
				}
				return good(r)
			},
			[]string{"own path (GET /ping): the authorizer answered 200, wanted 401", "drops the pathPrefix"},
		},
		"the proxy is broken": {
			func(*http.Request) int { return http.StatusBadGateway },
			[]string{"no token (GET /): the authorizer answered 502"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			seen, err := (&verify{Environment: verifyEnvironment(t, tc.proxy)}).Observe(t.Context())
			require.NoError(t, err)
			if tc.want == nil {
				assert.Equal(t, bootstrap.Done, seen.State, seen.Message)
				return
			}
			assert.Equal(t, bootstrap.Needed, seen.State)
			for _, want := range tc.want {
				assert.Contains(t, seen.Message, want)
			}
		})
	}
}

func verifyEnvironment(t *testing.T, proxy answers) Environment {
	t.Helper()
	provider := oidcprovider.Start(t, oidcprovider.Options{Clients: map[string]string{"app": "secret-of-app"}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/verify" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.WriteHeader(proxy(r))
	}))
	t.Cleanup(server.Close)
	cfg := config.DefaultBootstrap()
	cfg.Issuer.URL, cfg.Domain = provider.Issuer(), "example.com"
	cfg.Proxy.EmailDomains = []string{"corp.com"}
	cfg.Proxy.ExtraValues = map[string]any{"extraArgs": map[string]any{"allowed-group": []any{"admins", "staff"}}}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: cfg.Proxy.Namespace, Name: cfg.Proxy.SecretName},
		Data:       map[string][]byte{clientIDKey: []byte("app"), clientSecretKey: []byte("secret-of-app")},
	}
	return Environment{
		Config: cfg,
		Client: fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(secret).Build(),
		Issuer: http.DefaultClient,
		Clock:  clocktesting.NewFakeClock(time.Now()),
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}
}

// hangs answers no request.
type hangs struct{}

func (hangs) RoundTrip(request *http.Request) (*http.Response, error) {
	<-request.Context().Done()
	return nil, context.Cause(request.Context())
}

// What the end of the time cuts off hides nothing that was seen before.
func TestVerifySaysWhatItSawBeforeTheTimeWasOver(t *testing.T) {
	environment := verifyEnvironment(t, func(*http.Request) int { return http.StatusForbidden })
	environment.Issuer = &http.Client{Transport: hangs{}}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("the step's time is over"))
	defer cancel()
	err := (&verify{Environment: environment, wrong: "no token (GET /): 403, wanted 401"}).Apply(ctx)
	require.EqualError(t, err, "no token (GET /): 403, wanted 401: context deadline exceeded")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}
