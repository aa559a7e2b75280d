// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/metrics"
)

func TestTheLatestWorldIsShown(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, metrics.RegisterWorld(registry, func() metrics.World { return metrics.World{} }))
	require.NoError(t, metrics.RegisterWorld(registry, func() metrics.World {
		return metrics.World{RegistryKnown: true, Authorizers: 2, Objects: map[string]int{"APIRule": 3, "Service": 0}}
	}))
	assert.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP extauth_guard_cached_objects Objects of the cluster held in memory, stripped to what decisions need, by kind.
# TYPE extauth_guard_cached_objects gauge
extauth_guard_cached_objects{kind="APIRule"} 3
extauth_guard_cached_objects{kind="Service"} 0
# HELP extauth_guard_registry_authorizers Authorizers registered in the active Istio CR.
# TYPE extauth_guard_registry_authorizers gauge
extauth_guard_registry_authorizers 2
# HELP extauth_guard_registry_known 1 if the authorizers of the mesh are known, 0 if no Istio CR could be read.
# TYPE extauth_guard_registry_known gauge
extauth_guard_registry_known 1
`)))
}

func TestAdmissionIsSharedByManagersOfOneProcess(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for range 2 {
		admission, err := metrics.NewAdmission(registry)
		require.NoError(t, err)
		admission.Request("mutate", "CREATE", "allowed", time.Millisecond)
		admission.Finding("mutate", "InvalidAnnotation", "deny")
		admission.Injection("Service")
		admission.Skip("Deleting")
		admission.AllowedRemoval()
	}
	assert.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP extauth_guard_injections_total Rules that got authorizers at admission, by the kind of object that asked for it.
# TYPE extauth_guard_injections_total counter
extauth_guard_injections_total{source="Service"} 2
`), "extauth_guard_injections_total"))
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func TestNoAdmissionMeasuresNothing(t *testing.T) {
	var none *metrics.Admission
	assert.NotPanics(t, func() {
		none.Request("mutate", "CREATE", "allowed", 0)
		none.Finding("mutate", "InvalidAnnotation", "deny")
		none.Injection("Service")
		none.Skip("Deleting")
		none.AllowedRemoval()
	})
}
