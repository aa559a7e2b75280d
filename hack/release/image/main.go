// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command image builds the project's programs and packs them into an OCI archive,
// with the layout that the Dockerfile makes, without a container engine.
//
// The same sources make the same bytes: there are no times and no names of this
// machine in it. It prints the digest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// options are the command line.
type options struct {
	out, name, version, revision string
	architectures                []string
	commands                     []string
	entrypoint                   string
	user                         string
	add                          []string
}

// defaults are what the command line need not say.
func defaults() options {
	return options{
		out: "dist/image.tar", name: "localhost/extauth-guard:dev", version: "dev",
		architectures: []string{"amd64", "arm64"}, commands: []string{"./cmd/..."}, entrypoint: "/webhook", user: "65532:65532",
	}
}

func main() {
	o := defaults()
	architectures, commands := strings.Join(o.architectures, ","), strings.Join(o.commands, ",")
	flag.StringVar(&o.out, "out", o.out, "the archive")
	flag.StringVar(&o.name, "name", o.name, "name and tag of the image")
	flag.StringVar(&o.version, "version", o.version, "version, written into the programs and the labels")
	flag.StringVar(&o.revision, "revision", "", "commit, for the labels")
	flag.StringVar(&architectures, "arch", architectures, "architectures")
	flag.StringVar(&commands, "commands", commands, "packages of the programs; empty for an image of what -add says")
	flag.StringVar(&o.entrypoint, "entrypoint", o.entrypoint, "what runs when nobody says what")
	flag.StringVar(&o.user, "user", o.user, "who runs it")
	flag.Func("add", "PATH=/path/in/image, a file or a folder; may be repeated", func(value string) error {
		o.add = append(o.add, value)
		return nil
	})
	flag.Parse()
	o.architectures = strings.Split(architectures, ",")
	if o.commands = nil; commands != "" {
		o.commands = strings.Split(commands, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	digest, err := build(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

func build(ctx context.Context, o options) (digest string, err error) {
	if !strings.Contains(o.name, ":") {
		return "", fmt.Errorf("the name %q has no tag; say for example %s:dev", o.name, o.name)
	}
	scratch, err := os.MkdirTemp("", "extauth-guard-image-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	index, err := index(ctx, o, scratch)
	if err != nil {
		return "", err
	}
	if err := archive(index, o.name, o.out, scratch); err != nil {
		return "", err
	}
	hash, err := index.Digest()
	return hash.String(), err
}
