// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// use is an authorizer that a rule puts in front of a Service.
type use struct {
	rule       apirule.Rule
	service    Service
	authorizer string
}

// uses are uses in the order of the rules, each Service and authorizer once.
// Services with one workload are of one name, or have a label of their selectors
// in common, so that few have to be compared.
type uses struct {
	services map[types.NamespacedName]Service
	list     []use
	seen     map[useKey]bool
	byName   map[types.NamespacedName][]int
	byLabel  map[labelIn][]int
}

type useKey struct {
	service    types.NamespacedName
	authorizer string
}

type labelIn struct{ namespace, pair string }

func newUses(services map[types.NamespacedName]Service) uses {
	return uses{
		services: services, seen: map[useKey]bool{},
		byName: map[types.NamespacedName][]int{}, byLabel: map[labelIn][]int{},
	}
}

func (u *uses) add(rule apirule.Rule, authorizer string) {
	key := useKey{rule.Service, authorizer}
	if u.seen[key] || rule.Service.Name == "" {
		return
	}
	u.seen[key] = true
	service, at := u.services[rule.Service], len(u.list)
	u.list = append(u.list, use{rule, service, authorizer})
	u.byName[rule.Service] = append(u.byName[rule.Service], at)
	for _, pair := range service.Selector {
		label := labelIn{rule.Service.Namespace, pair}
		u.byLabel[label] = append(u.byLabel[label], at)
	}
}

// before returns the first use that is of an earlier rule, acts on the workload
// of this rule, and is wanted.
func (u *uses) before(rule apirule.Rule, wanted func(use) bool) (use, bool) {
	service, first := u.services[rule.Service], len(u.list)
	look := func(candidates []int, shares func(use) bool) {
		for _, at := range candidates {
			one := u.list[at]
			if at >= first || one.rule.Index >= rule.Index {
				return
			}
			if wanted(one) && shares(one) {
				first = at
				return
			}
		}
	}
	look(u.byName[rule.Service], func(use) bool { return true })
	for _, pair := range service.Selector {
		look(u.byLabel[labelIn{rule.Service.Namespace, pair}], func(one use) bool { return service.SharesWorkload(one.service) })
	}
	if first == len(u.list) {
		return use{}, false
	}
	return u.list[first], true
}
