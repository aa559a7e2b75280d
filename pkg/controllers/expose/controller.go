// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package expose makes, updates and removes the APIRule of a Service that asks,
// by annotation, to be exposed.
//
// The APIRule has the name of the Service, belongs to it by an owner reference,
// and is protected in the request that creates it. What became of the
// request is said in an event on the Service and in an annotation of the APIRule, and
// nothing is half made. The Service itself is never written: whoever may annotate
// every Service of a cluster may also point it elsewhere. An APIRule or a host of
// somebody else is never taken over.
package expose

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
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/expose"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Reasons of the events on a Service.
const (
	// ReasonExposed: the APIRule is there, as it was asked for.
	ReasonExposed = "Exposed"
	// ReasonNotExposed: what was asked cannot be done; the note says why.
	ReasonNotExposed = "NotExposed"
	// ReasonUnexposed: the APIRule was removed, because nobody asks for it.
	ReasonUnexposed = "Unexposed"
)

// slowest is the longest pause between two attempts at the same Service.
const slowest = time.Minute

// Controller exposes Services. Make it with [New].
type Controller struct {
	options Options
	queue   workqueue.TypedRateLimitingInterface[types.NamespacedName]
	// claims are the hosts that this controller gave to Services: the watches
	// may not have delivered the last APIRule yet. Only the worker touches it.
	claims map[string]types.NamespacedName
	// said is what was said of each Service that asks. Only the worker touches it.
	said map[types.NamespacedName]string

	mu sync.Mutex
	// blocked are the Services that could not be exposed: another APIRule that
	// goes may be what they wait for.
	blocked map[types.NamespacedName]bool
}

// Options are what a controller needs; all are required.
type Options struct {
	World    *facts.World
	Typed    kubernetes.Interface
	Untyped  dynamic.Interface
	Recorder events.EventRecorder
	Settings func() policy.Settings
	// Gateway is the Gateway, as namespace/name, of Services that name none.
	Gateway string
	// ForeignNames is true if events name objects of other namespaces.
	ForeignNames func() bool
	// Now tells the time, for exemptions.
	Now func() time.Time
	Log logr.Logger
}

// New returns a controller that listens to the world from now on.
func New(options Options) *Controller {
	c := &Controller{options: options, claims: map[string]types.NamespacedName{}, said: map[types.NamespacedName]string{}, blocked: map[types.NamespacedName]bool{}}
	limits := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](50*time.Millisecond, slowest)
	c.queue = workqueue.NewTypedRateLimitingQueue(limits)
	return c
}

// Start works until ctx ends. It is to be called when the world is complete, and
// by one replica at a time. A controller can be started once.
func (c *Controller) Start(ctx context.Context) error {
	defer c.options.World.Subscribe(c.changed)()
	for _, name := range c.options.World.Services(asks) {
		c.queue.Add(name)
	}
	for _, view := range c.options.World.APIRules() {
		c.addOwner(view)
	}
	go func() {
		<-ctx.Done()
		c.queue.ShutDown()
	}()
	for c.next(ctx) {
	}
	return nil
}

// asks is true for a Service that wants to be exposed.
func asks(service policy.Service) bool {
	_, present := service.Annotations[annotation.Expose]
	return present
}

// changed queues the Services that a change may mean something for.
func (c *Controller) changed(change facts.Change) {
	switch change.Kind {
	case facts.Service:
		c.queue.Add(change.Name)
	case facts.APIRule:
		c.queue.Add(change.Name) // has the name of its Service
		c.addBlocked()           // its host may be free now
	case facts.VirtualService, facts.AuthorizationPolicies:
		c.addBlocked()
	case facts.Istio, facts.ExtAuthPolicy, facts.Gateway, facts.Namespace:
		c.addAsking()
	case facts.ExtAuthGuard:
		if change.All {
			c.addAsking()
		}
	case facts.Endpoints, facts.CallersPolicies, facts.Proxies:
	}
}

func (c *Controller) addAsking() {
	for _, name := range c.options.World.Services(asks) {
		c.queue.Add(name)
	}
}

func (c *Controller) addBlocked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.blocked {
		c.queue.Add(name)
	}
}

func (c *Controller) block(name types.NamespacedName, blocked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if blocked {
		c.blocked[name] = true
		return
	}
	delete(c.blocked, name)
}

func (c *Controller) addOwner(view apirule.View) {
	if view.Controller != nil && view.Controller.Kind == "Service" {
		c.queue.Add(types.NamespacedName{Namespace: view.Namespace, Name: view.Controller.Name})
	}
}

