// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// readiness is true once TLS is served and the watches have read the cluster,
// and false again from the signal to stop. Before that an answer would be a
// guess, and after it a request may meet a closed port.
type readiness struct {
	serving  healthz.Checker
	synced   func() error
	draining atomic.Bool
}

var errDraining = errors.New("stopping")

func (r *readiness) check(request *http.Request) error {
	if r.draining.Load() {
		return errDraining
	}
	if err := r.serving(request); err != nil {
		return fmt.Errorf("serving TLS: %w", err)
	}
	return r.synced()
}

func (r *readiness) drain() {
	r.draining.Store(true)
}

// leaving has clients leave while this server drains. The API server keeps one
// HTTP/2 connection and sends on it as long as it is open, also when the endpoint
// is gone from the Service. Closing it at the end would lose what is on its way, so
// each answer asks for the next request to come on another connection; net/http
// makes that a GOAWAY, after which everything sent before is still answered.
func (r *readiness) leaving(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if r.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, request)
	})
}

func (r *readiness) register(mgr manager.Manager) error {
	if err := mgr.AddHealthzCheck("alive", healthz.Ping); err != nil {
		return fmt.Errorf("adding the liveness probe: %w", err)
	}
	if err := mgr.AddReadyzCheck("ready", r.check); err != nil {
		return fmt.Errorf("adding the readiness probe: %w", err)
	}
	return nil
}
