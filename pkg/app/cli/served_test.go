// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

func TestTheConfigurationsAreThoseThatTheWebhookRegisters(t *testing.T) {
	assert.Equal(t, webhook.ConfigurationName, configurationName)
}

// noon is when the certificates of these tests are looked at.
func noon() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) }

// issue makes a certificate for a name that signs itself, and ends then.
func issue(t *testing.T, name string, end time.Time) (pair tls.Certificate, encoded []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: noon().Add(-time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// configurations are both of them, with one webhook each that is found there.
func configurations(client admissionregistrationv1.WebhookClientConfig) []runtime.Object {
	meta := metav1.ObjectMeta{Name: configurationName}
	return []runtime.Object{
		&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.MutatingWebhook{{Name: "mutate.example.com", ClientConfig: client}}},
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.ValidatingWebhook{{Name: "validate.example.com", ClientConfig: client}}},
	}
}

func doctorOf(objects ...runtime.Object) *doctor {
	return &doctor{
		flags: &checkFlags{installation: "extauth-guard", certificates: []string{"extauth-guard-tls", "extauth-guard-cert-manager-tls"}, expiryWarning: 7 * 24 * time.Hour},
		now:   noon, typed: fake.NewClientset(objects...), config: &rest.Config{},
	}
}

// outcome runs a check and says how it ended.
func outcome(t *testing.T, check func(context.Context) (string, error)) (status, string) {
	t.Helper()
	var result checked
	perform(t.Context(), []checkup{{run: check}}, func(one checked) { result = one })
	return result.Status, result.Detail
}

// What is behind a URL is dialled, whatever a Secret says.
func TestServedCertificateBehindAURL(t *testing.T) {
	for name, tc := range map[string]struct {
		name       string
		lasts      time.Duration
		foreign    bool // the CA bundle is of somebody else
		wantStatus status
		want       string
	}{
		"a certificate that holds":         {name: "localhost", lasts: 1000 * time.Hour, wantStatus: passed, want: "for localhost until 2027-01-06T04:00:00Z"},
		"one that ends soon":               {name: "localhost", lasts: time.Hour, wantStatus: warned, want: "for localhost expires in 1 hour (2026-11-25)"},
		"one that ended":                   {name: "localhost", lasts: -time.Minute, wantStatus: failed, want: "certificate has expired"},
		"one for another name":             {name: "elsewhere", lasts: 1000 * time.Hour, wantStatus: failed, want: "valid for elsewhere, not localhost"},
		"one that the bundle did not sign": {name: "localhost", lasts: 1000 * time.Hour, foreign: true, wantStatus: failed, want: "signed by unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			pair, bundle := issue(t, tc.name, noon().Add(tc.lasts))
			if tc.foreign {
				_, bundle = issue(t, "stranger", noon().Add(tc.lasts))
			}
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
			server.StartTLS()
			t.Cleanup(server.Close)
			url := strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + "/mutate"
			d := doctorOf(configurations(admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: bundle})...)
			gotStatus, got := outcome(t, d.servedCertificate)
			assert.Equal(t, tc.wantStatus, gotStatus, got)
			assert.Contains(t, got, tc.want)
		})
	}

	t.Run("nobody there", func(t *testing.T) {
		_, bundle := issue(t, "localhost", noon().Add(time.Hour))
		server := httptest.NewServer(http.NotFoundHandler())
		url := strings.Replace(server.URL, "http:", "https:", 1)
		server.Close()
		d := doctorOf(configurations(admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: bundle})...)
		gotStatus, got := outcome(t, d.servedCertificate)
		assert.Equal(t, failed, gotStatus)
		assert.Contains(t, got, "does not answer")
	})
}

// Where the Pods cannot be reached, the Secret is looked at, and that is said.
func TestServedCertificateBehindAService(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"pods/portforward is forbidden","code":403}`, http.StatusForbidden)
	}))
	t.Cleanup(refusing.Close)
	_, good := issue(t, "extauth-guard.extauth-guard.svc", noon().Add(1000*time.Hour))
	_, wrong := issue(t, "extauth-guard.extauth-guard.svc", noon().Add(1000*time.Hour))
	ready := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "one", Namespace: "extauth-guard", Labels: map[string]string{discoveryv1.LabelServiceName: "extauth-guard"}},
		Endpoints:  []discoveryv1.Endpoint{{TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "pod-1"}}},
		Ports:      []discoveryv1.EndpointPort{{Name: new("metrics"), Port: new(int32(8080))}, {Name: new("webhook"), Port: new(int32(9443))}},
	}
	service := func(port int32) runtime.Object {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "extauth-guard", Namespace: "extauth-guard"},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "metrics", Port: 8080}, {Name: "webhook", Port: port}}},
		}
	}
	secret := func(certificate []byte) runtime.Object {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "extauth-guard-tls", Namespace: "extauth-guard"}, Data: map[string][]byte{"tls.crt": certificate}}
	}
	for name, tc := range map[string]struct {
		objects    []runtime.Object
		wantStatus status
		want       []string
	}{
		"the Secret fits": {
			objects: []runtime.Object{service(443), ready, secret(good)}, wantStatus: passed,
			want: []string{"the Secret extauth-guard/extauth-guard-tls for extauth-guard.extauth-guard.svc until", "not what is served: connecting to the Pod extauth-guard/pod-1"},
		},
		"the Secret does not fit": {
			objects: []runtime.Object{service(443), ready, secret(wrong)}, wantStatus: failed,
			want: []string{"the Secret extauth-guard/extauth-guard-tls presents a certificate that the API server does not accept for mutate.example.com"},
		},
		"there is no Secret either": {
			objects: []runtime.Object{service(443), ready}, wantStatus: skipped,
			want: []string{"connecting to the Pod", "there is no Secret extauth-guard/extauth-guard-tls or extauth-guard-cert-manager-tls; name it with --tls-secret"},
		},
		"no Pod is ready": {
			objects: []runtime.Object{service(443), secret(good)}, wantStatus: failed,
			want: []string{"the Service extauth-guard/extauth-guard has no ready Pod"},
		},
		"another port": {
			objects: []runtime.Object{service(8443), ready, secret(good)}, wantStatus: failed,
			want: []string{"has no port 443, which the API server calls"},
		},
		"no Service": {
			objects: []runtime.Object{ready, secret(good)}, wantStatus: failed,
			want: []string{"there is no Service extauth-guard/extauth-guard"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := admissionregistrationv1.WebhookClientConfig{
				Service: &admissionregistrationv1.ServiceReference{Namespace: "extauth-guard", Name: "extauth-guard"}, CABundle: good,
			}
			d := doctorOf(append(tc.objects, configurations(client)...)...)
			d.config = &rest.Config{Host: refusing.URL}
			gotStatus, got := outcome(t, d.servedCertificate)
			assert.Equal(t, tc.wantStatus, gotStatus, got)
			for _, want := range tc.want {
				assert.Contains(t, got, want)
			}
		})
	}
}
