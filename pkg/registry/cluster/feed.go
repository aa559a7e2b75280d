// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// feed is one watch that puts what it sees into the world.
type feed struct {
	kind     string
	informer cache.SharedIndexInformer
	handled  cache.ResourceEventHandlerRegistration
	// absent is true while the API server does not serve the kind.
	absent atomic.Bool
	// settled, if not nil, is called once what existed at the start is in the
	// world, and whenever the kind turns out not to be served.
	settled func()
}

// slim is what the informer keeps of an object: its name for the store, and the
// value that the world was given. It is a runtime.Object only because the
// informer's transform has to return one.
type slim[T any] struct {
	metav1.ObjectMeta
	value T
}

// GetObjectKind satisfies runtime.Object; nobody asks for the kind.
func (s *slim[T]) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject satisfies runtime.Object; nobody changes a slim object, so
// nothing is copied.
func (s *slim[T]) DeepCopyObject() runtime.Object { return s }

// lister is the part of a typed, dynamic or metadata client that a watch needs.
type lister struct {
	list  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch cache.WatchFuncWithContext
}

// newFeed watches objects of the type of example. shrink reduces an object, as
// soon as it is decoded, to the value that set is given; remove is given the last
// value of an object that is gone.
func newFeed[O metav1.Object, T any](kind string, from lister, example runtime.Object, shrink func(O) T,
	set, remove func(types.NamespacedName, T),
) (*feed, error) {
	one := &feed{kind: kind}
	one.informer = cache.NewSharedIndexInformer(
		&cache.ListWatch{ListWithContextFunc: from.list, WatchFuncWithContext: from.watch}, example, 0, cache.Indexers{})
	transform := func(object any) (any, error) {
		full, ok := object.(O)
		if !ok { // already shrunk, or the tombstone of a missed deletion
			return object, nil
		}
		return &slim[T]{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: full.GetNamespace(), Name: full.GetName(),
				ResourceVersion: full.GetResourceVersion(),
			},
			value: shrink(full),
		}, nil
	}
	if err := one.informer.SetTransform(transform); err != nil {
		return nil, fmt.Errorf("setting the transform of %s: %w", kind, err)
	}
	if err := one.informer.SetWatchErrorHandlerWithContext(one.onError); err != nil {
		return nil, fmt.Errorf("setting the error handler of %s: %w", kind, err)
	}
	pass := func(to func(types.NamespacedName, T), object any) {
		if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = tombstone.Obj
		}
		if small, ok := object.(*slim[T]); ok {
			to(types.NamespacedName{Namespace: small.Namespace, Name: small.Name}, small.value)
		}
	}
	registration, err := one.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { pass(set, object) },
		UpdateFunc: func(_, object any) { pass(set, object) },
		DeleteFunc: func(object any) { pass(remove, object) },
	})
	if err != nil {
		return nil, fmt.Errorf("handling the events of %s: %w", kind, err)
	}
	one.handled = registration
	return one, nil
}

// run watches until ctx ends.
func (f *feed) run(ctx context.Context) {
	var waiting sync.WaitGroup
	if f.settled != nil {
		waiting.Go(func() {
			if cache.WaitForCacheSync(ctx.Done(), f.handled.HasSynced) {
				f.settled()
			}
		})
	}
	f.informer.RunWithContext(ctx)
	waiting.Wait()
}

// synced is true once all objects that existed at the start are in the world,
// and while there can be none because the kind is not served.
func (f *feed) synced() bool {
	return f.handled.HasSynced() || f.absent.Load()
}

func (f *feed) onError(ctx context.Context, reflector *cache.Reflector, err error) {
	var status apierrors.APIStatus
	if errors.As(err, &status) && apierrors.IsNotFound(err) {
		f.absent.Store(true)
		if f.settled != nil {
			f.settled()
		}
		return // the reflector tries again by itself, and the CRD may come
	}
	cache.DefaultWatchErrorHandler(ctx, reflector, err)
}
