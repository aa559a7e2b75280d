// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/bootstrap/steps"
	"github.com/extauth-guard/extauth-guard/pkg/config"
)

func newLocked(objects ...runtime.Object) (*run, *fake.Clientset) {
	cfg := config.DefaultBootstrap()
	cfg.Timeouts.Lock = metav1.Duration{Duration: time.Second}
	kubernetes := fake.NewClientset(objects...)
	return &run{
		env: steps.Environment{Config: cfg}, kubernetes: kubernetes, log: logr.Discard(), opts: options{namespace: "extauth-guard"},
	}, kubernetes
}

func TestTheLockIsReleasedAfterTheWork(t *testing.T) {
	r, _ := newLocked()
	boom := errors.New("boom")
	for range 2 {
		began := time.Now()
		require.ErrorIs(t, r.locked(t.Context(), func(context.Context) error { return boom }), boom)
		assert.Less(t, time.Since(began), time.Second, "the second run waited for the first one's lock")
	}
}

func TestAHeldLockIsWaitedForNoLongerThanAllowed(t *testing.T) {
	holder, seconds, now := "other", int32(3600), metav1.NowMicro()
	r, _ := newLocked(&coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "extauth-guard", Name: Name},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := r.locked(ctx, func(context.Context) error { t.Error("the work began"); return nil })
	require.EqualError(t, err, `waiting for the lock extauth-guard/extauth-guard-bootstrap, which "other" holds: context deadline exceeded`)
	assert.Equal(t, exit.Timeout, exit.Code(err))
}

func TestTheWorkEndsWhenTheLockIsLost(t *testing.T) {
	r, kubernetes := newLocked()
	var cut atomic.Bool
	kubernetes.PrependReactor("update", "leases", func(kubetesting.Action) (bool, runtime.Object, error) {
		return cut.Load(), nil, errors.New("no connection")
	})
	err := r.locked(t.Context(), func(ctx context.Context) error {
		cut.Store(true)
		<-ctx.Done()
		return ctx.Err()
	})
	require.ErrorIs(t, err, errLockLost)
}

func TestAForbiddenLockIsNotWaitedFor(t *testing.T) {
	r, kubernetes := newLocked()
	kubernetes.PrependReactor("list", "leases", func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("forbidden")
	})
	err := r.locked(t.Context(), func(context.Context) error { return nil })
	require.EqualError(t, err, "reading the lock extauth-guard/extauth-guard-bootstrap: forbidden")
}
