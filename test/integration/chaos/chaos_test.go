// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chaos_test runs the short form of `make chaos`: each fault once.
package chaos_test

import (
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/extauth-guard/extauth-guard/test/harness/chaos"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// The long form of it, in make chaos, sends 20,000 writes.
func TestThePromisesHoldWhileNoReplicaIsThere(t *testing.T) {
	result, err := chaos.Outage(t.Context(), 400, 4)
	require.NoError(t, err)
	require.NoError(t, result.Print(os.Stdout))
	require.NoError(t, result.Err())
	assert.GreaterOrEqual(t, result.Writes(), int64(400))
	assert.Zero(t, result.Unasked)
}

func TestNothingIsWrongAndNothingFailsWhereAReplicaIsThere(t *testing.T) {
	results, err := chaos.Run(t.Context(), chaos.Options{Workers: 4, Each: time.Millisecond})
	require.NoError(t, chaos.Print(os.Stdout, results))
	require.NoError(t, err)
	require.NotEmpty(t, results)
	for _, r := range results {
		assert.Zero(t, r.Wrong, "%s: wrong answers: %q", r.Fault, r.Examples)
		assert.Positive(t, r.Right, "%s: the load did not get through", r.Fault)
		assert.Zero(t, r.Failed, "%s: failed admissions: %q", r.Fault, r.Examples)
		assert.LessOrEqual(t, r.Lost, r.Losses, "%s: lost admissions", r.Fault)
	}
}
