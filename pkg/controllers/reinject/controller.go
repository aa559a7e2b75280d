// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package reinject brings annotations and policies that came later to APIRules
// that exist: by the edits that admission would make now, under an optimistic
// lock, at a limited rate, and through admission itself.
//
// It never writes an APIRule because of a Service or Namespace elsewhere: the audit
// reports such an APIRule. It never fights. An APIRule that somebody reverts twice, as a GitOps tool does
// with what is not in its repository, is given up with one event. What it
// remembers of that it remembers in memory: a new leader begins to count again.
package reinject

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Reasons of the events on an APIRule.
const (
	// ReasonInjected: rules got authorizers.
	ReasonInjected = "Injected"
	// ReasonRefused: the API server refuses the APIRule with the authorizers.
	ReasonRefused = "InjectionRefused"
	// ReasonGivenUp: somebody reverts what is injected.
	ReasonGivenUp = "InjectionGivenUp"
)

// maxReverts is how often an APIRule may be reverted before it is given up.
const maxReverts = 2

// Writes per second, and how many may come at once.
const (
	perSecond = 10
	burst     = 20
)

// slowest is the longest pause between two attempts at the same APIRule.
const slowest = time.Minute

// Options are what a controller needs; all are required.
type Options struct {
	World    *facts.World
	Untyped  dynamic.Interface
	Recorder events.EventRecorder
	Settings func() policy.Settings
	// Now tells the time, for exemptions.
	Now func() time.Time
	Log logr.Logger
}

// Controller injects into APIRules that exist. Make it with [New].
type Controller struct {
	options Options
	queue   workqueue.TypedRateLimitingInterface[types.NamespacedName]
	limit   *rate.Limiter
	// memory is what was done about each APIRule. Only the worker touches it.
	memory map[types.NamespacedName]*attempt
}

// attempt is what was done about one APIRule to give it one set of authorizers.
type attempt struct {
	wanted  string
	applied bool
	reverts int
	// refused is what the API server said last, if it refused.
	refused string
}

// New returns a controller.
func New(options Options) *Controller {
	limits := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](50*time.Millisecond, slowest)
	return &Controller{
		options: options,
		queue:   workqueue.NewTypedRateLimitingQueue(limits),
		limit:   rate.NewLimiter(perSecond, burst),
		memory:  map[types.NamespacedName]*attempt{},
	}
}

// Start works until ctx ends. It is to be called when the world is complete, and
// by one replica at a time. A controller can be started once.
func (c *Controller) Start(ctx context.Context) error {
	defer c.options.World.Subscribe(c.changed)()
	c.queue.Add(everything())
	go func() {
		<-ctx.Done()
		c.queue.ShutDown()
	}()
	for c.next(ctx) {
	}
	return nil
}

func (c *Controller) changed(change facts.Change) {
	for _, name := range change.Affected {
		c.queue.Add(name)
	}
	if change.All {
		c.queue.Add(everything())
	}
}

// everything stands in the queue for all APIRules: a queue of thousands of names,
// of which hardly one needs anything, would be the largest thing in memory.
func everything() types.NamespacedName {
	return types.NamespacedName{}
}

// queueAll queues the APIRules that lack what their intent asks for, and those
// that something was done about.
func (c *Controller) queueAll(ctx context.Context) {
	for _, name := range c.options.World.APIRuleNames() {
		view, exists := c.options.World.APIRule(name)
		_, remembered := c.memory[name]
		if exists && (remembered || len(c.decide(ctx, view).Edits.Rules) > 0) {
			c.queue.Add(name)
		}
	}
}

func (c *Controller) next(ctx context.Context) bool {
	name, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(name)
	if name == everything() {
		c.queueAll(ctx)
		return true
	}
	if err := c.reconcile(ctx, name); err != nil {
		if ctx.Err() == nil && !apierrors.IsConflict(err) {
			c.options.Log.Info("Trying again to inject into an APIRule", "apirule", name.String(), "reason", err.Error())
		}
		c.queue.AddRateLimited(name)
		return true
	}
	c.queue.Forget(name)
	return true
}

