// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package audit compares all stored APIRules with what admission would say of
// them now, and tells: in the status of ExtAuthPolicies, in metrics, in events
// at a change of a verdict, and in reports (OpenReports or PolicyReports) where the cluster has these.
//
// It is level-triggered: it looks at an APIRule when anything changes that its
// verdict depends on, and at all of them once per period, and what it writes
// follows from the verdicts alone. It decides nothing itself, and a change that
// matters to no APIRule makes no work.
package audit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/events"

	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// pause is the shortest time between two rounds. What changes meanwhile is
// looked at together, and a status is written at most that often.
const pause = time.Second

// slowest is the longest time between two attempts to write.
const slowest = 30 * time.Second

// Options are what an audit needs.
type Options struct {
	World     *facts.World
	Untyped   dynamic.Interface
	Discovery discovery.DiscoveryInterface
	Recorder  events.EventRecorder
	Settings  func() policy.Settings
	// Metrics may be nil: nothing is measured.
	Metrics *metrics.Audit
	// Covered is told what each round found; nil if nobody wants to know.
	Covered func(Coverage)
	// Period is how often all APIRules are looked at.
	Period time.Duration
	// Now tells the time, for exemptions.
	Now func() time.Time
	Log logr.Logger
}

// Controller is the audit. Make it with [New].
type Controller struct {
	options Options
	book    *book
	todo    *todo
	// written holds the status of each policy that the cluster has, as far as
	// this replica knows.
	written map[string]string
	reports *reports
	// settled is true after the first round, which makes no events: what was
	// wrong before is no change of a verdict.
	settled bool
}

// New returns an audit.
func New(options Options) *Controller {
	return &Controller{
		options: options, book: newBook(options.World, options.Settings), todo: newTodo(), written: map[string]string{},
		reports: newReports(options.Untyped, options.Discovery),
	}
}

// Start works until ctx ends. It is to be called when the world is complete, and
// by one replica at a time. An audit can be started once.
func (c *Controller) Start(ctx context.Context) error {
	defer c.options.World.Subscribe(c.todo.changed)()
	defer c.options.Metrics.Reset()
	c.todo.everything()
	period := time.NewTicker(c.options.Period)
	defer period.Stop()
	next := pause
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-period.C:
			c.todo.everything()
		case <-c.todo.wake:
		}
		if err := c.round(ctx); err != nil && ctx.Err() == nil {
			c.options.Log.Info("Trying again to write what the audit found", "reason", err.Error())
			c.todo.again()
			next = min(2*next, slowest)
		} else {
			next = pause
		}
		if !rest(ctx, next) {
			return nil
		}
	}
}

// rest waits; it is false if ctx ended.
func rest(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// round looks at what is to be looked at and tells what it found. Whatever could
// not be written is tried again in the next round.
func (c *Controller) round(ctx context.Context) error {
	names, all := c.todo.take()
	if all {
		names = c.known()
	}
	now := c.options.Now()
	start := time.Now()
	for _, name := range names {
		seen := c.book.examine(ctx, now, name)
		c.reports.touch(name.Namespace)
		if c.settled {
			c.tell(seen)
		}
	}
	found := summarize(ctx, c.book, now)
	c.options.Metrics.Evaluated(len(names), time.Since(start).Seconds())
	c.options.Metrics.Show(found.hosts, found.findings, exemptions(c.options.World.Policies(), now))
	c.settled = true
	if c.options.Covered != nil {
		c.options.Covered(coverage(c.book))
	}
	if all {
		if err := c.reports.look(ctx); err != nil {
			return fmt.Errorf("looking for the kinds of report: %w", err)
		}
	}
	if err := c.writeStatuses(ctx, found); err != nil {
		return err
	}
	return c.reports.write(ctx, c.book, now)
}

// known returns the names of all APIRules, those that are gone included.
func (c *Controller) known() []types.NamespacedName {
	names := c.options.World.APIRuleNames()
	for name := range c.book.verdicts {
		if _, exists := c.options.World.APIRule(name); !exists {
			names = append(names, name)
		}
	}
	return names
}

// todo is what is to be looked at in the next round.
type todo struct {
	mu    sync.Mutex
	names map[types.NamespacedName]bool
	all   bool
	wake  chan struct{}
}

func newTodo() *todo {
	return &todo{names: map[types.NamespacedName]bool{}, wake: make(chan struct{}, 1)}
}

// changed notes the APIRules that a change may matter to. One that matters to
// none wakes nobody, unless a status shows the thing itself.
func (t *todo) changed(change facts.Change) {
	if !change.All && len(change.Affected) == 0 && change.Kind != facts.VirtualService {
		return
	}
	t.mu.Lock()
	for _, name := range change.Affected {
		t.names[name] = true
	}
	t.all = t.all || change.All
	t.mu.Unlock()
	t.again()
}

func (t *todo) everything() {
	t.mu.Lock()
	t.all = true
	t.mu.Unlock()
	t.again()
}

func (t *todo) again() {
	select {
	case t.wake <- struct{}{}:
	default: // awake already
	}
}

func (t *todo) take() (names []types.NamespacedName, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.names {
		names = append(names, name)
	}
	clear(t.names)
	all, t.all = t.all, false
	return names, all
}
