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

// TestManyRulesAreCheckedInTime takes minutes if each rule is compared with each other one, and
// milliseconds if not; the API server waits three seconds.
func TestManyRulesAreCheckedInTime(t *testing.T) {
	for name, service := range map[string]func(int) string{
		"one Service":   func(int) string { return "web" },
		"many Services": func(i int) string { return fmt.Sprintf("web-%d", i) },
	} {
		t.Run(name, func(t *testing.T) {
			view := apirule.View{Namespace: "shop", Name: "web", Hosts: []string{"web"}}
			facts := Facts{Registry: Registry{Known: true}, Services: map[types.NamespacedName]Service{}}
			for i := range 10_000 {
				rule := apirule.Rule{Index: i, Path: fmt.Sprintf("/some/path/%d", i), Methods: []string{"GET"}, Strategy: apirule.NoAuth}
				if i >= 5000 {
					rule.Strategy, rule.Authorizers = apirule.ExtAuth, []string{"oauth2-proxy"}
				}
				rule.Service = types.NamespacedName{Namespace: "shop", Name: service(i)}
				facts.Services[rule.Service] = Service{Selector: SelectorOf(map[string]string{"app": rule.Service.Name})}
				view.Rules = append(view.Rules, rule)
			}
			view.Rules[9999].Path = view.Rules[17].Path
			start := time.Now()
			found := Check(view, facts, Settings{})
			assert.Less(t, time.Since(start), 3*time.Second)
			var shadowed []string
			for _, one := range found {
				if one.Code == RuleShadowed {
					shadowed = append(shadowed, one.Err.Field)
				}
			}
			assert.Equal(t, []string{"spec.rules[9999].path"}, shadowed)
		})
	}
}
