// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/facts/cluster"
)

// reader is the ClusterRole of the chart that may read what these commands read.
const reader = "extauth-guard-reader"

// A server that does not answer in reachable is not there. What takes longer than
// quiet is announced.
const (
	reachable = 4 * time.Second
	quiet     = 2 * time.Second
)

// read lists what the cluster has, and says what it could not see.
func (k *known) read(ctx context.Context, flags *worldFlags) (*facts.World, error) {
	config, namespace, err := flags.connection()
	if err != nil {
		return nil, err
	}
	defer after(quiet, func() { _, _ = fmt.Fprintf(flags.notes, "reading the cluster %s …\n", config.Host) })()
	if err := answers(ctx, config); err != nil {
		return nil, fmt.Errorf("reading the cluster %s: %w", config.Host, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, flags.patience, fmt.Errorf("timed out after %s; --live-timeout allows more", flags.patience))
	defer cancel()
	world, gaps, err := cluster.Read(ctx, config, namespace)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("reading the cluster %s: %w", config.Host, err)
	}
	// What nobody may see is not missing: only a whole view may call a Service absent.
	k.source, k.world, k.complete, k.cluster, k.namespace, k.gaps = world, world, len(gaps) == 0, config.Host, namespace, gaps
	k.istios = world.Istios()
	if note := unseen(gaps); note != "" {
		_, _ = fmt.Fprint(flags.notes, note)
	}
	return world, nil
}

// after does something in a while, unless it is stopped before. It is over when stop
// returns.
func after(while time.Duration, do func()) (stop func()) {
	done := make(chan struct{})
	timer := time.AfterFunc(while, func() {
		defer close(done)
		do()
	})
	return func() {
		if !timer.Stop() {
			<-done
		}
	}
}

// connection returns how to reach the cluster, and the namespace that is meant.
func (f *worldFlags) connection() (*rest.Config, string, error) {
	config, err := f.kube.config()
	if err != nil {
		return nil, "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	namespace, _, err := f.kube.loader().Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.WarningHandler = rest.NoWarnings{} // those of the API server are about our requests, not about the user's
	return config, namespace, nil
}

// answers says why the API server cannot be asked, within a few seconds. A plugin
// that logs the user in first may take its time.
func answers(ctx context.Context, config *rest.Config) error {
	config = rest.CopyConfig(config)
	config.Dial = (&net.Dialer{Timeout: reachable}).DialContext
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if config.ExecProvider == nil && config.AuthProvider == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, reachable)
		defer cancel()
	}
	_, err = client.Discovery().RESTClient().Get().AbsPath("/version").DoRaw(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the API server did not answer within %s", reachable)
	}
	// The URL that was asked says less than the reason.
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		return fmt.Errorf("the API server cannot be reached: %w", wrapped.Err)
	}
	return err
}

// unseen is a line for what could be read in one namespace only, and one for what
// could not be read at all.
func unseen(gaps []cluster.Gap) string {
	var partly, not []string
	namespace := ""
	for _, gap := range gaps {
		if gap.Namespace != "" {
			namespace, partly = gap.Namespace, append(partly, gap.Kind)
		} else {
			not = append(not, gap.Kind)
		}
	}
	var text strings.Builder
	if len(partly) > 0 {
		fmt.Fprintf(&text, "note: only the namespace %s was read: you may not list %s in the whole cluster\n", namespace, strings.Join(partly, ", "))
	}
	if len(not) > 0 {
		fmt.Fprintf(&text, "note: not read, because you may not list them: %s\n", strings.Join(not, ", "))
	}
	if text.Len() > 0 {
		fmt.Fprintf(&text, "note: what depends on them is not known; the ClusterRole %s allows all of it\n", reader)
	}
	return text.String()
}
