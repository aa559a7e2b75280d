// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-extauth is the kubectl plugin of extauth-guard.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
)

func main() {
	cli.SilenceLibraries()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := cli.Run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(exit.Code(err))
}
