// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// services are the Services of the input by namespace/name.
type services map[string]service

type service struct {
	// workload tells the Pods behind it from others, "" if nothing selects any.
	workload string
	ports    map[string]int64
}

func servicesOf(objects []map[string]any, namespace string) services {
	known := services{}
	for _, of := range objects {
		if !isService(of) {
			continue
		}
		metadata, spec := object(of, "metadata"), object(of, "spec")
		found := service{ports: map[string]int64{}}
		var labels []string
		for key, value := range object(spec, "selector") {
			labels = append(labels, fmt.Sprintf("%q=%q", key, value))
		}
		slices.Sort(labels)
		if len(labels) > 0 {
			found.workload = strings.Join(labels, ",")
		}
		for _, entry := range list(spec, "ports") {
			port, _ := entry.(map[string]any)
			if number, ok := port["port"].(int64); ok {
				found.ports[text(port, "name")] = number
			}
		}
		known[serviceKey(namespaceOr(metadata, namespace), text(metadata, "name"))] = found
	}
	return known
}

// workload returns what tells the Pods behind a Service from others: its selector
// if it is known, else its name.
func (s services) workload(key string) string {
	if known := s[key]; known.workload != "" {
		namespace, _, _ := strings.Cut(key, "/")
		return namespace + "/" + known.workload
	}
	return key
}

func serviceKey(namespace, name string) string {
	return namespace + "/" + name
}

// serviceName returns the key of a Service for a sentence.
func serviceName(key string) string {
	namespace, name, _ := strings.Cut(key, "/")
	return bound.Text(namespace) + "/" + bound.Text(name)
}

func namespaceOr(metadata map[string]any, namespace string) string {
	if own := text(metadata, "namespace"); own != "" {
		return own
	}
	return namespace
}
