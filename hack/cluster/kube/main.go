// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kube is Kubernetes in one file. Which of its programs it becomes is
// decided by the name it is called by, so one binary and a symbolic link for
// each program make a directory that KUBEBUILDER_ASSETS can point to.
//
// It exists so that a machine with Go and a module proxy, and nothing else,
// gets a real API server to test against. Without a build tag it holds what a
// control plane for tests needs; with the tag "node" also what turns a Linux
// machine into a node.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A program runs with the arguments of the process and returns its exit code,
// or ends the process itself.
type program func() int

func main() {
	programs := controlPlane()
	maps.Copy(programs, node())

	name := filepath.Base(os.Args[0])
	run, ok := programs[name]
	if !ok {
		names := strings.Join(slices.Sorted(maps.Keys(programs)), ", ")
		fmt.Fprintf(os.Stderr, "kube: called as %q, which is none of the programs in this binary; link it to one of: %s\n", name, names)
		os.Exit(2)
	}
	os.Exit(run())
}
