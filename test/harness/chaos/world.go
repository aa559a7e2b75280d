// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/extauth-guard/extauth-guard/pkg/certs"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// world is a control plane with two replicas of the webhook server behind one
// address, which reach the API server through another.
type world struct {
	directory    string
	certificates string
	plane        *controlplane.ControlPlane
	typed        kubernetes.Interface
	untyped      dynamic.Interface
	service      *balancer // in front of the replicas
	upstream     *balancer // between the replicas and the API server
	replicas     []*replica
	shipped      string // the binary of the replicas
	movable      string // the same with a clock that can be moved
	load         *load
}

// options say what is special about a world.
type options struct {
	// before runs when everything but the replicas is there; nil is nothing.
	before func(context.Context, *world) error
	// change changes the configuration of the replicas; nil leaves it.
	change func(*config.WebhookConfig)
}

// build makes the world; what is half made when it fails is taken down again.
func build(ctx context.Context, special options) (_ *world, err error) {
	directory, err := os.MkdirTemp("", "extauth-guard-chaos-")
	if err != nil {
		return nil, err
	}
	w := &world{directory: directory, certificates: filepath.Join(directory, "tls")}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	root, err := checkout.Root()
	if err != nil {
		return nil, err
	}
	// Two programs at once are linked faster than one after the other.
	compile := exec.CommandContext(ctx, "go", "build", "-o", directory+string(filepath.Separator), "./cmd/webhook", "./test/harness/chaos/movable")
	compile.Dir, compile.Stderr = root, os.Stderr
	if err := compile.Run(); err != nil {
		return nil, fmt.Errorf("building the webhook binary: %w", err)
	}
	w.shipped, w.movable = filepath.Join(directory, "webhook"), filepath.Join(directory, "movable")
	w.plane, err = controlplane.Start(ctx, controlplane.Options{CRDs: []string{
		filepath.Join(root, "pkg", "crd", "kyma"), filepath.Join(root, "config", "crd", "extauth-guard.io_extauthpolicies.yaml"),
	}})
	if err != nil {
		return nil, err
	}
	if err := w.connect(ctx); err != nil {
		return nil, err
	}
	if err := w.populate(ctx); err != nil {
		return nil, err
	}
	if special.before != nil {
		if err := special.before(ctx, w); err != nil {
			return nil, err
		}
	}
	return w, w.serve(ctx, special.change)
}

func (w *world) connect(ctx context.Context) (err error) {
	config := w.plane.Config()
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{} // one for each request
	if w.typed, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if w.untyped, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	w.load = newLoad(w.untyped)
	host := config.Host
	if url, _, err := clientServer(host); err == nil {
		host = url
	}
	w.upstream, err = newBalancer(ctx, host)
	return err
}

// populate makes the namespaces, a Service, an Istio CR and a policy.
func (w *world) populate(ctx context.Context) error {
	for _, name := range []string{namespace, "kyma-system", "istio-system"} {
		object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := w.typed.CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("making the namespace %s: %w", name, err)
		}
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: namespace},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "app"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	if _, err := w.typed.CoreV1().Services(namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making the Service: %w", err)
	}
	if err := w.createIstio(ctx); err != nil {
		return err
	}
	return w.createPolicy(ctx)
}

func (w *world) istios() dynamic.ResourceInterface {
	return w.untyped.Resource(schema.GroupVersionResource{Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"}).
		Namespace("kyma-system")
}

func (w *world) createIstio(ctx context.Context) error {
	cr := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "operator.kyma-project.io/v1alpha2", "kind": "Istio",
		"metadata": map[string]any{"name": "default", "namespace": "kyma-system"},
		"spec": map[string]any{"config": map[string]any{"authorizers": []any{map[string]any{
			"name": "oauth2-proxy", "service": "oauth2-proxy.oauth2-proxy.svc.cluster.local", "port": int64(80), "pathPrefix": "/verify?original=",
		}}}},
	}}
	if _, err := w.istios().Create(ctx, cr, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making the Istio CR: %w", err)
	}
	return nil
}

// serve starts the replicas and registers them.
func (w *world) serve(ctx context.Context, change func(*config.WebhookConfig)) error {
	if err := certs.WriteLocal(w.certificates, time.Now()); err != nil {
		return err
	}
	kubeconfig, err := w.kubeconfig()
	if err != nil {
		return err
	}
	for i := range 2 {
		one, err := newReplica(ctx, w.directory, fmt.Sprintf("replica-%d", i), w.shipped, kubeconfig, w.certificates, change)
		if err != nil {
			return err
		}
		if err := one.start(ctx); err != nil {
			return err
		}
		w.replicas = append(w.replicas, one)
	}
	if w.service, err = newBalancer(ctx, w.addresses()...); err != nil {
		return err
	}
	registration, err := w.registration()
	if err != nil {
		return err
	}
	return guard.Register(ctx, w.plane.Config(), registration)
}

// kubeconfig writes one that leads through the upstream balancer.
func (w *world) kubeconfig() (string, error) {
	path := filepath.Join(w.directory, "kubeconfig")
	if err := w.plane.WriteKubeconfig(path); err != nil {
		return "", err
	}
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return "", err
	}
	for _, cluster := range config.Clusters {
		host, secure, err := clientServer(cluster.Server)
		if err != nil || !secure {
			return "", fmt.Errorf("the API server is not at an https address: %s", cluster.Server)
		}
		w.upstream.use(host)
		cluster.Server = "https://" + w.upstream.address()
	}
	return path, clientcmd.WriteToFile(*config, path)
}

// addresses are those of all replicas.
func (w *world) addresses() []string {
	var all []string
	for _, one := range w.replicas {
		all = append(all, one.address())
	}
	return all
}

// registration leads to the service balancer and trusts the given CAs, or that
// of the certificate directory.
func (w *world) registration(cas ...[]byte) (webhook.Registration, error) {
	bundle := bytes.Join(cas, nil)
	if len(cas) == 0 {
		ca, err := os.ReadFile(filepath.Join(w.certificates, certs.CAFile))
		if err != nil {
			return webhook.Registration{}, fmt.Errorf("reading the CA: %w", err)
		}
		bundle = ca
	}
	return webhook.Registration{Client: func(path string) admissionregistrationv1.WebhookClientConfig {
		return admissionregistrationv1.WebhookClientConfig{URL: new("https://" + w.service.address() + path), CABundle: bundle}
	}}, nil
}

// trust replaces the CA bundle of the webhook configurations.
func (w *world) trust(ctx context.Context, cas ...[]byte) error {
	registration, err := w.registration(cas...)
	if err != nil {
		return err
	}
	api := w.typed.AdmissionregistrationV1()
	mutating, err := api.MutatingWebhookConfigurations().Get(ctx, webhook.ConfigurationName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	mutating.Webhooks = registration.Mutating().Webhooks
	if _, err := api.MutatingWebhookConfigurations().Update(ctx, mutating, metav1.UpdateOptions{}); err != nil {
		return err
	}
	validating, err := api.ValidatingWebhookConfigurations().Get(ctx, webhook.ConfigurationName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	validating.Webhooks = registration.Validating().Webhooks
	_, err = api.ValidatingWebhookConfigurations().Update(ctx, validating, metav1.UpdateOptions{})
	return err
}

func (w *world) close() error {
	var errs []error
	for _, one := range w.replicas {
		errs = append(errs, one.end(syscall.SIGKILL))
	}
	for _, one := range []*balancer{w.service, w.upstream} {
		if one != nil {
			errs = append(errs, one.close())
		}
	}
	if w.plane != nil {
		errs = append(errs, w.plane.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(w.directory))...)
}
