// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"context"
	"errors"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// watched is the Secret and the two webhook configurations, as the watches have
// them, each watched by its name.
type watched struct {
	// changed has an element after something changed.
	changed                                 chan struct{}
	secrets, mutatingHooks, validatingHooks cache.SharedIndexInformer
}

// watch begins to watch, and returns when everything was read once.
func (k *Keeper) watch(ctx context.Context) (*watched, error) {
	named := func(name string, options ...informers.SharedInformerOption) informers.SharedInformerFactory {
		only := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
		options = append(options, informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = only }))
		return informers.NewSharedInformerFactoryWithOptions(k.Client, 0, options...)
	}
	hooks := named(k.Configuration).Admissionregistration().V1()
	w := &watched{
		changed:         make(chan struct{}, 1),
		secrets:         named(k.Secret.Name, informers.WithNamespace(k.Secret.Namespace)).Core().V1().Secrets().Informer(),
		mutatingHooks:   hooks.MutatingWebhookConfigurations().Informer(),
		validatingHooks: hooks.ValidatingWebhookConfigurations().Informer(),
	}
	wake := func() {
		select {
		case w.changed <- struct{}{}:
		default: // there is one already
		}
	}
	for _, informer := range []cache.SharedIndexInformer{w.secrets, w.mutatingHooks, w.validatingHooks} {
		registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { wake() },
			UpdateFunc: func(any, any) { wake() },
			DeleteFunc: func(any) { wake() },
		})
		if err != nil {
			return nil, fmt.Errorf("watching for certificates: %w", err)
		}
		go informer.RunWithContext(ctx)
		if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) && ctx.Err() == nil {
			return nil, errors.New("watching for certificates: the cluster was not read")
		}
	}
	return w, nil
}

func (w *watched) secret() (*corev1.Secret, bool) {
	return only[*corev1.Secret](w.secrets)
}

func (w *watched) mutating() (*admissionregistrationv1.MutatingWebhookConfiguration, bool) {
	return only[*admissionregistrationv1.MutatingWebhookConfiguration](w.mutatingHooks)
}

func (w *watched) validating() (*admissionregistrationv1.ValidatingWebhookConfiguration, bool) {
	return only[*admissionregistrationv1.ValidatingWebhookConfiguration](w.validatingHooks)
}

// only returns the one object that an informer has.
func only[T any](informer cache.SharedIndexInformer) (T, bool) {
	for _, object := range informer.GetStore().List() {
		if typed, ok := object.(T); ok {
			return typed, true
		}
	}
	var none T
	return none, false
}
