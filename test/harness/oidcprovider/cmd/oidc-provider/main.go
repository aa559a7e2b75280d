// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command oidc-provider runs the OpenID Connect provider for tests in a Pod, with
// one client, which the environment names in CLIENT_ID and CLIENT_SECRET.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "oidc-provider:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string) error {
	var options oidcprovider.Options
	flags := flag.NewFlagSet("oidc-provider", flag.ContinueOnError)
	flags.StringVar(&options.Address, "address", "127.0.0.1:8080", "address to listen on")
	flags.StringVar(&options.Issuer, "issuer", "", "the issuer's URL, as its clients reach it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client, secret := getenv("CLIENT_ID"), getenv("CLIENT_SECRET")
	if client == "" || secret == "" {
		return errors.New("set CLIENT_ID and CLIENT_SECRET to those of the one client")
	}
	options.Clients = map[string]string{client: secret}
	provider, err := oidcprovider.New(ctx, options)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "issuer %s for the client %s\n", provider.Issuer(), client)
	<-ctx.Done()
	return provider.Close()
}
