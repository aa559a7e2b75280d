// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// findAssets returns the folder with etcd, kube-apiserver and kubectl. The script
// decides, also about KUBEBUILDER_ASSETS, so that there is one place that does.
func findAssets(ctx context.Context, progress io.Writer) (string, error) {
	if progress == nil {
		progress = os.Stderr
	}
	root, err := checkout.Root()
	if err != nil {
		return "", err
	}
	script := filepath.Join(root, "hack", "cluster", "control-plane.sh")
	cmd := exec.CommandContext(ctx, script)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, progress
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("finding etcd and kube-apiserver: running %s: %w", script, err)
	}
	// KUBEBUILDER_ASSETS may be relative to where the process was started.
	return filepath.Abs(strings.TrimSpace(out.String()))
}
