// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/report"
)

func TestCallersInWords(t *testing.T) {
	name := types.NamespacedName{Namespace: "shop", Name: "cart"}
	world := facts.NewWorld("")
	all := &known{source: world, world: world, settings: policy.DefaultSettings()}
	world.SetService(name, policy.Service{Selector: policy.Selector{"app=cart"}})
	assert.Equal(t, "nobody is asked for", all.callers(name).String())
	host := report.Host{Rules: []report.Rule{{Service: "shop/cart"}}}
	all.addCallers(&host)
	assert.Empty(t, host.Rules[0].Callers)

	world.SetService(name, policy.Service{Selector: policy.Selector{"app=cart"}, Annotations: map[string]string{annotation.InternalCallers: "batch"}})
	assert.Equal(t, "Service shop/cart asks, but no APIRule exposes the Service, so Istio keeps nobody out", all.callers(name).String())
	world.SetAPIRule(apirule.View{Namespace: "shop", Name: "cart", Rules: []apirule.Rule{{Service: name}}})
	assert.Equal(t, "Service shop/cart asks for batch, but there is no AuthorizationPolicy: controllers.internal.enabled makes it", all.callers(name).String())
	world.SetCallersPolicy(name, facts.CallersPolicy{Principals: []string{"cluster.local/ns/batch/sa/*"}})
	assert.Equal(t, "batch may call (by Service shop/cart)", all.callers(name).String())
	all.addCallers(&host)
	assert.Equal(t, "batch may call (by Service shop/cart)", host.Rules[0].Callers)
	world.SetService(name, policy.Service{Selector: policy.Selector{"app=cart"}})
	assert.Equal(t, "nobody is asked for; cluster.local/ns/batch/sa/* may still call", all.callers(name).String(), "what holds is not hidden by what was asked for")
}
