// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package callers keeps the AuthorizationPolicies that let callers inside the mesh
// call Services which APIRules expose, where an annotation of the Service or of its
// Namespace asks for that.
//
// Each policy belongs to its Service by an owner reference, and goes with its cause:
// the annotation, the last APIRule, the permission of the ExtAuthPolicies. A policy of
// somebody else is never taken over. What cannot be done is said in an event.
package callers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/callers"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Reasons of the events on a Service.
const (
	// ReasonAllowed: the callers may call, as it was asked for.
	ReasonAllowed = "InternalCallersAllowed"
	// ReasonRefused: what was asked for cannot be done; the note says why.
	ReasonRefused = "InternalCallersRefused"
	// ReasonRemoved: nobody asks any more, or nobody exposes the Service.
	ReasonRemoved = "InternalCallersRemoved"
)

const (
	// slowest is the longest pause between two attempts at the same Service.
	slowest = time.Minute
	// lookAgain is how often the ingress gateways are looked for: a new one is known
	// after that time at the latest.
	lookAgain = 10 * time.Second
)

// Controller keeps the policies. Make it with [New].
type Controller struct {
	options Options
	queue   workqueue.TypedRateLimitingInterface[types.NamespacedName]

	mu       sync.Mutex
	gateways []annotation.Caller
	// said is the last refusal of each Service, so that it is said once.
	said map[types.NamespacedName]string
}

// Options are what a controller needs; all are required.
type Options struct {
	World    *facts.World
	Typed    kubernetes.Interface
	Untyped  dynamic.Interface
	Recorder events.EventRecorder
	Settings func() policy.Settings
	Clock    clock.WithTicker
	Log      logr.Logger
}

// New returns a controller that listens to the world from now on.
func New(options Options) *Controller {
	c := &Controller{options: options, said: map[types.NamespacedName]string{}}
	limits := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](50*time.Millisecond, slowest)
	c.queue = workqueue.NewTypedRateLimitingQueue(limits)
	return c
}

// Start works until ctx ends. It is to be called when the world is complete, and by
// one replica at a time. A controller can be started once. Nothing is written before
// the ingress gateways are known.
func (c *Controller) Start(ctx context.Context) error {
	ticker := c.options.Clock.NewTicker(lookAgain)
	defer ticker.Stop()
	for !c.findGateways(ctx) {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
	defer c.options.World.Subscribe(c.changed)()
	c.addAll()
	var group sync.WaitGroup
	group.Go(func() {
		defer c.queue.ShutDown()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C():
				c.findGateways(ctx)
			}
		}
	})
	for c.next(ctx) {
	}
	group.Wait()
	return nil
}

// findGateways looks for the ingress gateways. It is false if that failed, and what
// was known of them is kept.
func (c *Controller) findGateways(ctx context.Context) bool {
	gateways, err := gatewaysOf(ctx, c.options.Typed, c.options.Untyped)
	if err != nil {
		if ctx.Err() == nil {
			c.options.Log.Error(err, "The ingress gateways cannot be found")
		}
		return false
	}
	c.mu.Lock()
	changed := fmt.Sprint(c.gateways) != fmt.Sprint(gateways)
	c.gateways = gateways
	c.mu.Unlock()
	if changed {
		c.addAll()
	}
	return true
}

// addAll queues every Service that may have, or may need, a policy.
func (c *Controller) addAll() {
	for _, names := range [][]types.NamespacedName{c.options.World.ExposedServices(), c.options.World.CallersPolicies()} {
		for _, name := range names {
			c.queue.Add(name)
		}
	}
}

// changed queues the Services that a change may mean something for.
func (c *Controller) changed(change facts.Change) {
	switch change.Kind {
	case facts.Service, facts.CallersPolicies:
		c.queue.Add(change.Name)
	case facts.Namespace, facts.APIRule, facts.ExtAuthPolicy, facts.Gateway:
		// Which Services an APIRule no longer leads to is known to the world only
		// before the change, so all that may be concerned are looked at: it costs a
		// look into the index for each.
		c.addAll()
	case facts.ExtAuthGuard:
		if change.All {
			c.addAll()
		}
	case facts.Istio, facts.AuthorizationPolicies, facts.Endpoints, facts.VirtualService, facts.Proxies:
	}
}

