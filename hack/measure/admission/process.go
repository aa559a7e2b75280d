// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a webhook server in a process of its own, so that what it costs is
// told apart from what everything else costs.
type process struct {
	command *exec.Cmd
	input   io.Closer
	log     *lockedBuffer
	// ready is how long it took from the start to ready.
	ready time.Duration
}

// start runs a program and waits until ready returns. What it is given are the
// lines that the program prints.
func start(ctx context.Context, env []string, ready func(context.Context, *bufio.Reader) error, program string, args ...string) (*process, error) {
	command := exec.CommandContext(context.WithoutCancel(ctx), program, args...)
	command.Env = append(os.Environ(), env...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the benchmark, which stops it
	input, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &process{command: command, input: input, log: &lockedBuffer{}}
	command.Stderr = p.log
	begin := time.Now()
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := ready(ctx, bufio.NewReader(output)); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w; it said last:\n%s", program, err, p.log.end()), p.stop())
	}
	p.ready = time.Since(begin)
	return p, nil
}

// stop asks the process to end and waits for it.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	err := p.input.Close()
	_ = p.command.Process.Signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if ended := p.command.Wait(); ended != nil && !errors.As(ended, &exit) {
		err = errors.Join(err, ended)
	}
	return err
}

// cpu returns the processor time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the processor time: %w", err)
	}
	return parseStat(string(raw))
}

// tick is the unit of /proc/<pid>/stat: USER_HZ is 100 on every Linux that Go
// runs on (proc_pid_stat(5)).
const tick = 10 * time.Millisecond

// parseStat adds up utime and stime, fields 14 and 15 of proc_pid_stat(5). The
// name of the program, field 2, may have blanks and brackets in it.
func parseStat(stat string) (time.Duration, error) {
	rest, found := afterLast(stat, ")")
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("reading the processor time: %q is no line of /proc/<pid>/stat", stat)
	}
	var ticks int64
	for _, field := range fields[11:13] {
		value, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the processor time: %w", err)
		}
		ticks += value
	}
	return time.Duration(ticks) * tick, nil
}

func afterLast(text, separator string) (after string, found bool) {
	at := strings.LastIndex(text, separator)
	if at < 0 {
		return "", false
	}
	return text[at+len(separator):], true
}

// memory is the resident memory of a process, in MiB.
type memory struct{ now, peak float64 }

func (p *process) memory() (memory, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return memory{}, fmt.Errorf("reading the memory: %w", err)
	}
	return parseStatus(string(raw))
}

func parseStatus(status string) (memory, error) {
	var m memory
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*float64{"VmRSS": &m.now, "VmHWM": &m.peak}[name]
		if into == nil {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		if err != nil {
			return memory{}, fmt.Errorf("reading the memory: %w", err)
		}
		*into = kib / 1024
	}
	if m.now == 0 || m.peak == 0 {
		return memory{}, errors.New("reading the memory: there is no VmRSS or VmHWM in /proc/<pid>/status")
	}
	return m, nil
}

// lockedBuffer keeps what a process prints; it writes while we read.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// end returns the last lines.
func (b *lockedBuffer) end() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(b.text.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
