// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
	"github.com/extauth-guard/extauth-guard/test/harness/hostile"
)

// client sends requests from an address of the loopback.
type client struct {
	http    *http.Client
	dialer  *tls.Dialer
	address string
	slowest time.Duration
}

func newClient(t *testing.T, settings config.WebhookConfig, from string) *client {
	t.Helper()
	trusting := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13} //nolint:gosec // the loopback
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{TLSClientConfig: trusting, DialContext: dialer.DialContext, DisableKeepAlives: true}
	return &client{
		http:    &http.Client{Transport: transport},
		dialer:  &tls.Dialer{NetDialer: dialer, Config: trusting},
		address: net.JoinHostPort("127.0.0.1", strconv.Itoa(settings.Server.Port)),
	}
}

func (c *client) post(ctx context.Context, path string, body io.Reader) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.address+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", answer.StatusCode, text)
	}
	return text, err
}

// right asks about an APIRule that is right, and returns what is wrong with the
// answer.
func (c *client) right(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	asked := hostile.Right()
	review, err := asked.Review(1)
	require.NoError(t, err)
	begun := time.Now()
	raw, err := c.post(ctx, webhook.ValidateAPIRulePath, strings.NewReader(string(review)))
	if err != nil {
		return err
	}
	c.slowest = max(c.slowest, time.Since(begun))
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(raw, &answer); err != nil {
		return err
	}
	if answer.Response == nil || !answer.Response.Allowed {
		return fmt.Errorf("not allowed: %s", raw)
	}
	return nil
}

// answers holds the server to answer within the timeout of the webhooks. A busy
// machine gets a second and a third try.
func (c *client) answers(t *testing.T) {
	t.Helper()
	var err error
	for range 3 {
		if err = c.right(t); err == nil {
			return
		}
	}
	assert.NoError(t, err)
}

// answersWhile holds the server to answer while something else is done, and after
// it.
func (c *client) answersWhile(t *testing.T, do func(context.Context)) {
	t.Helper()
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		defer close(done)
		do(ctx)
	}()
	c.answers(t)
	<-done
	c.answers(t)
}

// peakMemory returns the most that a process has used, in MiB, without the pages of its
// program: these count towards the limit of a container, but the kernel drops them before
// it kills.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	return (kib(t, string(raw), "VmHWM:") - kib(t, string(raw), "RssFile:")) >> 10
}

// kib reads a field of /proc/PID/status, in KiB.
func kib(t *testing.T, status, field string) int {
	t.Helper()
	for line := range strings.Lines(status) {
		if text, found := strings.CutPrefix(line, field); found {
			of, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")))
			require.NoError(t, err)
			return of
		}
	}
	t.Fatal("the kernel does not say " + field)
	return 0
}

// allocated returns how many bytes are allocated.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
