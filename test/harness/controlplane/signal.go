// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// SignalEtcd sends a signal to etcd: SIGSTOP and SIGCONT make it slow without
// losing anything.
func (c *ControlPlane) SignalEtcd(signal syscall.Signal) error {
	text, err := os.ReadFile(filepath.Join(c.dir, "etcd.pid"))
	if err != nil {
		return fmt.Errorf("finding etcd: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("finding etcd: %w", err)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		return fmt.Errorf("signalling etcd: %w", err)
	}
	return nil
}
