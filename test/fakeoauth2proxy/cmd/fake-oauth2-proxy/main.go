// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command fake-oauth2-proxy stands in for oauth2-proxy where its image cannot be
// had. It takes the arguments and the environment that the oauth2-proxy chart
// gives the real program.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/extauth-guard/extauth-guard/test/fakeoauth2proxy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := fakeoauth2proxy.Run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake-oauth2-proxy:", err)
		os.Exit(1)
	}
}
