// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// What a flood is made of.
const (
	floodFor         = 3 * time.Second
	floodConnections = 40
	floodBody        = 7 << 20 // bytes, the largest that is read
	stormWorkers     = 10
	stormCommas      = 20_000
	// shippedMemory is the limit that the chart gives the Go runtime.
	shippedMemory = "GOMEMLIMIT=230MiB"
)

// flooded runs something with the memory of the chart, and then says whether the
// replicas are the processes that they were.
func flooded(ctx context.Context, w *world, flood func(ctx context.Context) error) error {
	for _, one := range w.replicas {
		one.environ = []string{shippedMemory}
	}
	if err := rollingUpdate(ctx, w); err != nil {
		return err
	}
	if err := flood(ctx); err != nil {
		return err
	}
	for _, one := range w.replicas {
		if err := one.process.Process.Signal(syscall.Signal(0)); err != nil {
			return fmt.Errorf("a replica did not survive: %w; it said last: %s", err, one.lastWords())
		}
		one.environ = nil
	}
	return rollingUpdate(ctx, w)
}

// bodyFlood sends large bodies to both replicas on many connections, from an address
// that is not the API server's.
func bodyFlood(ctx context.Context, w *world) error {
	return flooded(ctx, w, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, floodFor)
		defer cancel()
		body := bytes.Repeat([]byte(" "), floodBody)
		var all sync.WaitGroup
		for i := range floodConnections {
			all.Go(func() { floodOne(ctx, w.replicas[i%len(w.replicas)].address(), body) })
		}
		all.Wait()
		return nil
	})
}

// floodOne sends a body again and again until ctx ends; what comes back is not its concern.
func floodOne(ctx context.Context, address string, body []byte) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	client := &http.Client{Transport: &http.Transport{
		DialContext:     dialer.DialContext,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}, //nolint:gosec // the loopback
	}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+webhook.ValidateAPIRulePath, bytes.NewReader(body))
		if err != nil {
			return
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			continue // refused or cut off, which is what is to be expected
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}

// commaStorm has the API server ask about annotations that are nothing but commas.
func commaStorm(ctx context.Context, w *world) error {
	return flooded(ctx, w, func(ctx context.Context) error {
		end := time.Now().Add(floodFor)
		failures := make(chan error, stormWorkers)
		var all sync.WaitGroup
		for worker := range stormWorkers {
			all.Go(func() {
				object := testCase{
					annotations: map[string]any{annotation.Authorizers: strings.Repeat(",", stormCommas)},
					rules:       []any{rule(extAuth("oauth2-proxy"))},
				}.object(fmt.Sprintf("commas-%d", worker))
				for time.Now().Before(end) && ctx.Err() == nil {
					_, err := w.load.client.Create(ctx, object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
					if err == nil {
						err = errors.New("they were admitted")
					}
					if !apierrors.IsInvalid(err) {
						failures <- fmt.Errorf("%d commas are to be refused as invalid: %w", stormCommas, err)
						return
					}
				}
			})
		}
		all.Wait()
		close(failures)
		return <-failures
	})
}
