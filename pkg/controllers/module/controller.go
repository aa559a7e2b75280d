// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package module tells Kyma how an installation is, in the status of the ExtAuthGuard:
// one state, and a condition for each thing that has to work.
//
// What is observed becomes a status in functions without a clock or a client; the
// controller only looks, and writes what changed.
package module

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/settings"
)

const (
	// together is how long changes are collected before one look.
	together = time.Second
	// patrol is how often everything is looked at without a reason: the end of a
	// certificate changes no object.
	patrol = time.Minute
)

// Controller keeps the status of all ExtAuthGuards. Make it with [New].
type Controller struct {
	options Options
	wake    chan struct{}
}

// Options are what a controller needs; all are required but Coverage.
type Options struct {
	World  *facts.World
	Holder *settings.Holder
	Typed  kubernetes.Interface
	// Untyped writes the statuses.
	Untyped  dynamic.Interface
	Recorder events.EventRecorder
	// Hooks is the name of both webhook configurations.
	Hooks string
	// Certificate returns what this replica serves.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Coverage returns what the audit found last; nil if that is nothing yet. It may
	// itself be nil: there is no audit.
	Coverage func() *Coverage
	Clock    clock.WithTicker
	Log      logr.Logger
}

// New returns a controller.
func New(options Options) *Controller {
	return &Controller{options: options, wake: make(chan struct{}, 1)}
}

// Wake has everything looked at again soon. It may be called by anybody, at any time.
func (c *Controller) Wake() {
	select {
	case c.wake <- struct{}{}:
	default: // awake already
	}
}

// Start works until ctx ends. It is to be called when the world is complete, and by one
// replica at a time. A controller can be started once.
func (c *Controller) Start(ctx context.Context) error {
	since := c.options.Clock.Now()
	defer c.options.World.Subscribe(c.changed)()
	hooks, err := watchHooks(ctx, c.options.Typed, c.options.Hooks, c.Wake)
	if err != nil {
		return err
	}
	ticker := c.options.Clock.NewTicker(patrol)
	defer ticker.Stop()
	for {
		if err := c.look(ctx, since, hooks); err != nil && ctx.Err() == nil {
			c.options.Log.Info("The status of an ExtAuthGuard could not be written; trying again", "reason", err.Error(), "in", patrol.String())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		case <-c.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.options.Clock.After(together):
		}
	}
}

// changed notes a change of what a status says. What the audit found wakes by itself.
func (c *Controller) changed(change facts.Change) {
	switch change.Kind {
	case facts.ExtAuthGuard, facts.Istio, facts.Service, facts.Endpoints:
		c.Wake()
	case facts.APIRule, facts.Namespace, facts.AuthorizationPolicies, facts.Proxies, facts.CallersPolicies,
		facts.ExtAuthPolicy, facts.Gateway, facts.VirtualService:
	}
}

// look writes the statuses that are not as they should be.
func (c *Controller) look(ctx context.Context, since time.Time, hooks *watchedHooks) error {
	guards := c.options.Holder.Guards()
	if len(guards) == 0 {
		return nil
	}
	seen := c.observe(ctx, since, hooks)
	audited := c.options.Coverage == nil || seen.Coverage != nil
	settling := (seen.Hooks == nil || !audited) && seen.Now.Sub(since) < patience
	var errs []error
	for _, one := range guards {
		if settling && one.Object.Status.State != "" {
			continue // a new leader says nothing before it has seen everything
		}
		if err := c.write(ctx, one, Status(one, seen)); err != nil {
			errs = append(errs, fmt.Errorf("writing the status of the ExtAuthGuard %s/%s: %w", one.Object.Namespace, one.Object.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *Controller) observe(ctx context.Context, since time.Time, hooks *watchedHooks) Observed {
	world := c.options.World
	seen := Observed{
		Now: c.options.Clock.Now(), Since: since, Hooks: hooks.now(), Ready: map[types.NamespacedName]bool{}, Chain: c.chain(),
		Registry: world.Registry(), Settings: c.options.Holder.Settings(), Istios: len(world.Istios()),
	}
	if seen.Hooks != nil {
		for _, service := range seen.Hooks.Services() {
			_, exists := world.Service(service)
			seen.Ready[service] = exists && world.Ready(service)
		}
	}
	// The world tells of a backend by way of an APIRule that names its authorizer.
	view := apirule.View{Rules: []apirule.Rule{{Strategy: apirule.ExtAuth, Authorizers: seen.Settings.DefaultAuthorizers}}}
	seen.Backends = world.Facts(ctx, view).Backends
	if c.options.Coverage != nil {
		seen.Coverage = c.options.Coverage()
	}
	return seen
}

// chain returns what this replica serves; nil if that is nothing yet.
func (c *Controller) chain() []*x509.Certificate {
	served, err := c.options.Certificate(nil)
	if err != nil {
		return nil
	}
	var chain []*x509.Certificate
	for _, raw := range served.Certificate {
		one, err := x509.ParseCertificate(raw)
		if err != nil {
			return chain
		}
		chain = append(chain, one)
	}
	return chain
}

// write writes a status over the version of the object that the watch has seen: a
// leader that lost its Lease meanwhile loses here, too, and the watch brings what is
// newer.
func (c *Controller) write(ctx context.Context, guard settings.Guard, status v1alpha1.ExtAuthGuardStatus) error {
	before := guard.Object.Status
	if equality.Semantic.DeepEqual(before, status) {
		return nil
	}
	object := guard.Object.DeepCopy()
	object.Status = status
	object.APIVersion, object.Kind = v1alpha1.GroupVersion.String(), v1alpha1.GuardKind
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return err
	}
	client := c.options.Untyped.Resource(v1alpha1.GroupVersion.WithResource(v1alpha1.GuardResource)).Namespace(object.Namespace)
	_, err = client.UpdateStatus(ctx, &unstructured.Unstructured{Object: content}, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil && before.State != status.State {
		c.tell(object)
	}
	return err
}

// tell makes an event of a new state.
func (c *Controller) tell(guard *v1alpha1.ExtAuthGuard) {
	about := &corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.GuardKind, Namespace: guard.Namespace, Name: guard.Name, UID: guard.UID,
	}
	kind := corev1.EventTypeNormal
	if guard.Status.State == v1alpha1.StateWarning || guard.Status.State == v1alpha1.StateError {
		kind = corev1.EventTypeWarning
	}
	why := meta.FindStatusCondition(guard.Status.Conditions, Ready)
	c.options.Recorder.Eventf(about, nil, kind, why.Reason, "Observe", "the state is %s: %s", guard.Status.State, shorten(why.Message))
}
