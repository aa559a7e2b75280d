// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/test/harness/standin"
)

// startKubelet runs a stand-in of a kubelet until the test ends.
func startKubelet(t *testing.T, c client.Client, namespace string) *standin.Kubelet {
	t.Helper()
	kubelet, err := standin.NewKubelet(t.Context(), c, namespace)
	require.NoError(t, err)
	t.Cleanup(kubelet.Close)
	untilEnd(t, kubelet.Run)
	return kubelet
}

// untilEnd runs work until the test ends, and waits for it to return.
func untilEnd(t *testing.T, work func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { work(ctx) })
	t.Cleanup(func() { cancel(); wait.Wait() })
}

// closedPort is an address on loopback where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}
