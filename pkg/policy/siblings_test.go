// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// The schema sets no limit to the number of rules. Where each is compared with
// each other one, ten times as many take a hundred times as long, and one APIRule
// keeps admission busy for minutes. The bound leaves room for a busy machine.
func TestManyRulesCostInProportion(t *testing.T) {
	for name, service := range map[string]func(int) string{
		"one Service":   func(int) string { return "web" },
		"many Services": func(i int) string { return fmt.Sprintf("web-%d", i) },
	} {
		t.Run(name, func(t *testing.T) {
			few, many := manyRules(1000, service), manyRules(10_000, service)
			var fewTook, manyTook time.Duration
			for range 5 { // the quickest of each is what neither the machine nor the collector disturbed
				fewTook = quickest(fewTook, few.check(t))
				manyTook = quickest(manyTook, many.check(t))
			}
			assert.Less(t, manyTook, 40*fewTook, "%s for 1,000 rules, %s for 10,000", fewTook, manyTook)
		})
	}
}

func quickest(so, now time.Duration) time.Duration {
	if so == 0 || now < so {
		return now
	}
	return so
}

type crowd struct {
	view  apirule.View
	facts Facts
}

// manyRules has open rules and then as many protected ones; the last has the
// path of an open one.
func manyRules(count int, service func(int) string) crowd {
	made := crowd{
		view:  apirule.View{Namespace: "shop", Name: "web", Hosts: []string{"web"}},
		facts: Facts{Registry: Registry{Known: true}, Services: map[types.NamespacedName]Service{}},
	}
	for i := range count {
		rule := apirule.Rule{Index: i, Path: fmt.Sprintf("/some/path/%d", i), Methods: []string{"GET"}, Strategy: apirule.NoAuth}
		if i >= count/2 {
			rule.Strategy, rule.Authorizers = apirule.ExtAuth, []string{"oauth2-proxy"}
		}
		rule.Service = types.NamespacedName{Namespace: "shop", Name: service(i)}
		made.facts.Services[rule.Service] = Service{Selector: SelectorOf(map[string]string{"app": rule.Service.Name})}
		made.view.Rules = append(made.view.Rules, rule)
	}
	made.view.Rules[count-1].Path = made.view.Rules[17].Path
	return made
}

func (c crowd) check(t *testing.T) time.Duration {
	t.Helper()
	start := time.Now()
	found := Check(c.view, c.facts, Settings{})
	took := time.Since(start)
	var shadowed []string
	for _, one := range found {
		if one.Code == RuleShadowed {
			shadowed = append(shadowed, one.Err.Field)
		}
	}
	assert.Equal(t, []string{fmt.Sprintf("spec.rules[%d].path", len(c.view.Rules)-1)}, shadowed)
	return took
}
