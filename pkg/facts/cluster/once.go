// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"

	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Gap is a kind that could not be read, or not everywhere, because the user may
// not.
type Gap struct {
	Kind string
	// Namespace is the only one in which the kind was read; "" means that it was
	// not read at all.
	Namespace string
	// Err is what the API server said about the part that was not read.
	Err error
}

// Read lists what decisions need once, without watches, for programs that end with
// their answer. What may not be listed in the whole cluster is listed in namespace;
// what is missing then is in the gaps, sorted by kind. Any other failure is an
// error. Where the Istio CR may not be read, the registry is unknown and says why.
func Read(ctx context.Context, config *rest.Config, namespace string) (*facts.World, []Gap, error) {
	world := facts.NewWorld("the Istio CR was not read")
	feeds, _, err := feedsOf(config, world)
	if err != nil {
		return nil, nil, err
	}
	var gaps []Gap
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	for _, one := range feeds {
		group.Go(func() error {
			gap, err := one.once(ctx, namespace)
			if gap != nil {
				mu.Lock()
				defer mu.Unlock()
				gaps = append(gaps, *gap)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	slices.SortFunc(gaps, func(a, b Gap) int { return strings.Compare(a.Kind, b.Kind) })
	for _, gap := range gaps {
		if gap.Kind == istio.Kind {
			world.SetRegistry(policy.UnknownRegistryBecause(fmt.Sprintf("you may not list Istio CRs in the namespace %s", istio.Namespace)))
		}
	}
	return world, gaps, nil
}

// once lists a kind. A kind that is not served has no objects.
func (f *feed) once(ctx context.Context, namespace string) (*Gap, error) {
	err := f.take(ctx, f.from.list)
	var gap *Gap
	if apierrors.IsForbidden(err) {
		gap = &Gap{Kind: f.kind, Err: err}
		if f.from.in != nil && namespace != "" {
			err = f.take(ctx, f.from.in(namespace))
			gap.Namespace = namespace
		}
	}
	switch {
	case err == nil:
		return gap, nil
	case apierrors.IsForbidden(err):
		gap.Namespace = ""
		return gap, nil
	case apierrors.IsNotFound(err):
		if f.settled != nil {
			f.settled()
		}
		return gap, nil
	}
	return nil, fmt.Errorf("listing the kind %s: %w", f.kind, err)
}

// take puts everything that is listed into the world. Each object is reduced as it
// comes, so that there is never a whole list of whole objects.
func (f *feed) take(ctx context.Context, list func(context.Context, metav1.ListOptions) (runtime.Object, error)) error {
	shrink := f.into.Transformer()
	var all []any
	err := pager.New(list).EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		one, err := shrink(object)
		if err == nil {
			all = append(all, one)
		}
		return err
	})
	if err != nil {
		return err
	}
	return f.into.Replace(all, "")
}
