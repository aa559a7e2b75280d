// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command man writes the manual pages of kubectl-extauth into a directory.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra/doc"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
	"github.com/extauth-guard/extauth-guard/pkg/version"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: man DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func write(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return fmt.Errorf("making the directory: %w", err)
	}
	command := cli.NewCommand()
	command.DisableAutoGenTag = true // the same source gives the same pages
	header := &doc.GenManHeader{Section: "1", Source: "extauth-guard " + version.String(), Manual: "kubectl plugins"}
	if err := doc.GenManTree(command, header, directory); err != nil {
		return fmt.Errorf("writing the pages: %w", err)
	}
	return nil
}
