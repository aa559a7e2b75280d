// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oauth2proxy

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// CheckPod holds every oauth2-proxy of a Pod against the advisories, and counts them. A
// proxy is known by its image's name; what its container gets from a Secret or a
// ConfigMap is not looked at.
func CheckPod(pod corev1.PodSpec) (problems []Problem, proxies int) {
	for _, container := range pod.Containers {
		if !strings.Contains(container.Image, "oauth2-proxy") {
			continue
		}
		proxies++
		problems = append(problems, Check(Tag(container.Image), settingsOf(container))...)
	}
	return problems, proxies
}

func settingsOf(container corev1.Container) Settings {
	env := map[string]string{}
	for _, variable := range container.Env {
		if variable.ValueFrom == nil {
			env[variable.Name] = variable.Value
		}
	}
	return Parse(slices.Concat(container.Command, container.Args), env)
}
