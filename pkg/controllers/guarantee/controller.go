// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package guarantee keeps the ConfigMap that tells the API server's own admission
// policies about the cluster; see package guarantee in pkg for what is in it.
//
// What it writes is only ever late. While no replica leads, the policies go on with what
// was written last.
package guarantee

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/clock"

	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

const (
	// together is how long changes are collected before one write.
	together = 200 * time.Millisecond
	// again is how long it takes until a write that failed is tried again, and until
	// what somebody else changed is corrected.
	again = 10 * time.Second
)

// Controller keeps the ConfigMap. Make it with [New].
type Controller struct {
	options Options
	wake    chan struct{}
}

// Options are what a controller needs; all are required.
type Options struct {
	World *facts.World
	Typed kubernetes.Interface
	// Namespace is where the ConfigMap is. Somebody else has to make it.
	Namespace string
	Settings  func() policy.Settings
	Clock     clock.WithTicker
	Log       logr.Logger
}

// New returns a controller.
func New(options Options) *Controller {
	return &Controller{options: options, wake: make(chan struct{}, 1)}
}

// Start works until ctx ends, and never returns an error. It is to be called when the
// world is complete, and by one replica at a time. A controller can be started once.
func (c *Controller) Start(ctx context.Context) error {
	defer c.options.World.Subscribe(c.changed)()
	ticker := c.options.Clock.NewTicker(again)
	defer ticker.Stop()
	var failed sync.Once
	for {
		if err := c.write(ctx); err != nil && ctx.Err() == nil {
			failed.Do(func() { c.options.Log.Error(err, "The API server's policies are not told about the cluster") })
		} else {
			failed = sync.Once{}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			continue
		case <-c.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.options.Clock.After(together):
		}
	}
}

// changed notes a change of what the ConfigMap says.
func (c *Controller) changed(change facts.Change) {
	if change.Kind != facts.Istio && change.Kind != facts.Service && change.Kind != facts.ExtAuthGuard {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default: // awake already
	}
}

// write corrects the ConfigMap if it says something else than is known.
func (c *Controller) write(ctx context.Context) error {
	existing, err := c.configMaps().Get(ctx, guarantee.ConfigMap, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading the ConfigMap %s/%s: %w", c.options.Namespace, guarantee.ConfigMap, err)
	}
	wanted := guarantee.Parameters(c.known())
	if maps.Equal(existing.Data, wanted) {
		return nil
	}
	existing.Data = wanted
	_, err = c.configMaps().Update(ctx, existing, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("writing the ConfigMap %s/%s: %w", c.options.Namespace, guarantee.ConfigMap, err)
	}
	return nil
}

func (c *Controller) configMaps() typedcorev1.ConfigMapInterface {
	return c.options.Typed.CoreV1().ConfigMaps(c.options.Namespace)
}

func (c *Controller) known() guarantee.Known {
	known := guarantee.Known{Registry: c.options.World.Registry(), Settings: c.options.Settings(), Services: map[types.NamespacedName]policy.Service{}}
	for _, name := range c.options.World.Services(func(one policy.Service) bool { return len(one.Annotations) > 0 }) {
		if service, exists := c.options.World.Service(name); exists {
			known.Services[name] = service
		}
	}
	return known
}
