// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"os"
	"testing"

	"sigs.k8s.io/e2e-framework/pkg/env"

	"github.com/extauth-guard/extauth-guard/test/harness/e2e"
)

func TestSuite(t *testing.T) {
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		t.Fatal("KUBECONFIG is not set: name the cluster for make test-e2e-here, or run make test-e2e, which makes one")
	}
	environment := env.NewWithKubeConfig(kubeconfig)
	environment.Test(t, e2e.Features()...)
}
