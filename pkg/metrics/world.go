// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// World is what a process knows of the cluster at one moment, in numbers.
type World struct {
	// RegistryKnown is true if the authorizers of the mesh are known.
	RegistryKnown bool
	// Authorizers is how many are registered.
	Authorizers int
	// Objects is how many are held in memory, by kind.
	Objects map[string]int
}

// worldCollector asks for the numbers when they are collected.
type worldCollector struct {
	known, authorizers, objects *prometheus.Desc
	ask                         func() World
}

// RegisterWorld has ask called for each collection. It replaces what an earlier
// call at the same registerer said, as when a process starts a second manager.
func RegisterWorld(registerer prometheus.Registerer, ask func() World) error {
	collector := &worldCollector{
		known: prometheus.NewDesc(prometheus.BuildFQName(namespace, "", "registry_known"),
			"1 if the authorizers of the mesh are known, 0 if no Istio CR could be read.", nil, nil),
		authorizers: prometheus.NewDesc(prometheus.BuildFQName(namespace, "", "registry_authorizers"),
			"Authorizers registered in the active Istio CR.", nil, nil),
		objects: prometheus.NewDesc(prometheus.BuildFQName(namespace, "", "cached_objects"),
			"Objects of the cluster held in memory, stripped to what decisions need, by kind.", []string{"kind"}, nil),
		ask: ask,
	}
	err := registerer.Register(collector)
	if twin, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		registerer.Unregister(twin.ExistingCollector)
		return registerer.Register(collector)
	}
	return err
}

// Describe implements prometheus.Collector.
func (c *worldCollector) Describe(to chan<- *prometheus.Desc) {
	to <- c.known
	to <- c.authorizers
	to <- c.objects
}

// Collect implements prometheus.Collector.
func (c *worldCollector) Collect(to chan<- prometheus.Metric) {
	world := c.ask()
	known := 0.0
	if world.RegistryKnown {
		known = 1
	}
	to <- prometheus.MustNewConstMetric(c.known, prometheus.GaugeValue, known)
	to <- prometheus.MustNewConstMetric(c.authorizers, prometheus.GaugeValue, float64(world.Authorizers))
	for kind, count := range world.Objects {
		to <- prometheus.MustNewConstMetric(c.objects, prometheus.GaugeValue, float64(count), kind)
	}
}
