// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// bundlePatch is a strategic merge patch: webhooks are merged by name, and nothing
// but their bundle is touched. With the resourceVersion it fails if somebody else
// was faster, so that a webhook that was just taken away does not come back.
type bundlePatch struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Webhooks []webhookPatch `json:"webhooks"`
}

type webhookPatch struct {
	Name         string `json:"name"`
	ClientConfig struct {
		CABundle []byte `json:"caBundle"`
	} `json:"clientConfig"`
}

func newBundlePatch(resourceVersion string) *bundlePatch {
	patch := &bundlePatch{}
	patch.Metadata.ResourceVersion = resourceVersion
	return patch
}

func (p *bundlePatch) add(name string, config admissionregistrationv1.WebhookClientConfig, bundle []byte) {
	if bytes.Equal(config.CABundle, bundle) {
		return
	}
	webhook := webhookPatch{Name: name}
	webhook.ClientConfig.CABundle = bundle
	p.Webhooks = append(p.Webhooks, webhook)
}

// inject writes the authorities into the webhook configurations that exist and do
// not have them.
func (k *Keeper) inject(ctx context.Context, seen *watched, bundle []byte) error {
	api := k.Client.AdmissionregistrationV1()
	if mutating, ok := seen.mutating(); ok {
		patch := newBundlePatch(mutating.ResourceVersion)
		for _, webhook := range mutating.Webhooks {
			patch.add(webhook.Name, webhook.ClientConfig, bundle)
		}
		err := patch.apply(func(raw []byte) error {
			_, err := api.MutatingWebhookConfigurations().Patch(ctx, mutating.Name, types.StrategicMergePatchType, raw, metav1.PatchOptions{})
			return err
		})
		if err != nil {
			return fmt.Errorf("writing the authority into MutatingWebhookConfiguration %s: %w", mutating.Name, err)
		}
	}
	if validating, ok := seen.validating(); ok {
		patch := newBundlePatch(validating.ResourceVersion)
		for _, webhook := range validating.Webhooks {
			patch.add(webhook.Name, webhook.ClientConfig, bundle)
		}
		err := patch.apply(func(raw []byte) error {
			_, err := api.ValidatingWebhookConfigurations().Patch(ctx, validating.Name, types.StrategicMergePatchType, raw, metav1.PatchOptions{})
			return err
		})
		if err != nil {
			return fmt.Errorf("writing the authority into ValidatingWebhookConfiguration %s: %w", validating.Name, err)
		}
	}
	return nil
}

// apply sends the patch if there is something in it. That another replica was
// faster, or that the configuration is gone, is as good.
func (p *bundlePatch) apply(send func([]byte) error) error {
	if len(p.Webhooks) == 0 {
		return nil
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	err = send(raw)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
