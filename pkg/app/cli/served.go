// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/extauth-guard/extauth-guard/pkg/selfcheck"
)

// dialPatience bounds one handshake; the API server itself waits 3 s for an answer.
const dialPatience = 10 * time.Second

// callee is what the API server calls for one webhook.
type callee struct {
	webhook string
	client  admissionregistrationv1.WebhookClientConfig
}

// target is where a callee is, and the name by which the API server knows it.
type target struct {
	// url is set where the webhook has one, service where it has a Service.
	address, service, namespace string
	port                        int32 // of the Service
	serverName                  string
}

func (c callee) target() (target, error) {
	if service := c.client.Service; service != nil {
		return target{
			service: service.Name, namespace: service.Namespace, port: ptr.Deref(service.Port, 443),
			serverName: service.Name + "." + service.Namespace + ".svc",
		}, nil
	}
	if c.client.URL == nil {
		return target{}, fmt.Errorf("the webhook %s has neither a Service nor a URL", c.webhook)
	}
	parsed, err := url.Parse(*c.client.URL)
	if err != nil {
		return target{}, fmt.Errorf("reading the URL of the webhook %s: %w", c.webhook, err)
	}
	port := parsed.Port()
	if port == "" {
		port = "443"
	}
	return target{address: net.JoinHostPort(parsed.Hostname(), port), serverName: parsed.Hostname()}, nil
}

