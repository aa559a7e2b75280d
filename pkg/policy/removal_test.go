// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestRemovalsHaveAnEnd(t *testing.T) {
	now := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	allowing := func(value string) *istio.View {
		return &istio.View{Namespace: "kyma-system", Name: "default", Annotations: ours("allow-removal", value)}
	}
	const at = `metadata.annotations[extauth-guard.io/allow-removal]: Invalid value: `
	cases := map[string]struct {
		value string
		want  []string
	}{
		"none":            {"corp", nil},
		"within 24 hours": {"corp@2026-12-01T10:00:00Z", nil},
		"in another zone": {"corp@2026-12-01T11:00:00+01:00", nil},
		"too far ahead": {"corp@2026-12-01T10:00:01Z", []string{
			"deny: " + at + `"corp@2026-12-01T10:00:01Z": ends more than 24 h ahead; the latest end is 2026-12-01T10:00:00Z [InvalidAnnotation]`,
		}},
		"over": {"corp@2026-11-30T10:00:00Z", []string{
			"warn: " + at + `"corp@2026-11-30T10:00:00Z": has ended and allows nothing; remove it, or write a later end [InvalidAnnotation]`,
		}},
		"no time": {"corp@tomorrow", []string{
			"deny: " + at + `"corp@tomorrow": "tomorrow" is no time in RFC 3339; write for example "corp@2026-12-01T10:00:00Z", at most 24 h ahead [InvalidAnnotation]`,
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			facts := policy.IstioFacts{Now: now}
			assert.Empty(t, cmp.Diff(tc.want, sentences(policy.CheckIstio(nil, allowing(tc.value), facts))))
			assert.False(t, policy.Denies(policy.CheckIstio(allowing(tc.value), allowing(tc.value), facts)), "what was there refuses nothing")
		})
	}
	assert.Empty(t, policy.CheckIstio(nil, allowing("corp@2036-12-01T10:00:00Z"), policy.IstioFacts{}), "the time is not known")
	assert.Empty(t, policy.CheckIstio(allowing("corp@2026-11-30T10:00:00Z"), allowing("corp@2026-11-30T10:00:00Z"), policy.IstioFacts{Now: now}),
		"that it is over is said once")
}

func TestLiveRemovals(t *testing.T) {
	now := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	view := istio.View{Annotations: ours("allow-removal", "used, over@2026-11-30T10:00:00Z, live@2026-11-30T10:00:01Z, far@2026-12-01T10:00:01Z")}
	assert.Equal(t, []annotation.Removal{{Authorizer: "live", Until: now.Add(time.Second)}}, policy.LiveRemovals(view, now))
	assert.Empty(t, policy.LiveRemovals(istio.View{}, now))
}