// reconcile injects into one APIRule what its intent asks for and it lacks.
func (c *Controller) reconcile(ctx context.Context, name types.NamespacedName) error {
	view, exists := c.options.World.APIRule(name)
	if !exists {
		delete(c.memory, name)
		return nil
	}
	if injection := c.decide(ctx, view); len(injection.Edits.Rules) == 0 {
		c.settle(name, injection)
		return nil
	}
	// The watches may lag behind our own last write: the object itself says what
	// there is to do.
	object, err := c.apirules(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the APIRule: %w", err)
	}
	view = apirule.Parse(object.Object, name.Namespace)
	injection := c.decide(ctx, view)
	if len(injection.Edits.Rules) == 0 {
		return nil
	}
	now := c.remember(name, fingerprint(injection))
	if now.applied {
		now.applied = false
		now.reverts++
		if now.reverts == maxReverts {
			c.event(object, corev1.EventTypeWarning, ReasonGivenUp, fmt.Sprintf(
				"somebody reverted %d times what %s asks for, so the rules stay as they are; write the authorizers where the APIRule comes from, for example with kubectl extauth inject",
				maxReverts, sources(injection)))
		}
	}
	if now.reverts >= maxReverts {
		return nil
	}
	return c.apply(ctx, object, view, injection, now)
}

func (c *Controller) decide(ctx context.Context, view apirule.View) policy.Injection {
	facts := c.options.World.Facts(ctx, view)
	facts.Now = c.options.Now()
	// Whoever annotates a Service must not get writes into other namespaces by it.
	return policy.Inject(view, facts, c.options.Settings()).WithoutForeign(view)
}

// settle forgets what was done about an APIRule that nobody asks to be injected
// any more; one that is protected is remembered, it may be reverted.
func (c *Controller) settle(name types.NamespacedName, injection policy.Injection) {
	protected := slices.ContainsFunc(injection.Outcomes, func(one policy.Outcome) bool { return one.Reason == policy.AlreadyProtected })
	if !protected {
		delete(c.memory, name)
	}
}

func (c *Controller) remember(name types.NamespacedName, wanted string) *attempt {
	now, known := c.memory[name]
	if !known || now.wanted != wanted {
		now = &attempt{wanted: wanted}
		c.memory[name] = now
	}
	return now
}

// apply writes the edits over the version of the object that was read.
func (c *Controller) apply(ctx context.Context, object *unstructured.Unstructured, view apirule.View, injection policy.Injection, now *attempt) error {
	if err := c.limit.Wait(ctx); err != nil {
		return fmt.Errorf("waiting for the turn: %w", err)
	}
	operations := append(apirule.JSONPatch(view, injection.Edits),
		apirule.Operation{Op: "replace", Path: "/metadata/resourceVersion", Value: object.GetResourceVersion()})
	patch, err := json.Marshal(operations)
	if err != nil {
		return fmt.Errorf("encoding the patch: %w", err)
	}
	_, err = c.apirules(view.Namespace).Patch(ctx, view.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: "extauth-guard"})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err):
		if now.refused != err.Error() { // a later change may make it right, and brings us here again
			now.refused = err.Error()
			c.event(object, corev1.EventTypeWarning, ReasonRefused, fmt.Sprintf("%s asks for authorizers, but the API server refuses the APIRule with them: %v", sources(injection), err))
		}
		return nil
	case err != nil:
		return fmt.Errorf("patching the APIRule: %w", err)
	}
	now.applied, now.refused = true, ""
	c.event(object, corev1.EventTypeNormal, ReasonInjected, fmt.Sprintf("%s, as %s asks for", gained(injection), sources(injection)))
	return nil
}

// apirules are read and written in the version in which they are stored: that
// needs no conversion.
func (c *Controller) apirules(namespace string) dynamic.ResourceInterface {
	return c.options.Untyped.Resource(schema.GroupVersionResource{Group: apirule.Group, Version: "v2alpha1", Resource: apirule.Resource}).Namespace(namespace)
}

// maxNote is the length up to which the API server takes the note of an event.
const maxNote = 1024

func (c *Controller) event(object *unstructured.Unstructured, eventType, reason, note string) {
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote-3], "") + "…"
	}
	about := &corev1.ObjectReference{
		APIVersion: apirule.Group + "/v2", Kind: apirule.Kind, Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID(),
	}
	c.options.Recorder.Eventf(about, nil, eventType, reason, "Inject", "%s", note)
}

// fingerprint is the same for the same wish.
func fingerprint(injection policy.Injection) string {
	return gained(injection) + sources(injection)
}

func gained(injection policy.Injection) string {
	texts := make([]string, 0, len(injection.Edits.Rules))
	for _, edit := range injection.Edits.Rules {
		texts = append(texts, fmt.Sprintf("spec.rules[%d] got %s", edit.Rule, strings.Join(edit.Authorizers, ", ")))
	}
	return strings.Join(texts, "; ")
}

// sources names what asks for the edits, each once.
func sources(injection policy.Injection) string {
	var from []string
	for _, outcome := range injection.Outcomes {
		if outcome.Reason == policy.Injected && !slices.Contains(from, outcome.From) {
			from = append(from, outcome.From)
		}
	}
	return strings.Join(from, ", ")
}
