// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cert-manager runs cert-manager's controllers and its cainjector in a Pod,
// for clusters that cannot pull cert-manager's images. See package certmanager for
// what is left out.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/extauth-guard/extauth-guard/test/harness/certmanager"
)

func main() {
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cert-manager:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cluster, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	return certmanager.Run(ctx, "", cluster)
}
