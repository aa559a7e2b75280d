// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// Build builds the webhook binary as it ships into directory.
func Build(ctx context.Context, directory string) (string, error) {
	root, err := checkout.Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(directory, "webhook")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/webhook")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the webhook binary: %w: %s", err, out)
	}
	return binary, nil
}

// Process is the webhook binary, running.
type Process struct {
	Settings config.WebhookConfig
	command  *exec.Cmd
	log      *log
	ended    chan struct{}
}

// Run starts the binary with the settings, which are written into directory, and
// waits until it is ready.
func Run(ctx context.Context, binary, kubeconfig, directory string, settings config.WebhookConfig) (*Process, error) {
	raw, err := yaml.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("encoding the configuration: %w", err)
	}
	file := filepath.Join(directory, fmt.Sprintf("webhook-%d.yaml", settings.Server.Port))
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return nil, err
	}
	p := &Process{Settings: settings, log: &log{}, ended: make(chan struct{})}
	p.command = exec.CommandContext(context.WithoutCancel(ctx), binary, "--config", file, "--kubeconfig", kubeconfig)
	p.command.Stderr = p.log
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("starting the webhook binary: %w", err)
	}
	go func() {
		defer close(p.ended)
		_ = p.command.Wait() // how it ended is in its log
	}()
	ready, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := Ready(ready, settings); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%w; it said:\n%s", err, p.Log())
	}
	return p, nil
}

// PID returns the process ID, which is part of the identity of a leader.
func (p *Process) PID() int {
	return p.command.Process.Pid
}

// Log returns what the process has written so far.
func (p *Process) Log() string {
	return p.log.String()
}

// Kill ends the process at once, as a node that goes away does.
func (p *Process) Kill() {
	p.end(syscall.SIGKILL)
}

// Stop asks the process to end, and waits.
func (p *Process) Stop() {
	p.end(syscall.SIGTERM)
}

func (p *Process) end(signal syscall.Signal) {
	_ = p.command.Process.Signal(signal) // it may have ended already
	<-p.ended
}

// log is a buffer for a process that is still writing.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *log) Write(raw []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(raw)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(l.text.String())
}
