// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node

package node

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// undone has the job undo what the one of the first stage did, as docs/uninstall.md says.
func undone(t *testing.T, c *cluster, plain map[string]any) {
	t.Helper()
	h, step := newHelm(t, c), steps(t)
	step("bootstrap.action=Uninstall", func(t *testing.T) {
		kubectl(t, "delete", "apirules.gateway.kyma-project.io", "--all-namespaces", "--all")
		eventually(t, "the namespace of the installation", func(ctx context.Context) error {
			_, err := c.typed.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: chart.Namespace}}, metav1.CreateOptions{})
			return err // the one of the stage before is about to go
		})
		values := c.withBootstrap(t, plain)
		values["bootstrap"].(map[string]any)["action"] = "Uninstall"
		h.install(t, values)
	})
	step("the proxy is gone, and its entry, and nobody else's", func(t *testing.T) {
		_, err := c.typed.AppsV1().Deployments("oauth2-proxy").Get(t.Context(), "oauth2-proxy", metav1.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
		assert.Equal(t, []any{"corporate"}, c.authorizers(t))
	})
	step("an uninstall", func(t *testing.T) {
		h.uninstall(t)
		eventually(t, "what the job left", func(ctx context.Context) error {
			accounts, err := c.typed.CoreV1().ServiceAccounts(chart.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=bootstrap"})
			if err == nil && len(accounts.Items) > 0 {
				err = fmt.Errorf("the account %s is there", accounts.Items[0].Name)
			}
			return err
		})
	})
}
