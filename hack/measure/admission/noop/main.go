// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command noop is what extauth-guard is measured against: webhooks on the same
// server of controller-runtime, with the same log and the same TLS, that do
// nothing, or answer with one patch that never changes. It prints "ready" once
// it serves, and ends with its standard input.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/extauth-guard/extauth-guard/pkg/certs"
)

func main() {
	directory := flag.String("certificates", "", "`directory` to write a certificate to")
	port := flag.Int("port", 0, "`port` to serve on, on the loopback")
	patch := flag.String("patch", "", "JSON Patch `file` that /mutate-constant answers with")
	flag.Parse()
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, nil)))
	if err := run(context.Background(), *directory, *port, *patch); err != nil {
		fmt.Fprintln(os.Stderr, "noop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, directory string, port int, patchFile string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	patch, err := os.ReadFile(patchFile)
	if err != nil {
		return fmt.Errorf("reading the patch: %w", err)
	}
	if err := certs.WriteLocal(directory, time.Now()); err != nil {
		return err
	}
	server := webhook.NewServer(webhook.Options{
		Host: "127.0.0.1", Port: port, CertDir: directory,
		TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }},
	})
	allow := admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") })
	constant := admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
		response, kind := admission.Allowed(""), admissionv1.PatchTypeJSONPatch
		response.Patch, response.PatchType = patch, &kind
		return response
	})
	server.Register("/mutate", &webhook.Admission{Handler: allow})
	server.Register("/mutate-constant", &webhook.Admission{Handler: constant})
	server.Register("/validate", &webhook.Admission{Handler: allow})
	go func() {
		defer stop()
		started := server.StartedChecker()
		poll := func(context.Context) (bool, error) { return started(nil) == nil, nil }
		if wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, poll) != nil {
			return
		}
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark ends
	}()
	return ignoreEnd(server.Start(ctx))
}

func ignoreEnd(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
