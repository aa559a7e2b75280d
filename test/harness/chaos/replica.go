// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// replica is one process of the webhook server.
type replica struct {
	settings   config.WebhookConfig
	binary     string
	file       string
	kubeconfig string
	environ    []string
	process    *exec.Cmd
	stdin      io.Writer
	stdout     *bufio.Reader
	log        *bytes.Buffer
}

// drain is how long a replica goes on answering after SIGTERM.
const drain = time.Second

func newReplica(ctx context.Context, directory, name, binary, kubeconfig, certificates string, change func(*config.WebhookConfig)) (*replica, error) {
	settings, err := guard.Settings(ctx, certificates)
	if err != nil {
		return nil, err
	}
	settings.Certificates.Mode = config.CertificatesFromFiles
	settings.Server.ShutdownDelay = metav1.Duration{Duration: drain}
	// A fifth of what ships, in the same proportions: another leader is a matter of
	// seconds.
	for _, one := range []*metav1.Duration{&settings.LeaderElection.LeaseDuration, &settings.LeaderElection.RenewDeadline, &settings.LeaderElection.RetryPeriod} {
		one.Duration /= 5
	}
	if change != nil {
		change(&settings)
	}
	r := &replica{settings: settings, binary: binary, file: filepath.Join(directory, name+".yaml"), kubeconfig: kubeconfig}
	raw, err := yaml.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("encoding the configuration: %w", err)
	}
	return r, os.WriteFile(r.file, raw, 0o600)
}

func (r *replica) address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.settings.Server.Port))
}

// start starts the process and waits until it is ready.
func (r *replica) start(ctx context.Context) error {
	r.log = &bytes.Buffer{}
	r.process = exec.CommandContext(context.WithoutCancel(ctx), r.binary, "--config", r.file, "--kubeconfig", r.kubeconfig)
	r.process.Env = append(os.Environ(), r.environ...)
	r.process.Stderr = r.log
	stdin, noIn := r.process.StdinPipe()
	stdout, noOut := r.process.StdoutPipe()
	if err := errors.Join(noIn, noOut); err != nil {
		return fmt.Errorf("preparing a replica: %w", err)
	}
	r.stdin, r.stdout = stdin, bufio.NewReader(stdout)
	if err := r.process.Start(); err != nil {
		return fmt.Errorf("starting a replica: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := guard.Ready(ctx, r.settings); err != nil {
		return fmt.Errorf("%w; it said last: %s", err, r.lastWords())
	}
	return nil
}

// end sends a signal and waits for the process to end.
func (r *replica) end(signal syscall.Signal) error {
	if r.process == nil {
		return nil
	}
	if err := r.process.Process.Signal(signal); err != nil {
		return fmt.Errorf("signalling a replica: %w", err)
	}
	err := r.process.Wait()
	r.process = nil
	if signal == syscall.SIGKILL {
		return nil // its exit status is ours
	}
	return err
}

func (r *replica) lastWords() string {
	lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "\n")
}
