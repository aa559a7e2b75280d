// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package module

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// watchedHooks are the two webhook configurations, each watched by its name, so that
// the permission can be bound to it.
type watchedHooks struct {
	name                 string
	mutating, validating cache.SharedIndexInformer
}

// watchHooks begins to watch until ctx ends, and calls wake after changes.
func watchHooks(ctx context.Context, client kubernetes.Interface, name string, wake func()) (*watchedHooks, error) {
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = only }))
	hooks := factory.Admissionregistration().V1()
	w := &watchedHooks{name, hooks.MutatingWebhookConfigurations().Informer(), hooks.ValidatingWebhookConfigurations().Informer()}
	for _, informer := range []cache.SharedIndexInformer{w.mutating, w.validating} {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { wake() },
			UpdateFunc: func(any, any) { wake() },
			DeleteFunc: func(any) { wake() },
		})
		if err != nil {
			return nil, fmt.Errorf("watching the webhook configurations: %w", err)
		}
		go informer.RunWithContext(ctx)
	}
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), w.mutating.HasSynced, w.validating.HasSynced) {
			wake() // also where there is none of them
		}
	}()
	return w, nil
}

// now returns what is there; nil as long as not all was read.
func (w *watchedHooks) now() *Hooks {
	if !w.mutating.HasSynced() || !w.validating.HasSynced() {
		return nil
	}
	hooks := &Hooks{Name: w.name}
	for _, object := range w.mutating.GetStore().List() {
		hooks.Mutating, _ = object.(*admissionregistrationv1.MutatingWebhookConfiguration)
	}
	for _, object := range w.validating.GetStore().List() {
		hooks.Validating, _ = object.(*admissionregistrationv1.ValidatingWebhookConfiguration)
	}
	return hooks
}
