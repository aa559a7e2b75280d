// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

// LeaseName is the name of the Lease that the leader of the controllers holds.
const LeaseName = "extauth-guard-controllers"

// podNamespace is where Kubernetes tells a Pod its namespace.
const podNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// controller is what runs on the leader only, until its context ends.
type controller interface {
	Start(ctx context.Context) error
}

// leader runs controllers while this replica holds the Lease. It is no part of
// the manager's own leader election, which would end the whole process when the
// Lease is lost, and with it the answers to admission requests.
type leader struct {
	config   *rest.Config
	election config.LeaderElection
	// synced returns nil once the world is complete: a controller that starts
	// earlier would act on half of it.
	synced func() error
	// controllers makes new ones for each term.
	controllers func() []controller
	log         logr.Logger
}

// NeedLeaderElection is false for the manager: it is the election.
func (l *leader) NeedLeaderElection() bool {
	return false
}

// Start campaigns, leads, and campaigns again after a lost term, until ctx ends.
func (l *leader) Start(ctx context.Context) error {
	if !l.election.Enabled {
		return l.term(ctx)
	}
	lock, err := l.lock()
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := l.campaign(ctx, lock); err != nil {
			return err
		}
	}
	return nil
}

func (l *leader) lock() (resourcelock.Interface, error) {
	namespace := l.election.Namespace
	if namespace == "" {
		raw, err := os.ReadFile(podNamespace)
		if err != nil {
			return nil, errors.New("finding the namespace of the Lease: this is no Pod; set leaderElection.namespace, or leaderElection.enabled to false")
		}
		namespace = strings.TrimSpace(string(raw))
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("finding the name of this replica: %w", err)
	}
	identity := resourcelock.ResourceLockConfig{Identity: fmt.Sprintf("%s_%d_%s", host, os.Getpid(), rand.String(8))}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, namespace, LeaseName, identity, l.config, l.election.RenewDeadline.Duration)
	if err != nil {
		return nil, fmt.Errorf("preparing the Lease: %w", err)
	}
	return lock, nil
}

// campaign waits for the Lease and leads until it is lost or ctx ends. It
// returns after the controllers have.
func (l *leader) campaign(ctx context.Context, lock resourcelock.Interface) error {
	var started atomic.Bool
	ended := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            lock,
		Name:            LeaseName,
		LeaseDuration:   l.election.LeaseDuration.Duration,
		RenewDeadline:   l.election.RenewDeadline.Duration,
		RetryPeriod:     l.election.RetryPeriod.Duration,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(term context.Context) {
				started.Store(true)
				defer close(ended)
				if err := l.term(term); err != nil {
					l.log.Error(err, "A controller failed")
				}
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("preparing the election: %w", err)
	}
	elector.Run(ctx)
	// Run returns without a term only when ctx ends; a term that begins after
	// that ends by itself at once.
	if ctx.Err() == nil || started.Load() {
		<-ended
	}
	return nil
}

// term runs new controllers until ctx ends.
func (l *leader) term(ctx context.Context) error {
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) { return l.synced() == nil, nil })
	if err != nil || ctx.Err() != nil {
		return nil
	}
	l.log.Info("Leading")
	defer l.log.Info("No longer leading")
	group, ctx := errgroup.WithContext(ctx)
	for _, one := range l.controllers() {
		group.Go(func() error { return one.Start(ctx) })
	}
	return group.Wait()
}