func (c *Controller) next(ctx context.Context) bool {
	name, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(name)
	if !c.concerns(name) {
		c.queue.Forget(name)
		return true
	}
	if err := c.reconcile(ctx, name); err != nil {
		if ctx.Err() == nil {
			c.options.Log.Info("Trying again to expose a Service", "service", name.String(), "reason", err.Error())
		}
		c.queue.AddRateLimited(name)
		return true
	}
	c.queue.Forget(name)
	return true
}

// concerns is true for a Service that asks, and for one whose APIRule is ours.
// Without it every Service of the cluster would be read.
func (c *Controller) concerns(name types.NamespacedName) bool {
	service, _ := c.options.World.Service(name)
	view, exists := c.options.World.APIRule(name)
	return asks(service) || (exists && ownedBy(view, name.Name))
}

func ownedBy(view apirule.View, service string) bool {
	return view.Controller != nil && view.Controller.APIVersion == "v1" && view.Controller.Kind == "Service" && view.Controller.Name == service
}

// reconcile brings the APIRule of one Service to what the Service asks for.
func (c *Controller) reconcile(ctx context.Context, name types.NamespacedName) error {
	service, err := c.options.Typed.CoreV1().Services(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || (err == nil && service.DeletionTimestamp != nil) {
		c.release(name)
		return nil // the garbage collector removes what it owned
	}
	if err != nil {
		return fmt.Errorf("reading the Service %s: %w", name, err)
	}
	asked, errs := annotation.ParseExposure(service.Annotations)
	switch {
	case len(errs) > 0:
		return c.report(ctx, service, expose.Refuse("%s", errs.ToAggregate().Error()))
	case asked == nil:
		return c.unexpose(ctx, service)
	}
	wanted := expose.Request{Service: name, UID: service.UID, Annotations: service.Annotations, Exposure: *asked}
	for _, port := range service.Spec.Ports {
		wanted.Ports = append(wanted.Ports, port.Port)
	}
	done, err := c.expose(ctx, wanted)
	if err != nil {
		return c.report(ctx, service, err)
	}
	c.block(name, false)
	return c.say(ctx, service, corev1.EventTypeNormal, ReasonExposed, done)
}

// expose makes or updates the APIRule and says in a sentence what is there now.
func (c *Controller) expose(ctx context.Context, wanted expose.Request) (string, error) {
	object, err := wanted.Open(c.options.Gateway)
	if err != nil {
		return "", err
	}
	facts := c.options.World.Facts(ctx, apirule.Parse(object, ""))
	facts.Now = c.options.Now()
	protected, authorizers, err := expose.Protect(object, facts, c.options.Settings())
	if err != nil {
		return "", err
	}
	host := policy.FullHost(wanted.Exposure.Host, facts.GatewayDomains[wanted.Gateway(c.options.Gateway)])
	if err := c.store(ctx, wanted, host, protected); err != nil {
		return "", err
	}
	return fmt.Sprintf("exposed as %s by the APIRule %s, protected by %s", host, wanted.Service.Name, join(authorizers)), nil
}

// report says a sentence to the author of the Service. What is no sentence is
// returned, to be tried again.
func (c *Controller) report(ctx context.Context, service *corev1.Service, err error) error {
	var text expose.Refusal
	if !errors.As(err, &text) {
		return err
	}
	c.block(types.NamespacedName{Namespace: service.Namespace, Name: service.Name}, true)
	return c.say(ctx, service, corev1.EventTypeWarning, ReasonNotExposed, "not exposed: "+string(text))
}

// unexpose removes the APIRule that was made for the Service, and nothing else.
func (c *Controller) unexpose(ctx context.Context, service *corev1.Service) error {
	name := types.NamespacedName{Namespace: service.Namespace, Name: service.Name}
	removed, err := c.remove(ctx, name, service.UID)
	if err != nil {
		return err
	}
	c.release(name)
	if removed {
		c.options.Recorder.Eventf(service, nil, corev1.EventTypeNormal, ReasonUnexposed, "Unexpose", "%s", "the APIRule "+name.Name+" was removed, because the annotation is gone")
	}
	return nil
}

func (c *Controller) release(name types.NamespacedName) {
	c.block(name, false)
	delete(c.said, name)
	for host, holder := range c.claims {
		if holder == name {
			delete(c.claims, host)
		}
	}
}

// apirules are written in the version that people write, v2.
func (c *Controller) apirules(namespace string) dynamic.ResourceInterface {
	return c.options.Untyped.Resource(schema.GroupVersionResource{Group: apirule.Group, Version: "v2", Resource: apirule.Resource}).Namespace(namespace)
}
