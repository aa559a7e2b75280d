// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// feed is one watch that puts what it sees into the world. It is no informer:
// that would keep every object a second time, beside the world.
type feed struct {
	kind      string
	from      lister
	into      cache.TransformingStore
	reflector *cache.Reflector
	// read is true once what existed at the start is in the world.
	read atomic.Bool
	// absent is true while the API server does not serve the kind.
	absent atomic.Bool
	// settled, if not nil, is called once what existed at the start is in the
	// world, and whenever the kind turns out not to be served.
	settled func()
}

// lister is the part of a typed, dynamic or metadata client that a watch needs.
type lister struct {
	list  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch cache.WatchFuncWithContext
	// in lists one namespace; nil where the kind has none, or is in one only.
	in func(namespace string) func(context.Context, metav1.ListOptions) (runtime.Object, error)
}

// newFeed watches objects of the type of example. shrink reduces an object, as
// soon as it is decoded, to the value that set is given; remove is given the name
// of an object that is gone. Both are called by one goroutine.
func newFeed[O metav1.Object, T any](kind string, from lister, example runtime.Object, shrink func(O) T,
	set func(types.NamespacedName, T), remove func(types.NamespacedName),
) *feed {
	one := &feed{kind: kind, from: from}
	into := &intake[O, T]{
		shrink: shrink, set: set, remove: remove, known: map[types.NamespacedName]struct{}{},
		replaced: func() {
			if !one.read.Swap(true) && one.settled != nil {
				one.settled()
			}
		},
	}
	one.into = into
	source := &cache.ListWatch{ListWithContextFunc: from.list, WatchFuncWithContext: from.watch}
	one.reflector = cache.NewReflectorWithOptions(source, example, into, cache.ReflectorOptions{Name: kind})
	return one
}

// The pauses between attempts, those of client-go's own informers.
const (
	firstPause   = 800 * time.Millisecond
	longestPause = 30 * time.Second
	healthyAfter = 2 * time.Minute
)

// run watches until ctx ends.
func (f *feed) run(ctx context.Context) {
	backoff := wait.Backoff{Duration: firstPause, Cap: longestPause, Steps: 40, Factor: 2, Jitter: 1}
	// The error is the end of ctx.
	_ = backoff.DelayWithReset(clock.RealClock{}, healthyAfter).Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		if err := f.reflector.ListAndWatchWithContext(ctx); err != nil {
			f.failed(ctx, err)
		}
		return false, nil
	})
}

// synced is true once all objects that existed at the start are in the world,
// and while there can be none because the kind is not served.
func (f *feed) synced() bool {
	return f.read.Load() || f.absent.Load()
}

func (f *feed) failed(ctx context.Context, err error) {
	var status apierrors.APIStatus
	if errors.As(err, &status) && apierrors.IsNotFound(err) {
		f.absent.Store(true)
		if f.settled != nil {
			f.settled()
		}
		return // it is tried again, and the CRD may come
	}
	cache.DefaultWatchErrorHandler(ctx, f.reflector, err)
}
