// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package guard runs extauth-guard on the loopback of a machine against a
// control plane, for tests and for the demo: configuration on free ports, the
// webhook configurations with URLs in place of a Service, and waiting for ready.
package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/extauth-guard/extauth-guard/pkg/certs"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// Settings returns a configuration for a local run whose certificates are made
// in directory, which must be absolute, and whose ports are free now.
func Settings(ctx context.Context, directory string) (config.WebhookConfig, error) {
	settings := config.DefaultWebhook()
	settings.Certificates = config.Certificates{Mode: config.CertificatesLocal, Directory: directory}
	settings.Metrics.Address = "0"
	settings.Server.Host = "127.0.0.1"
	settings.Server.ShutdownDelay = metav1.Duration{}
	settings.LeaderElection.Namespace = metav1.NamespaceDefault
	ports, err := freePorts(ctx, 2)
	if err != nil {
		return config.WebhookConfig{}, err
	}
	settings.Server.Port = ports[0]
	settings.Probes.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[1]))
	return settings, nil
}

// freePorts returns ports that nobody listens on. All are held until the last
// is found, so that they differ.
func freePorts(ctx context.Context, count int) (ports []int, err error) {
	for range count {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		defer func() { err = errors.Join(err, listener.Close()) }()
		address, ok := listener.Addr().(*net.TCPAddr)
		if !ok {
			return nil, fmt.Errorf("finding a free port: %s is no TCP address", listener.Addr())
		}
		ports = append(ports, address.Port)
	}
	return ports, nil
}

// Ready waits until the probes of settings say ready, or ctx ends.
func Ready(ctx context.Context, settings config.WebhookConfig) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		last = probe(ctx, "http://"+settings.Probes.Address+"/readyz")
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the webhook server: %w", errors.Join(err, last))
	}
	return nil
}

func probe(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz answered %s", response.Status)
	}
	return nil
}

// Registration points the API server at the server of settings, which must have
// written its certificates.
func Registration(settings config.WebhookConfig) (webhook.Registration, error) {
	ca, err := os.ReadFile(filepath.Join(settings.Certificates.Directory, certs.CAFile))
	if err != nil {
		return webhook.Registration{}, fmt.Errorf("reading the CA: %w", err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(settings.Server.Port))
	return webhook.Registration{
		Client: func(path string) admissionregistrationv1.WebhookClientConfig {
			return admissionregistrationv1.WebhookClientConfig{URL: new("https://" + address + path), CABundle: ca}
		},
	}, nil
}

// Register creates the webhook configurations in the cluster.
func Register(ctx context.Context, cluster *rest.Config, registration webhook.Registration) error {
	client, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	api := client.AdmissionregistrationV1()
	if _, err := api.MutatingWebhookConfigurations().Create(ctx, registration.Mutating(), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("registering the mutating webhooks: %w", err)
	}
	if _, err := api.ValidatingWebhookConfigurations().Create(ctx, registration.Validating(), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("registering the validating webhooks: %w", err)
	}
	return nil
}
