// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// between is a Source that calls then before its second answer: in an update, that is when
// the new object is judged and the old one is not yet.
type between struct {
	facts.Source
	asked int
	then  func()
}

func (b *between) Facts(ctx context.Context, view apirule.View) policy.Facts {
	if b.asked++; b.asked == 2 {
		b.then()
	}
	return b.Source.Facts(ctx, view)
}

// An APIRule is written while another one in front of the same workload is judged.
func TestValidatorJudgesTwoAtOnce(t *testing.T) {
	const other = `{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: other, namespace: shop},
		spec: {hosts: [other], gateway: a/b, service: {name: web, port: 80}, rules: [` + good + `]}}`
	for name, tc := range map[string]struct {
		rule            string
		admitted, other bool
	}{
		"what is refused stands in nobody's way":                {rule: typo, other: true},
		"what conflicts with the one admitted first is refused": {rule: `{path: /*, methods: [GET], service: {name: web, port: 81}, extAuth: {authorizers: [corp]}}`, other: true},
		"both are right": {rule: `{path: /*, methods: [GET], service: {name: web, port: 81}, extAuth: {authorizers: [oauth2-proxy]}}`, admitted: true, other: true},
	} {
		t.Run(name, func(t *testing.T) {
			source := &between{Source: world()}
			of := webhook.Decider{Source: source, Settings: policy.DefaultSettings, Now: func() time.Time { return time.Time{} }, Recent: facts.NewRecent(world())}
			source.then = func() {
				request := apiruleRequest(admissionv1.Create, other, "")
				request.name = "other"
				response := request.send(t, of, webhook.ValidateAPIRule)
				assert.Equal(t, tc.other, response.Allowed, "%v", response.Result)
			}
			response := apiruleRequest(admissionv1.Update, rules("", tc.rule), rules("", noAuth)).send(t, of, webhook.ValidateAPIRule)
			assert.Equal(t, tc.admitted, response.Allowed, "%v", response.Result)
			assert.Greater(t, source.asked, 2, "the other one was asked about in between")
		})
	}
}
