// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
)

// advisories holds the image and the flags of every oauth2-proxy behind a registered
// authorizer against the known holes.
func (d *doctor) advisories(ctx context.Context) (string, error) {
	known, err := d.registry()
	if err != nil {
		return "", skipping{err}
	}
	var problems, unknown []error
	looked := 0
	for name, backend := range d.backends(ctx, known) {
		pods, err := d.proxiesBehind(ctx, backend.Service.Namespace, backend.Service.Name)
		if err != nil {
			return "", warning{fmt.Errorf("%s: %w", name, err)}
		}
		for _, pod := range pods {
			of, proxies := oauth2proxy.CheckPod(pod)
			looked += proxies
			for _, problem := range of {
				found := fmt.Errorf("%s: %s", name, problem.Message)
				if problem.Unknown {
					unknown = append(unknown, found)
					continue
				}
				problems = append(problems, found)
			}
		}
	}
	switch {
	case len(problems) > 0:
		return "", errors.Join(append(problems, unknown...)...)
	case len(unknown) > 0:
		return "", warning{errors.Join(unknown...)}
	case looked == 0:
		return "", skipping{errors.New("no Deployment behind an authorizer runs an oauth2-proxy")}
	}
	return count(looked, "oauth2-proxy", "oauth2-proxies"), nil
}

// proxiesBehind are the Pods with an oauth2-proxy of the Deployments that a Service
// leads to.
func (d *doctor) proxiesBehind(ctx context.Context, namespace, name string) ([]corev1.PodSpec, error) {
	service, err := d.typed.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the Service: %w", err)
	}
	if len(service.Spec.Selector) == 0 {
		return nil, nil
	}
	deployments, err := d.typed.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the Deployments behind the Service: %w", err)
	}
	selector := labels.SelectorFromSet(service.Spec.Selector)
	var pods []corev1.PodSpec
	for _, deployment := range deployments.Items {
		if selector.Matches(labels.Set(deployment.Spec.Template.Labels)) {
			pods = append(pods, deployment.Spec.Template.Spec)
		}
	}
	return pods, nil
}
