// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"strings"
)

// row is a host with every object that exposes it. The first is the worst of them, and
// says what the host is.
type row struct {
	Host
	others []Host
}

// rows returns a row for each host, in the order of the hosts. Objects that expose no
// host have rows of their own.
func (r Report) rows() []row {
	at := make(map[string]int, len(r.Hosts))
	rows := make([]row, 0, len(r.Hosts))
	for _, host := range r.Hosts {
		key := cmp.Or(host.Host, host.key())
		if i, known := at[key]; known {
			rows[i].others = append(rows[i].others, host)
			continue
		}
		at[key] = len(rows)
		rows = append(rows, row{Host: host})
	}
	return rows
}

// Objects are those that expose the host, the worst first.
func (r row) Objects() []Host { return append([]Host{r.Host}, r.others...) }

// Namespaces are those of the objects, each once.
func (r row) Namespaces() string {
	return r.join(func(one Host) []string { return []string{one.Namespace} })
}

// By names what protects the host.
func (r row) By() string { return orDash(r.by()) }

func (r row) by() string { return r.join(Host.protectors) }

func (r row) codes() string { return r.join(Host.findingCodes) }

func (r row) object() string {
	return r.join(func(one Host) []string { return []string{one.object()} })
}

// RuleCount and FindingCount are those of all objects.
func (r row) RuleCount() (n int) {
	for _, one := range r.Objects() {
		n += len(one.Rules)
	}
	return n
}

// FindingCount is how many findings there are about the objects.
func (r row) FindingCount() (n int) {
	for _, one := range r.Objects() {
		n += len(one.Findings)
	}
	return n
}

// join lists what the objects have, each once.
func (r row) join(of func(Host) []string) string {
	var all []string
	for _, one := range r.Objects() {
		all = append(all, of(one)...)
	}
	return strings.Join(distinct(all), ", ")
}
