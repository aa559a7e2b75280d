// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// forward makes a port of a Pod reachable on the loopback, through the API server
// and the kubelet, as kubectl port-forward does: over a WebSocket, or over SPDY
// where the API server or a proxy in front of it does not know that (KEP-4006).
func forward(ctx context.Context, config *rest.Config, namespace, pod string, port int32) (address string, stop func(), err error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", nil, fmt.Errorf("preparing a connection: %w", err)
	}
	url := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return "", nil, fmt.Errorf("preparing a connection: %w", err)
	}
	overSPDY := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	overWebSocket, err := portforward.NewSPDYOverWebsocketDialer(url, config)
	if err != nil {
		return "", nil, fmt.Errorf("preparing a connection: %w", err)
	}
	dialer := portforward.NewFallbackDialer(overWebSocket, overSPDY, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	ready, done := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:" + strconv.Itoa(int(port))}, done, ready, io.Discard, io.Discard)
	if err != nil {
		return "", nil, fmt.Errorf("preparing a connection: %w", err)
	}
	var failure error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failure = forwarder.ForwardPorts()
	}()
	stop = func() {
		close(done)
		<-ended
	}
	select {
	case <-ended:
		return "", nil, fmt.Errorf("connecting to the Pod %s/%s: %w", namespace, pod, failure)
	case <-ctx.Done():
		stop()
		return "", nil, fmt.Errorf("connecting to the Pod %s/%s: %w", namespace, pod, ctx.Err())
	case <-ready:
	}
	ports, err := forwarder.GetPorts()
	if err != nil || len(ports) != 1 {
		stop()
		return "", nil, fmt.Errorf("connecting to the Pod %s/%s: no port was opened: %w", namespace, pod, err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local))), stop, nil
}
