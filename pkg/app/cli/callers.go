// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/report"
)

// explainedCallers says who inside the mesh may call a Service past its APIRules, as
// far as an annotation decides it; AuthorizationPolicies of others may let in more.
type explainedCallers struct {
	// Asked is who was asked for, and From by what.
	Asked string `json:"asked,omitempty"`
	From  string `json:"from,omitempty"`
	// Refused says why they may not call.
	Refused string `json:"refused,omitempty"`
	// Principals are whom our AuthorizationPolicy lets in; none where there is no such
	// policy.
	Principals []string `json:"principals"`
}

func (k *known) callers(name types.NamespacedName) explainedCallers {
	service, _ := k.world.Service(name)
	decided := policy.DecideCallers(name, service, k.world.CallersFacts(name), k.settings)
	made, _ := k.world.CallersPolicy(name)
	callers := explainedCallers{From: decided.From, Refused: decided.Refused, Principals: append([]string{}, made.Principals...)}
	if decided.Allowed != nil {
		callers.Asked = decided.Allowed.String()
	}
	return callers
}

// String is what a person reads.
func (c explainedCallers) String() string {
	var text string
	switch {
	case c.From == "":
		text = "nobody is asked for"
	case c.Refused != "":
		text = fmt.Sprintf("%s asks, but %s", c.From, c.Refused)
	case len(c.Principals) == 0:
		return fmt.Sprintf("%s asks for %s, but there is no AuthorizationPolicy: controllers.internal.enabled makes it", c.From, c.Asked)
	default:
		return fmt.Sprintf("%s may call (by %s)", c.Asked, c.From)
	}
	if len(c.Principals) > 0 {
		text += "; " + strings.Join(c.Principals, ", ") + " may still call"
	}
	return text
}

// addCallers tells for each rule of a host who may call inside the mesh, where
// somebody was asked for.
func (k *known) addCallers(host *report.Host) {
	for i := range host.Rules {
		namespace, name, _ := strings.Cut(host.Rules[i].Service, "/")
		callers := k.callers(types.NamespacedName{Namespace: namespace, Name: name})
		if callers.From != "" || len(callers.Principals) > 0 {
			host.Rules[i].Callers = callers.String()
		}
	}
}
