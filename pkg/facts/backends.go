// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Ready is true if an endpoint of the Service is ready.
func (w *World) Ready(service types.NamespacedName) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.ready(service)
}

// ready is Ready for a caller that holds mu.
func (w *World) ready(service types.NamespacedName) bool {
	for _, ready := range w.endpoints[service] {
		if ready {
			return true
		}
	}
	return false
}

// backendChanged reads the backends again if a Service is one. The caller holds mu.
func (w *World) backendChanged(service types.NamespacedName) {
	if w.Registry().Behind(service) != "" {
		w.readBackends()
	}
}

// readBackends replaces what is known about the Services of authorizers. There are
// few authorizers, and they change seldom, but every admission asks. The caller holds
// mu.
func (w *World) readBackends() {
	registry := w.Registry()
	w.backends = make(map[string]policy.Backend, len(registry.Names()))
	for _, name := range registry.Names() {
		authorizer, _ := registry.Authorizer(name)
		service, known := authorizer.Backend()
		if !known {
			continue
		}
		found, exists := w.services.get(service)
		backend := policy.Backend{
			Service: service,
			Exists:  exists,
			HasPort: slices.ContainsFunc(found.Ports, func(port int32) bool { return int64(port) == authorizer.Port }),
			Ready:   w.ready(service),
		}
		backend.Holes = w.holesBehind(service, found)
		w.backends[name] = backend
	}
}