// callees returns what all webhooks call, in the order of the configurations.
func (d *doctor) callees(ctx context.Context) ([]callee, error) {
	api := d.typed.AdmissionregistrationV1()
	mutating, err := api.MutatingWebhookConfigurations().Get(ctx, configurationName, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	validating, err := api.ValidatingWebhookConfigurations().Get(ctx, configurationName, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	var all []callee
	for _, one := range mutating.Webhooks {
		all = append(all, callee{one.Name, one.ClientConfig})
	}
	for _, one := range validating.Webhooks {
		all = append(all, callee{one.Name, one.ClientConfig})
	}
	if len(all) == 0 {
		return nil, errors.New("the configurations have no webhooks")
	}
	return all, nil
}

func (d *doctor) registered(ctx context.Context) (string, error) {
	all, err := d.callees(ctx)
	if apierrors.IsNotFound(err) {
		return "", d.notRegistered(ctx, err)
	}
	return count(len(all), "webhook", "webhooks"), err
}

// notRegistered tells an installation that lost a configuration from none.
func (d *doctor) notRegistered(ctx context.Context, err error) error {
	api := d.typed.AdmissionregistrationV1()
	_, mutating := api.MutatingWebhookConfigurations().Get(ctx, configurationName, metav1.GetOptions{})
	_, validating := api.ValidatingWebhookConfigurations().Get(ctx, configurationName, metav1.GetOptions{})
	_, deployment := d.typed.AppsV1().Deployments(d.flags.installation).Get(ctx, configurationName, metav1.GetOptions{})
	if mutating != nil && validating != nil && deployment != nil {
		return err
	}
	return because("helm upgrade brings back what is gone", "%s", selfcheck.Gone(configurationName, mutating == nil, validating == nil))
}

func (d *doctor) bundles(ctx context.Context) (string, error) {
	all, err := d.callees(ctx)
	if err != nil {
		return "", err
	}
	var latest time.Time
	for _, one := range all {
		certificates := parseCertificates(one.client.CABundle)
		if len(certificates) == 0 {
			return "", because("the webhook writes it when it has started; with cert-manager, cainjector does: kubectl -n "+d.flags.installation+" get pods", "%s", selfcheck.Untrusted(one.webhook))
		}
		for _, certificate := range certificates {
			if certificate.NotAfter.After(latest) {
				latest = certificate.NotAfter
			}
		}
	}
	return d.lasts(latest)
}

// lasts judges the end of a certificate.
func (d *doctor) lasts(end time.Time) (string, error) {
	left := end.Sub(d.now()).Round(time.Minute)
	switch {
	case left <= 0:
		return "", because("kubectl -n "+d.flags.installation+" delete secret extauth-guard-tls has a new one made; with cert-manager: cmctl renew", "expired on %s", end.Format(time.DateOnly))
	case left < d.flags.expiryWarning:
		return "", warning{fmt.Errorf("expires in %s (%s)", days(left), end.Format(time.DateOnly))}
	}
	return "until " + end.Format(time.RFC3339), nil
}

// days is a time that is left, in the unit in which people plan.
func days(left time.Duration) string {
	if left < 48*time.Hour {
		return count(int(left.Hours()), "hour", "hours")
	}
	return count(int(left.Hours()/24), "day", "days")
}

// presented is a chain that somebody presents, or would.
type presented struct {
	by    string
	chain []*x509.Certificate
}

// servedCertificate holds what the webhooks really present, which may differ from
// what is in a Secret, against what the API server expects of them.
func (d *doctor) servedCertificate(ctx context.Context) (string, error) {
	all, err := d.callees(ctx)
	if err != nil {
		return "", err
	}
	byTarget, order := map[target][]callee{}, []target(nil)
	for _, one := range all {
		at, err := one.target()
		if err != nil {
			return "", err
		}
		if _, known := byTarget[at]; !known {
			order = append(order, at)
		}
		byTarget[at] = append(byTarget[at], one)
	}
	var details []string
	var warnings []error
	for _, at := range order {
		detail, err := d.serves(ctx, at, byTarget[at])
		var warns warning
		switch {
		case errors.As(err, &warns):
			warnings = append(warnings, err)
		case err != nil:
			return "", err
		}
		details = append(details, detail)
	}
	if len(warnings) > 0 {
		return "", warning{errors.Join(warnings...)}
	}
	return strings.Join(details, "; "), nil
}

// serves checks what is presented at one place for all webhooks that are there.
func (d *doctor) serves(ctx context.Context, at target, callees []callee) (string, error) {
	chains, note, err := d.presentedAt(ctx, at)
	if err != nil {
		return "", err
	}
	earliest := chains[0].chain[0].NotAfter
	var by []string
	for _, one := range chains {
		for _, callee := range callees {
			if err := d.fits(one.chain, callee, at.serverName); err != nil {
				return "", because("restart the webhook, which writes its CA bundle again; with cert-manager, look at cainjector", "%s presents a certificate that the API server does not accept for %s: %w", one.by, callee.webhook, err)
			}
		}
		if end := one.chain[0].NotAfter; end.Before(earliest) {
			earliest = end
		}
		by = append(by, one.by)
	}
	detail, err := d.lasts(earliest)
	whose := strings.Join(by, ", ") + " for " + at.serverName
	if err != nil {
		return "", warning{fmt.Errorf("the certificate of %s %w%s", whose, err, note)}
	}
	return whose + " " + detail + note, nil
}

// presentedAt returns the chains of everything that answers at a place. A note
// says what was looked at instead, and why.
func (d *doctor) presentedAt(ctx context.Context, at target) (chains []presented, note string, err error) {
	if at.address != "" {
		chain, err := dialTLS(ctx, at.address, at.serverName)
		if err != nil {
			return nil, "", because("start the webhook that listens there", "%s does not answer: %w", at.address, err)
		}
		return []presented{{at.address, chain}}, "", nil
	}
	chains, err = d.presentedByPods(ctx, at)
	if err == nil {
		return chains, "", nil
	}
	if !errors.As(err, new(unreachable)) {
		return nil, "", err
	}
	stored, secretErr := d.presentedBySecret(ctx)
	if secretErr != nil {
		return nil, "", skipping{fmt.Errorf("%w, and %w", err, secretErr)}
	}
	return []presented{stored}, fmt.Sprintf(" (not what is served: %v)", err), nil
}

// unreachable says why a Pod that may be well cannot be asked from here.
type unreachable struct{ error }

// Unwrap gives what went wrong.
func (u unreachable) Unwrap() error { return u.error }

// presentedByPods asks every ready Pod behind a Service.
func (d *doctor) presentedByPods(ctx context.Context, at target) ([]presented, error) {
	port, err := d.portName(ctx, at)
	if err != nil {
		return nil, err
	}
	list, err := d.typed.DiscoveryV1().EndpointSlices(at.namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + at.service})
	if err != nil {
		return nil, unreachable{fmt.Errorf("listing the endpoints of the Service %s/%s: %w", at.namespace, at.service, err)}
	}
	var chains []presented
	for _, slice := range list.Items {
		index := slices.IndexFunc(slice.Ports, func(one discoveryv1.EndpointPort) bool { return ptr.Deref(one.Name, "") == port && one.Port != nil })
		if index < 0 {
			continue
		}
		for _, pod := range readyPods(slice) {
			chain, err := d.dialPod(ctx, at, pod, *slice.Ports[index].Port)
			if err != nil {
				return nil, err
			}
			chains = append(chains, presented{pod, chain})
		}
	}
	if len(chains) == 0 {
		return nil, because("no replica answers: kubectl -n "+at.namespace+" get pods,events", "the Service %s/%s has no ready Pod", at.namespace, at.service)
	}
	return chains, nil
}

// portName returns the name of the port that the API server calls; endpoints know
// it by that.
func (d *doctor) portName(ctx context.Context, at target) (string, error) {
	service, err := d.typed.CoreV1().Services(at.namespace).Get(ctx, at.service, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", because("helm upgrade brings it back", "there is no Service %s/%s", at.namespace, at.service)
	case err != nil:
		return "", unreachable{fmt.Errorf("reading the Service %s/%s: %w", at.namespace, at.service, err)}
	}
	for _, one := range service.Spec.Ports {
		if one.Port == at.port {
			return one.Name, nil
		}
	}
	return "", because("helm upgrade brings it back", "the Service %s/%s has no port %d, which the API server calls", at.namespace, at.service, at.port)
}

// readyPods returns the names of Pods that get requests, sorted.
func readyPods(slice discoveryv1.EndpointSlice) []string {
	var pods []string
	for _, endpoint := range slice.Endpoints {
		ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready // unset means ready
		if ready && endpoint.TargetRef != nil && endpoint.TargetRef.Kind == "Pod" {
			pods = append(pods, endpoint.TargetRef.Name)
		}
	}
	slices.Sort(pods)
	return pods
}

func (d *doctor) dialPod(ctx context.Context, at target, pod string, port int32) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	address, stop, err := forward(ctx, d.config, at.namespace, pod, port)
	if err != nil {
		return nil, unreachable{err}
	}
	defer stop()
	chain, err := dialTLS(ctx, address, at.serverName)
	if err != nil {
		return nil, because("kubectl -n "+at.namespace+" logs "+pod, "the Pod %s/%s does not answer on port %d: %w", at.namespace, pod, port, err)
	}
	return chain, nil
}

