// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/testcharts"
)

// internet stands for every host that a page names: whoever asks for one goes through a
// proxy to a server on loopback, which answers as that host would.
type internet struct {
	proxy, authorities string
	// digest is that of the chart of oauth2-proxy; the pages say DIGEST.
	digest string
}

// open starts it. It ends with the test.
func open(t *testing.T) internet {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	archive := testcharts.Archive(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(hosts{key, archive}.answer))
	server.TLS = certificate(t)
	server.StartTLS()
	t.Cleanup(server.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "this proxy connects", http.StatusMethodNotAllowed)
			return
		}
		tunnel(t, w, r, server.Listener.Addr().String())
	}))
	t.Cleanup(proxy.Close)
	authorities := filepath.Join(t.TempDir(), "authorities.pem")
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.TLS.Certificates[0].Certificate[0]})
	require.NoError(t, os.WriteFile(authorities, raw, 0o600))
	return internet{proxy: proxy.URL, authorities: authorities, digest: testcharts.Digest(archive)}
}

// certificate is one of the hosts that the pages name, which signs itself.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "every host"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"*.example.com", "*.accounts.ondemand.com", "*.github.io"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

// tunnel connects a client of the proxy with the one server that there is.
func tunnel(t *testing.T, w http.ResponseWriter, r *http.Request, to string) {
	upstream, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	client, _, err := http.NewResponseController(w).Hijack()
	if !assert.NoError(t, err) {
		return
	}
	fmt.Fprint(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		_, _ = io.Copy(upstream, client) // either side may end at any time
		_ = upstream.Close()
	}()
	_, _ = io.Copy(client, upstream)
	_ = client.Close()
}

// hosts are all of them: issuers with one key, the repository with the chart of
// oauth2-proxy, and applications behind it.
type hosts struct {
	key     *rsa.PrivateKey
	archive []byte
}

// answer answers as the host that was asked for.
func (h hosts) answer(w http.ResponseWriter, r *http.Request) {
	issuer := "https://" + r.Host
	switch {
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		reply(w, map[string]any{
			"issuer": issuer, "token_endpoint": issuer + "/token", "jwks_uri": issuer + "/keys", "authorization_endpoint": issuer + "/authorize",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
			"grant_types_supported": []string{"client_credentials", "authorization_code"},
		})
	case r.URL.Path == "/keys":
		reply(w, map[string]any{"keys": []map[string]string{{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": base64.RawURLEncoding.EncodeToString(h.key.N.Bytes()), "e": "AQAB"}}})
	case r.URL.Path == "/token":
		client, _, _ := r.BasicAuth()
		reply(w, map[string]any{"access_token": h.token(issuer, client), "token_type": "Bearer", "expires_in": 3600})
	case r.URL.Path == "/manifests/index.yaml":
		fmt.Fprintf(w, "apiVersion: v1\nentries:\n  %[1]s:\n  - {apiVersion: v2, name: %[1]s, version: %[2]s, urls: [%[1]s-%[2]s.tgz]}\n", testcharts.Name, testcharts.Version)
	case strings.HasSuffix(r.URL.Path, ".tgz"):
		_, _ = w.Write(h.archive) // whoever asked may be gone
	case strings.Count(r.Header.Get("Authorization"), ".") == 2 && strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "+header()):
		reply(w, map[string]any{"headers": map[string]string{"Host": r.Host}})
	default:
		http.Error(w, "401 Unauthorized", http.StatusUnauthorized)
	}
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // whoever asked may be gone
}

func header() string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"1"}`))
}

// token is a token that an issuer gives to a client.
func (h hosts) token(issuer, client string) string {
	claims := fmt.Sprintf(`{"iss":%[1]q,"sub":%[2]q,"aud":[%[2]q],"email":"client@example.com","email_verified":true,"iat":1764500000,"exp":4102444800}`, issuer, client)
	text := header() + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, h.key, crypto.SHA256, sum[:])
	if err != nil {
		return err.Error()
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}
