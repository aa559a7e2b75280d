// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package helm

import (
	"bytes"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/kubectl/pkg/polymorphichelpers"
)

// Unready says, one sentence each, which workloads of the release are not yet
// rolled out, as `kubectl rollout status` does. None means that all are. It is an
// error if a rollout has failed for good, or if the release or one of its
// workloads is missing.
//
// Helm's own waiting is not used: it holds the release pending for as long as
// Pods take, and a process that is killed meanwhile would leave it locked.
func (c *Client) Unready(name string) ([]string, error) {
	last, err := c.last(name)
	if err != nil {
		return nil, err
	}
	if last == nil {
		return nil, fmt.Errorf("release %s/%s is gone", c.namespace, name)
	}
	infos, err := c.config.KubeClient.Build(bytes.NewBufferString(last.Manifest), false)
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of release %s/%s: %w", c.namespace, name, err)
	}
	var unready []string
	for _, info := range infos {
		message, err := rollout(info)
		if err != nil {
			return nil, err
		}
		if message != "" {
			unready = append(unready, message)
		}
	}
	return unready, nil
}

// rollout returns what a workload waits for, nothing if it is rolled out or not
// a workload at all.
func rollout(info *resource.Info) (string, error) {
	viewer, err := polymorphichelpers.StatusViewerFor(info.Mapping.GroupVersionKind.GroupKind())
	if err != nil {
		return "", nil //nolint:nilerr // No viewer means that the kind does not roll out.
	}
	if err := info.Get(); err != nil {
		return "", fmt.Errorf("reading %s %s/%s: %w", info.Mapping.GroupVersionKind.Kind, info.Namespace, info.Name, err)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(info.Object)
	if err != nil {
		return "", fmt.Errorf("reading %s %s/%s: %w", info.Mapping.GroupVersionKind.Kind, info.Namespace, info.Name, err)
	}
	message, done, err := viewer.Status(&unstructured.Unstructured{Object: content}, 0)
	if err != nil {
		return "", fmt.Errorf("rolling out %s %s/%s: %w", info.Mapping.GroupVersionKind.Kind, info.Namespace, info.Name, err)
	}
	if done {
		return "", nil
	}
	return strings.TrimSuffix(strings.TrimSpace(message), "..."), nil
}