// dialTLS returns the chain that is presented to whoever asks for a name.
func dialTLS(ctx context.Context, address, serverName string) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{
		ServerName: serverName, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // nothing is sent; what is presented is verified against each CA bundle
	}}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	secure, ok := connection.(*tls.Conn)
	if !ok || len(secure.ConnectionState().PeerCertificates) == 0 {
		return nil, errors.New("it presents no certificate")
	}
	return secure.ConnectionState().PeerCertificates, nil
}

// presentedBySecret returns the chain in the Secret that the webhooks serve from.
func (d *doctor) presentedBySecret(ctx context.Context) (presented, error) {
	for _, one := range d.flags.certificates {
		name := d.flags.installation + "/" + one
		secret, err := d.typed.CoreV1().Secrets(d.flags.installation).Get(ctx, one, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case apierrors.IsForbidden(err):
			return presented{}, fmt.Errorf("you may not read the Secret %s", name)
		case err != nil:
			return presented{}, err
		}
		chain := parseCertificates(secret.Data["tls.crt"])
		if len(chain) == 0 {
			return presented{}, fmt.Errorf("the Secret %s has no certificate in tls.crt", name)
		}
		return presented{"the Secret " + name, chain}, nil
	}
	return presented{}, fmt.Errorf("there is no Secret %s/%s; name it with --tls-secret", d.flags.installation, strings.Join(d.flags.certificates, " or "))
}

// fits verifies a chain as the API server does: against the CA bundle, for the
// name that it calls.
func (d *doctor) fits(chain []*x509.Certificate, callee callee, serverName string) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(callee.client.CABundle)
	for _, one := range chain[1:] {
		between.AddCert(one)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: d.now(), DNSName: serverName})
	return err
}

func parseCertificates(bundle []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		block, bundle = pem.Decode(bundle)
		if block == nil {
			return all
		}
		if one, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, one)
		}
	}
}
