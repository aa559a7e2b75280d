// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"
)

// client sends bytes to an API server, and does as little else as it can: it
// shares the machine with what is measured.
type client struct {
	http *http.Client
	base string
}

func newClient(config *rest.Config) (client, error) {
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return client{}, fmt.Errorf("making a client: %w", err)
	}
	base := config.Host
	if !strings.Contains(base, "://") {
		base = "https://" + base
	}
	return client{http: transport, base: strings.TrimSuffix(base, "/")}, nil
}

// send sends one request and returns the body of the answer. Every status but
// the 200s is an error.
func (c client) send(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", contentType)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return answer, nil
}

// create posts an object.
func (c client) create(ctx context.Context, path string, object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	_, err = c.send(ctx, http.MethodPost, path, "application/json", body)
	return err
}

// calls returns how often the API server has called each webhook.
func (c client) calls(ctx context.Context) (map[string]int, error) {
	metrics, err := c.send(ctx, http.MethodGet, "/metrics", "", nil)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics of the API server: %w", err)
	}
	return parseCalls(string(metrics)), nil
}

// parseCalls reads the counts of the histogram that kube-apiserver keeps of its
// calls of webhooks (apiserver, admission/metrics.go).
func parseCalls(metrics string) map[string]int {
	const metric = "apiserver_admission_webhook_admission_duration_seconds_count{"
	calls := map[string]int{}
	for line := range strings.Lines(metrics) {
		labels, found := strings.CutPrefix(line, metric)
		if !found {
			continue
		}
		_, name, _ := strings.Cut(labels, `name="`)
		name, _, _ = strings.Cut(name, `"`)
		value, _ := afterLast(strings.TrimSpace(line), " ")
		count, err := strconv.ParseFloat(value, 64)
		if err == nil {
			calls[name] += int(count)
		}
	}
	return calls
}
