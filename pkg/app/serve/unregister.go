// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// unregister deletes both webhook configurations. One that is absent is as good as
// deleted, and a failure with one does not keep the other.
func unregister(ctx context.Context, client kubernetes.Interface, out io.Writer) error {
	api := client.AdmissionregistrationV1()
	var errs []error
	for _, each := range []struct {
		kind   string
		delete func(context.Context, string, metav1.DeleteOptions) error
	}{
		{"ValidatingWebhookConfiguration", api.ValidatingWebhookConfigurations().Delete},
		{"MutatingWebhookConfiguration", api.MutatingWebhookConfigurations().Delete},
	} {
		err := each.delete(ctx, webhook.ConfigurationName, metav1.DeleteOptions{})
		switch {
		case err == nil:
			fmt.Fprintf(out, "deleted %s %s\n", each.kind, webhook.ConfigurationName)
		case apierrors.IsNotFound(err):
			fmt.Fprintf(out, "there is no %s %s\n", each.kind, webhook.ConfigurationName)
		default:
			errs = append(errs, fmt.Errorf("deleting %s %s: %w", each.kind, webhook.ConfigurationName, err))
		}
	}
	return errors.Join(errs...)
}
