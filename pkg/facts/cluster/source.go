// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster feeds a facts.World from the watches of a cluster, and
// asks the API server once where the watches may lag behind.
//
// Nothing but what the policy needs is kept of any object, so that memory grows
// slowly with the cluster. A kind whose CRD is not installed counts as read and
// empty, and is tried again.
package cluster

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// LiveReadLimit bounds how long one admission waits for the API server when the
// watches do not know something that would change the answer.
const LiveReadLimit = 250 * time.Millisecond

// Source is a facts.Source over the watches of one cluster. It has to be
// started once; until it has synced, the registry is unknown.
type Source struct {
	world *facts.World
	live  live
	feeds []*feed
}

var _ facts.Source = &Source{}

// New returns a Source for the cluster behind config. It does not connect yet.
func New(config *rest.Config) (*Source, error) {
	world := facts.NewWorld("the Istio CR was not read yet")
	feeds, live, err := feedsOf(config, world)
	if err != nil {
		return nil, err
	}
	return &Source{world: world, live: live, feeds: feeds}, nil
}

// feedsOf returns a feed for each kind that decisions need.
func feedsOf(config *rest.Config, world *facts.World) ([]*feed, live, error) {
	// Watches are few and long, and a live read must not wait for a client-side
	// limit: the API server's own priority and fairness is the limit.
	config = rest.CopyConfig(config)
	config.QPS = -1
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, live{}, fmt.Errorf("making a client: %w", err)
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, live{}, fmt.Errorf("making a dynamic client: %w", err)
	}
	partial, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, live{}, fmt.Errorf("making a metadata client: %w", err)
	}
	return []*feed{
		istioFeed(untyped, world),
		meshFeed(typed, world),
		serviceFeed(typed, world),
		endpointsFeed(typed, world),
		proxyFeed(typed, world),
		namespaceFeed(partial, world),
		apiruleFeed(untyped, world),
		authorizationPolicyFeed(untyped, world),
		policyFeed(untyped, world),
		gatewayFeed(untyped, world),
		virtualServiceFeed(untyped, world),
	}, live{typed: typed, untyped: untyped, world: world}, nil
}

// World returns the index that the watches feed.
func (s *Source) World() *facts.World {
	return s.world
}

// Start runs the watches until ctx ends, and returns after all of them have.
func (s *Source) Start(ctx context.Context) error {
	var group errgroup.Group
	for _, one := range s.feeds {
		group.Go(func() error {
			one.run(ctx)
			return nil
		})
	}
	group.Go(func() error {
		// The first lists leave as much garbage as the index has in it, and the
		// process would keep that memory for as long as it has nothing to do.
		if cache.WaitForCacheSync(ctx.Done(), func() bool { return s.Synced() == nil }) {
			debug.FreeOSMemory()
		}
		return nil
	})
	return group.Wait()
}

// NeedLeaderElection is false: every replica decides from its own watches.
func (s *Source) NeedLeaderElection() bool {
	return false
}

// Synced returns nil once each watch has delivered what existed when it began,
// and else names the kinds that are missing.
func (s *Source) Synced() error {
	var missing []string
	for _, one := range s.feeds {
		if !one.synced() {
			missing = append(missing, one.kind)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("not read yet: %v", missing)
	}
	return nil
}

// Facts returns the facts around view, from the watches. Where these lack a
// Service or a Namespace, or do not know an authorizer that a rule names, which is
// how objects look that were created a moment ago, it asks the API server once and
// waits at most [LiveReadLimit].
func (s *Source) Facts(ctx context.Context, view apirule.View) policy.Facts {
	facts := s.world.Facts(ctx, view)
	missing := missingIn(facts, view)
	if missing.nothing() {
		return facts
	}
	ctx, cancel := context.WithTimeout(ctx, LiveReadLimit)
	defer cancel()
	s.live.complete(ctx, &facts, missing)
	return facts
}

// IstioFacts returns the facts around an Istio CR, from the watches.
func (s *Source) IstioFacts(name types.NamespacedName) policy.IstioFacts {
	return s.world.IstioFacts(name)
}

// OptOutFacts returns the facts around the annotations of a Service or a
// Namespace, from the watches.
func (s *Source) OptOutFacts(kind annotation.Kind, name types.NamespacedName, labels map[string]string) policy.OptOutFacts {
	return s.world.OptOutFacts(kind, name, labels)
}

func missingIn(facts policy.Facts, view apirule.View) missing {
	lacking := missing{authorizers: unknownAuthorizer(view, facts)}
	namespace := func(name string) {
		if _, known := facts.Namespaces[name]; !known && name != "" && !slices.Contains(lacking.namespaces, name) {
			lacking.namespaces = append(lacking.namespaces, name)
		}
	}
	namespace(view.Namespace)
	for _, rule := range view.Rules {
		namespace(rule.Service.Namespace)
		if _, known := facts.Services[rule.Service]; !known && rule.Service.Name != "" && !slices.Contains(lacking.services, rule.Service) {
			lacking.services = append(lacking.services, rule.Service)
		}
	}
	return lacking
}

func unknownAuthorizer(view apirule.View, facts policy.Facts) bool {
	for _, rule := range view.Rules {
		for _, name := range rule.Authorizers {
			if !facts.Registry.Has(name) {
				return true
			}
		}
	}
	return false
}
