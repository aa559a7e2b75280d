// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package certmanager runs cert-manager's own controllers and its cainjector, from
// its Go module, against a control plane: what issues from a CA and from nothing,
// and no more of it.
package certmanager

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cert-manager/cert-manager/pkg/client/clientset/versioned/scheme"
	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	"github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	requestca "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	"github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	"github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"         // issuers of this kind become ready
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned" // and of this
	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubernetesscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// CRDs returns the folder of cert-manager's CRDs, in Go's module cache.
func CRDs(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager").Output()
	if err != nil {
		return "", fmt.Errorf("finding cert-manager's module: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "deploy", "crds"), nil
}

// Run runs the controllers until ctx ends. kubeconfig and cluster are of the same
// user, who may do everything; without a kubeconfig it is the account of the Pod.
func Run(ctx context.Context, kubeconfig string, cluster *rest.Config) error {
	ctx = logr.NewContext(ctx, logr.Discard()) // conflicts among its own controllers are a line each
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{
		Kubeconfig:    kubeconfig,
		IssuerOptions: controller.IssuerOptions{ClusterResourceNamespace: "kube-system"},
		CertificateOptions: controller.CertificateOptions{
			CertificateRequestMinimumBackoffDuration: time.Second,
			CertificateRequestMaximumBackoffDuration: time.Minute,
		},
	})
	if err != nil {
		return fmt.Errorf("connecting cert-manager: %w", err)
	}
	injector, err := newInjector(ctx, cluster)
	if err != nil {
		return err
	}
	known := controller.Known()
	var running []controller.Interface
	for _, name := range []string{
		trigger.ControllerName, keymanager.ControllerName, requestmanager.ControllerName, issuing.ControllerName,
		readiness.ControllerName, revisionmanager.ControllerName, issuers.ControllerName,
		approver.ControllerName, requestca.CRControllerName, selfsigned.CRControllerName,
	} {
		one, err := known[name](factory)
		if err != nil {
			return fmt.Errorf("preparing cert-manager's %s: %w", name, err)
		}
		running = append(running, one)
	}
	shared, err := factory.Build()
	if err != nil {
		return fmt.Errorf("preparing cert-manager's watches: %w", err)
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	var all sync.WaitGroup
	failures := make(chan error, len(running)+1)
	for _, one := range running {
		all.Go(func() { failures <- one.Run(2, ctx) })
	}
	all.Go(func() { failures <- injector.Start(ctx) })
	all.Wait()
	close(failures)
	var errs []error
	for err := range failures {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// newInjector returns cert-manager's cainjector, for webhook configurations.
func newInjector(ctx context.Context, cluster *rest.Config) (ctrl.Manager, error) {
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{kubernetesscheme.AddToScheme, scheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(types); err != nil {
			return nil, err
		}
	}
	cluster = rest.CopyConfig(cluster)
	cluster.UserAgent = "cert-manager-cainjector" // the owner of the fields it writes
	skip := true                                  // several may run in one process
	manager, err := ctrl.NewManager(cluster, ctrl.Options{
		Scheme: types, Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: &skip},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing cert-manager's cainjector: %w", err)
	}
	err = cainjector.RegisterAllInjectors(ctx, manager, cainjector.SetupOptions{
		EnableCertificatesDataSource: true,
		EnabledReconcilersFor: map[string]bool{
			cainjector.MutatingWebhookConfigurationName: true, cainjector.ValidatingWebhookConfigurationName: true,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing cert-manager's cainjector: %w", err)
	}
	return manager, nil
}
