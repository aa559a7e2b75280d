// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package webhook_test runs the webhook server as it ships against a real API
// server, with the CRDs that this repository describes and with those that Kyma
// ships.
package webhook_test

import (
	"flag"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	flag.Bool("update", false, "write what kubectl prints to testdata/kubectl")
	m.Run()
}

const world = "testdata/world.yaml"

// TestWebhooks asks the same of the webhooks over our CRDs and over Kyma's. The
// expectations are written once, so they are the same. Tests of one stage run one
// after the other, since some change the Istio CR.
func TestWebhooks(t *testing.T) {
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		suite(t, checkout.Path(t, "pkg/crd/kyma"))
	})
	t.Run("Kyma's", func(t *testing.T) {
		t.Parallel()
		suite(t, checkout.Shared(t, "kyma-crds"))
	})
}

func suite(t *testing.T, crds string) {
	t.Helper()
	s := newStage(t, world, crds, checkout.Path(t, "config/crd"), checkout.Path(t, "test/testdata/crds/optional/authorizationpolicies.security.istio.io.yaml"),
		checkout.Path(t, "test/testdata/crds/optional/virtualservices.networking.istio.io.yaml"))
	t.Run("storing", s.testStoring)
	t.Run("what Kyma's controller does", s.testKymaController)
	t.Run("ratcheting", s.testRatcheting)
	t.Run("lag", s.testLag)
	t.Run("storm", s.testStorm)
	t.Run("calls", s.testCalls)
	t.Run("examples", s.testExamples)
	t.Run("examples of rules that nobody asked for", s.testUnasked)
	t.Run("corpus", s.testCorpus)
	t.Run("no Istio CR", s.testNoIstio)
	t.Run("permissions", s.testPermissions)
}
