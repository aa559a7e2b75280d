// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build mesh

package envoy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
)

type object = map[string]any

// start runs Envoy with one listener for each authorizer, which all ask the same
// server before they pass a request on to the same application, and returns the
// addresses of the listeners.
func start(t *testing.T, authorizers []extauthz.Authorizer, authorizer, application net.Addr) []string {
	t.Helper()
	program := os.Getenv("EXTAUTH_ENVOY")
	require.NotEmpty(t, program, "run make test-mesh, which gets Envoy")
	folder := t.TempDir()
	listeners := make([]any, 0, len(authorizers))
	for i, each := range authorizers {
		listeners = append(listeners, listener(strconv.Itoa(i), each))
	}
	config, err := json.Marshal(object{
		"admin": object{"address": address("127.0.0.1", 0)},
		"static_resources": object{
			"listeners": listeners,
			"clusters":  []any{cluster("authorizer", authorizer), cluster("application", application)},
		},
	})
	require.NoError(t, err)
	file, admin := filepath.Join(folder, "envoy.json"), filepath.Join(folder, "admin")
	require.NoError(t, os.WriteFile(file, config, 0o600))
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var log bytes.Buffer
	command := exec.CommandContext(ctx, program, "-c", file, "--admin-address-path", admin, "--concurrency", "1", "--log-level", "warning", "--disable-hot-restart")
	command.Stdout, command.Stderr = &log, &log
	require.NoError(t, command.Start())
	ended := make(chan struct{})
	go func() {
		_ = command.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		if t.Failed() {
			t.Logf("Envoy's log:\n%s", log.String())
		}
	})
	var addresses []string
	require.Eventually(t, func() bool {
		select {
		case <-ended:
			require.FailNow(t, "Envoy ended", log.String())
		default:
		}
		addresses = listening(ctx, admin)
		return len(addresses) == len(authorizers)
	}, time.Minute, 50*time.Millisecond, "Envoy's listeners")
	return addresses
}

// listening asks Envoy where it listens, in the order of the listeners' names.
func listening(ctx context.Context, admin string) []string {
	where, err := os.ReadFile(admin)
	if err != nil {
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(where)+"/listeners?format=json", http.NoBody)
	if err != nil {
		return nil
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Statuses []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if json.NewDecoder(response.Body).Decode(&answer) != nil {
		return nil
	}
	addresses := make([]string, len(answer.Statuses))
	for _, each := range answer.Statuses {
		var at int
		if _, err := fmt.Sscan(each.Name, &at); err != nil || at >= len(addresses) {
			return nil
		}
		addresses[at] = fmt.Sprintf("%s:%d", each.Address.Socket.Address, each.Address.Socket.Port)
	}
	return addresses
}

// listener asks an authorizer about every request. Nothing else changes one.
func listener(name string, a extauthz.Authorizer) object {
	return object{
		"name": name, "address": address("127.0.0.1", 0),
		"filter_chains": []any{object{"filters": []any{object{
			"name": "http",
			"typed_config": object{
				"@type":       "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
				"stat_prefix": "http", "generate_request_id": false, "preserve_external_request_id": true, "skip_xff_append": true,
				"route_config": object{"virtual_hosts": []any{object{
					"name": "all", "domains": []any{"*"},
					"routes": []any{object{"match": object{"prefix": "/"}, "route": object{"cluster": "application"}}},
				}}},
				"http_filters": []any{
					object{"name": "ext_authz", "typed_config": filter(a)},
					object{"name": "router", "typed_config": object{
						"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": true,
					}},
				},
			},
		}}}},
	}
}

// filter is the ext_authz filter that istiod makes of an authorizer (istiod,
// extauthz.go, generateHTTPConfig), without the condition that a policy matched.
func filter(a extauthz.Authorizer) object {
	timeout := a.Timeout
	if timeout == 0 {
		timeout = extauthz.DefaultTimeout
	}
	service := object{
		"path_prefix": a.PathPrefix,
		"server_uri":  object{"uri": "http://authorizer", "cluster": "authorizer", "timeout": fmt.Sprintf("%ds", int(timeout.Seconds()))},
	}
	if len(a.AddHeaders) > 0 {
		var add []any
		for name, value := range a.AddHeaders {
			add = append(add, object{"key": name, "value": value})
		}
		service["authorization_request"] = object{"headers_to_add": add}
	}
	response := object{}
	for field, patterns := range map[string][]string{
		"allowed_upstream_headers": a.UpstreamOnAllow, "allowed_client_headers": a.DownstreamOnDeny, "allowed_client_headers_on_success": a.DownstreamOnAllow,
	} {
		if len(patterns) > 0 {
			response[field] = matchers(patterns)
		}
	}
	if len(response) > 0 {
		service["authorization_response"] = response
	}
	made := object{
		"@type":                 "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
		"transport_api_version": "V3", "http_service": service,
	}
	if len(a.IncludeHeaders) > 0 {
		made["allowed_headers"] = matchers(a.IncludeHeaders)
	}
	return made
}

func matchers(patterns []string) object {
	var made []any
	for _, pattern := range patterns {
		matcher := object{"ignore_case": true, "exact": pattern}
		if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
			matcher = object{"ignore_case": true, "suffix": suffix}
		} else if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			matcher = object{"ignore_case": true, "prefix": prefix}
		}
		made = append(made, matcher)
	}
	return object{"patterns": made}
}

func cluster(name string, at net.Addr) object {
	tcp, _ := at.(*net.TCPAddr)
	return object{
		"name": name, "type": "STATIC", "connect_timeout": "5s",
		"load_assignment": object{"cluster_name": name, "endpoints": []any{object{"lb_endpoints": []any{
			object{"endpoint": object{"address": address(tcp.IP.String(), tcp.Port)}},
		}}}},
	}
}

func address(host string, port int) object {
	return object{"socket_address": object{"address": host, "port_value": port}}
}
