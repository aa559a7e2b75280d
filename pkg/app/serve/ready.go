// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
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
	// log gets the reason each time it is another one: the answer of the probe has none,
	// since anybody may ask it. The zero value drops it.
	log logr.Logger

	mu   sync.Mutex
	said string
}

var errDraining = errors.New("stopping")

func (r *readiness) check(request *http.Request) error {
	err := r.state(request)
	r.tell(err)
	return err
}

// tell logs the reason if the last call had another one.
func (r *readiness) tell(err error) {
	reason := "ready"
	if err != nil {
		reason = err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case reason == r.said:
	case err == nil:
		r.log.Info("Ready")
	default:
		r.log.Info("Not ready", "reason", reason)
	}
	r.said = reason
}

func (r *readiness) state(request *http.Request) error {
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