func (c *Controller) next(ctx context.Context) bool {
	name, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(name)
	if err := c.reconcile(ctx, name); err != nil {
		if ctx.Err() == nil {
			c.options.Log.Info("Trying again to let callers in", "service", name.String(), "reason", err.Error())
		}
		c.queue.AddRateLimited(name)
		return true
	}
	c.queue.Forget(name)
	return true
}

// reconcile brings the policy of one Service to what is decided. Most Services need
// none and have none, and cost a look into the world.
func (c *Controller) reconcile(ctx context.Context, name types.NamespacedName) error {
	service, exists := c.options.World.Service(name)
	_, has := c.options.World.CallersPolicy(name)
	if !exists {
		c.forget(name)
		return nil // the garbage collector removes what it owned
	}
	decided := policy.DecideCallers(name, service, c.options.World.CallersFacts(name), c.options.Settings())
	if decided.From == "" && !has {
		c.forget(name)
		return nil
	}
	object, err := c.options.Typed.CoreV1().Services(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || (err == nil && object.DeletionTimestamp != nil) {
		c.forget(name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the Service %s: %w", name, err)
	}
	if decided.Allowed == nil {
		return c.keepOut(ctx, object, decided)
	}
	return c.letIn(ctx, object, service.Selector, decided)
}

// letIn makes or corrects the policy.
func (c *Controller) letIn(ctx context.Context, service *corev1.Service, selector policy.Selector, decided policy.Callers) error {
	wanted := callers.Wanted{
		Service: types.NamespacedName{Namespace: service.Namespace, Name: service.Name}, UID: service.UID,
		Selector: selector, Callers: *decided.Allowed, Gateways: c.known(),
	}
	if gateway, named := wanted.Gateway(); named {
		decided.Cause, decided.Refused = "GatewayNamed", gateway.String()+" is the identity of an ingress gateway, and what it passes on comes from outside"
		return c.keepOut(ctx, service, decided)
	}
	changed, err := c.store(ctx, wanted)
	if text := refusal(""); errors.As(err, &text) {
		decided.Cause, decided.Refused = "NotWritten", string(text)
		return c.refuse(service, decided)
	}
	if err != nil {
		return err
	}
	c.forget(wanted.Service)
	if changed {
		c.say(service, corev1.EventTypeNormal, ReasonAllowed, "LetIn", fmt.Sprintf("inside the mesh these may call now: %s (by %s)", decided.Allowed, decided.From))
	}
	return nil
}

// keepOut removes the policy, and says why if somebody asks for it.
func (c *Controller) keepOut(ctx context.Context, service *corev1.Service, decided policy.Callers) error {
	removed, err := c.remove(ctx, service)
	if err != nil {
		return err
	}
	why := "the annotation is gone"
	switch {
	case decided.Cause == policy.CallersNotExposed:
		why = decided.Refused // nobody is kept out, so nobody has to be told
	case decided.From != "":
		return c.refuse(service, decided)
	}
	c.forget(types.NamespacedName{Namespace: service.Namespace, Name: service.Name})
	if removed {
		c.say(service, corev1.EventTypeNormal, ReasonRemoved, "KeepOut", "the AuthorizationPolicy for callers inside the mesh was removed: "+why)
	}
	return nil
}

// refuse says once why callers that were asked for may not call. The cause is the
// action of the event, because the API server is sent no second note for the same
// reason and action.
func (c *Controller) refuse(service *corev1.Service, decided policy.Callers) error {
	text := fmt.Sprintf("%s asks for callers inside the mesh, but %s", decided.From, decided.Refused)
	name := types.NamespacedName{Namespace: service.Namespace, Name: service.Name}
	c.mu.Lock()
	repeated := c.said[name] == text
	c.said[name] = text
	c.mu.Unlock()
	if !repeated {
		c.say(service, corev1.EventTypeWarning, ReasonRefused, string(decided.Cause), text)
	}
	return nil
}

func (c *Controller) say(service *corev1.Service, eventType, reason, action, text string) {
	c.options.Recorder.Eventf(service, nil, eventType, reason, action, "%s", note(text))
}

func (c *Controller) forget(name types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.said, name)
}

func (c *Controller) known() []annotation.Caller {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gateways
}
