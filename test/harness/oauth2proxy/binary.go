// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oauth2proxy

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// Binary returns the path of the program. The script decides where it comes from,
// so that there is one place that does. An empty version is the pinned one.
func Binary(ctx context.Context, version string) (string, error) {
	root, err := checkout.Root()
	if err != nil {
		return "", err
	}
	script := filepath.Join(root, "hack", "cluster", "oauth2-proxy.sh")
	cmd := exec.CommandContext(ctx, script)
	if version != "" {
		cmd.Args = append(cmd.Args, version)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("finding oauth2-proxy: running %s: %w", script, err)
	}
	return strings.TrimSpace(out.String()), nil
}
