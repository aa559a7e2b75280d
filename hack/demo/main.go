// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows on a real API server what extauth-guard does: it starts
// etcd and kube-apiserver with the CRDs and an Istio CR, runs the webhook binary
// beside them, sends requests with kubectl, and prints each request with the
// answer. It cleans up behind itself. With -stay it leaves out the requests and
// stays up until Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	stay := flag.Bool("stay", false, "stay up until Ctrl-C, for kubectl from another terminal")
	flag.Parse()
	ctrl.SetLogger(logr.Discard()) // envtest's own log; what matters is printed here
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := demo(ctx, *stay)
	interrupted := ctx.Err() != nil
	stop()
	if err != nil && (!interrupted || !errors.Is(err, context.Canceled)) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, stay bool) (err error) {
	stage, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.close()) }()
	if stay {
		fmt.Printf("\nThe API server and extauth-guard are up. In another terminal:\n\n    export KUBECONFIG=%s\n\nCtrl-C ends them.\n", stage.kubeconfig)
		<-ctx.Done()
		return nil
	}
	for i, one := range scenes() {
		if err := stage.play(ctx, i+1, one); err != nil {
			return err
		}
	}
	if err := stage.bootstrap(ctx); err != nil {
		return err
	}
	fmt.Println("\nEverything happened as it should.")
	return nil
}
