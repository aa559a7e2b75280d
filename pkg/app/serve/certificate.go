// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"crypto/tls"
	"fmt"
	"net/http"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/extauth-guard/extauth-guard/pkg/certs"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// certificate is served as long as it runs, also before this replica leads.
type certificate interface {
	manager.Runnable
	manager.LeaderElectionRunnable
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

func newCertificate(cluster *rest.Config, settings config.Certificates, by clock.WithTicker, log logr.Logger) (certificate, error) {
	measured, err := metrics.NewCertificate(ctrlmetrics.Registry)
	if err != nil {
		return nil, fmt.Errorf("registering the metric of the certificate: %w", err)
	}
	if settings.Mode == config.CertificatesSelf {
		return newKeeper(cluster, settings.Self, measured, by, log)
	}
	if settings.Mode == config.CertificatesLocal {
		if err := certs.WriteLocal(settings.Directory, by.Now()); err != nil {
			return nil, fmt.Errorf("making a local certificate: %w", err)
		}
	}
	return certs.FromFiles(settings.Directory, measured.Expires)
}

func newKeeper(cluster *rest.Config, settings config.SelfCertificates, measured *metrics.Certificate, by clock.WithTicker, log logr.Logger) (certificate, error) {
	client, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		return nil, fmt.Errorf("making a client for the certificate: %w", err)
	}
	host := settings.Service + "." + settings.Namespace + ".svc"
	return &certs.Keeper{
		Client:        client,
		Secret:        types.NamespacedName{Namespace: settings.Namespace, Name: settings.Secret},
		Configuration: webhook.ConfigurationName,
		Names:         []string{host, host + ".cluster.local"},
		Validity: certs.Validity{
			Certificate: settings.Validity.Duration,
			RenewBefore: settings.RenewBefore.Duration,
			Authority:   settings.CAValidity.Duration,
		},
		Expiry: measured.Expires,
		Clock:  by,
		Log:    log.WithName("certificate"),
	}, nil
}

// serving asks the server only once there is a certificate: each question before
// that would be a line about a failed handshake in the log.
func serving(served certificate, started healthz.Checker) healthz.Checker {
	return func(request *http.Request) error {
		if _, err := served.GetCertificate(nil); err != nil {
			return err
		}
		return started(request)
	}
}
