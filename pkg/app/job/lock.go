// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// errLockLost says that the cluster could not be reached for so long that
// another run may have begun.
var errLockLost = errors.New("lost the lock of the bootstrap job, another run may be at work; run it again to go on")

// locked runs work while holding a Lease. Two jobs at a time would each take the
// other's unfinished Helm release for one that a killed process left behind. A
// run that was killed keeps the next one waiting for the Lease's duration.
func (r *run) locked(ctx context.Context, work func(context.Context) error) error {
	elector, began, err := r.elector()
	if err != nil {
		return fmt.Errorf("preparing the lock %s/%s: %w", r.opts.namespace, Name, err)
	}
	// The elector goes on trying without a word when it may not read the Lease.
	if _, err := r.kubernetes.CoordinationV1().Leases(r.opts.namespace).List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
		return fmt.Errorf("reading the lock %s/%s: %w", r.opts.namespace, Name, err)
	}
	holding, release := context.WithCancel(ctx)
	defer release()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// What the elector logs for itself is for long-running controllers.
		elector.Run(klog.NewContext(holding, logr.Discard()))
	}()
	select {
	case leading := <-began:
		err := work(leading) //nolint:contextcheck // The elector's context stems from ours.
		if leading.Err() != nil && ctx.Err() == nil {
			err = errors.Join(errLockLost, err)
		}
		release()
		<-ended
		return err
	case <-ended:
		return fmt.Errorf("waiting for the lock %s/%s, which %q holds: %w", r.opts.namespace, Name, elector.GetLeader(), ctx.Err())
	}
}

// elector returns an elector and a channel that yields the context of the time
// during which the lock is held.
func (r *run) elector() (*leaderelection.LeaderElector, <-chan context.Context, error) {
	duration := r.env.Config.Timeouts.Lock.Duration
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	identity := host + "_" + string(uuid.NewUUID())
	began := make(chan context.Context, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: r.opts.namespace, Name: Name},
			Client:     r.kubernetes.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		LeaseDuration:   duration,
		RenewDeadline:   duration * 2 / 3,
		RetryPeriod:     duration / 6,
		ReleaseOnCancel: true,
		Name:            Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) { began <- leading },
			OnStoppedLeading: func() {},
			OnNewLeader: func(holder string) {
				if holder != identity {
					r.log.Info("Waiting for another run of the job to end", "holder", holder)
				}
			},
		},
	})
	return elector, began, err
}
