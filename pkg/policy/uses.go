// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// use is an authorizer that a rule puts in front of a Service.
type use struct {
	rule       *apirule.Rule
	service    Service
	authorizer string
}

// uses are uses in the order of the rules, each Service and authorizer once.
type uses struct {
	services map[types.NamespacedName]Service
	list     []use
	index    *useIndex // nil while the list is short
}

// shortList is how many uses are looked through one by one. Nearly all APIRules
// have fewer, and an index costs more than that.
const shortList = 16

// useIndex finds uses in a long list. Services with one workload are of one name,
// or have a label of their selectors in common, so that few have to be compared.
type useIndex struct {
	seen    map[useKey]bool
	byName  map[types.NamespacedName][]int
	byLabel map[labelIn][]int
}

type useKey struct {
	service    types.NamespacedName
	authorizer string
}

type labelIn struct{ namespace, pair string }

func (u *uses) add(rule *apirule.Rule, authorizer string) {
	if rule.Service.Name == "" || u.has(useKey{rule.Service, authorizer}) {
		return
	}
	u.list = append(u.list, use{rule, u.services[rule.Service], authorizer})
	if u.index != nil {
		u.index.add(len(u.list)-1, u.list[len(u.list)-1])
		return
	}
	if len(u.list) > shortList {
		u.index = &useIndex{seen: map[useKey]bool{}, byName: map[types.NamespacedName][]int{}, byLabel: map[labelIn][]int{}}
		for at, one := range u.list {
			u.index.add(at, one)
		}
	}
}

func (u *uses) has(key useKey) bool {
	if u.index != nil {
		return u.index.seen[key]
	}
	return slices.ContainsFunc(u.list, func(one use) bool { return one.authorizer == key.authorizer && one.rule.Service == key.service })
}

func (i *useIndex) add(at int, one use) {
	i.seen[useKey{one.rule.Service, one.authorizer}] = true
	i.byName[one.rule.Service] = append(i.byName[one.rule.Service], at)
	for _, pair := range one.service.Selector {
		label := labelIn{one.rule.Service.Namespace, pair}
		i.byLabel[label] = append(i.byLabel[label], at)
	}
}

// before returns the first use that is of an earlier rule, acts on the workload
// of this rule, and is wanted.
func (u *uses) before(rule apirule.Rule, wanted func(use) bool) (use, bool) {
	return u.find(rule, rule.Index, wanted)
}

// elsewhere returns the first use that acts on the workload of this rule and is wanted,
// whichever rule it is of.
func (u *uses) elsewhere(rule apirule.Rule, wanted func(use) bool) (use, bool) {
	return u.find(rule, math.MaxInt, wanted)
}

// find looks among the uses of the rules below end.
func (u *uses) find(rule apirule.Rule, end int, wanted func(use) bool) (use, bool) {
	service := u.services[rule.Service]
	fits := func(one use) bool {
		shares := one.rule.Service == rule.Service ||
			one.rule.Service.Namespace == rule.Service.Namespace && service.SharesWorkload(one.service)
		return shares && wanted(one)
	}
	if u.index == nil {
		for _, one := range u.list {
			if one.rule.Index >= end {
				break
			}
			if fits(one) {
				return one, true
			}
		}
		return use{}, false
	}
	return u.indexed(rule, end, service, fits)
}

func (u *uses) indexed(rule apirule.Rule, end int, service Service, fits func(use) bool) (use, bool) {
	first := len(u.list)
	look := func(candidates []int) {
		for _, at := range candidates {
			if at >= first || u.list[at].rule.Index >= end {
				return
			}
			if fits(u.list[at]) {
				first = at
				return
			}
		}
	}
	look(u.index.byName[rule.Service])
	for _, pair := range service.Selector {
		look(u.index.byLabel[labelIn{rule.Service.Namespace, pair}])
	}
	if first == len(u.list) {
		return use{}, false
	}
	return u.list[first], true
}
