// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/pkg/oidc"
)

// logLines is how much of a Pod's log goes into an error.
const logLines = 5

// explainTime is for looking at the Pods after the step's time is over.
const explainTime = 5 * time.Second

// explain adds what the proxy's Pods wait for and the last lines of their logs to
// an error. It has time of its own, because usually it is called when time is up.
func (p *proxy) explain(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), explainTime)
	defer cancel()
	var pods corev1.PodList
	err := p.Client.List(ctx, &pods, client.InNamespace(p.Config.Proxy.Namespace),
		client.MatchingLabels{"app.kubernetes.io/instance": p.Config.Proxy.Release})
	if err != nil {
		return fmt.Errorf("%w (and listing the Pods to say why: %w)", cause, err)
	}
	var stories []string
	for i := range pods.Items {
		if story := p.story(ctx, &pods.Items[i]); story != "" {
			stories = append(stories, story)
		}
	}
	if len(stories) == 0 {
		return fmt.Errorf("%w (no Pod says why; there are %d)", cause, len(pods.Items))
	}
	return fmt.Errorf("%w (%s)", cause, strings.Join(stories, "; "))
}

// story says why a Pod is not ready, in its own words.
func (p *proxy) story(ctx context.Context, pod *corev1.Pod) string {
	var parts []string
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			parts = append(parts, condition.Reason+": "+condition.Message)
		}
	}
	for _, container := range pod.Status.ContainerStatuses {
		if container.Ready {
			continue
		}
		if reason := reasonOf(container); reason != "" {
			parts = append(parts, "container "+container.Name+" "+reason)
		}
		if lines := p.lastLines(ctx, pod, container); lines != "" {
			parts = append(parts, "its log ends with: "+lines)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "Pod " + pod.Name + ": " + strings.Join(parts, ", ")
}

func reasonOf(status corev1.ContainerStatus) string {
	switch {
	case status.State.Waiting != nil:
		return strings.TrimSuffix("waits, "+status.State.Waiting.Reason+": "+status.State.Waiting.Message, ": ")
	case status.State.Terminated != nil:
		return fmt.Sprintf("ended with exit code %d, %s", status.State.Terminated.ExitCode, status.State.Terminated.Reason)
	default:
		return ""
	}
}

// lastLines returns the end of a container's log. The proxy has no reason to
// print its secrets, but what goes into our error must not depend on that.
func (p *proxy) lastLines(ctx context.Context, pod *corev1.Pod, container corev1.ContainerStatus) string {
	if p.Kubernetes == nil || (container.State.Waiting != nil && container.RestartCount == 0) {
		return ""
	}
	lines := int64(logLines)
	raw, err := p.Kubernetes.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: container.Name, TailLines: &lines, Previous: container.State.Waiting != nil,
	}).DoRaw(ctx)
	if err != nil {
		return ""
	}
	text := string(raw)
	if secret, err := p.secret(ctx); err == nil && secret != nil {
		for _, key := range []string{clientSecretKey, cookieSecretKey} {
			text = oidc.NewSecret(string(secret.Data[key])).Redact(text)
		}
	}
	return strings.Join(strings.Split(strings.TrimSpace(text), "\n"), " | ")
}
