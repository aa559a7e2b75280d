// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package helm

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
)

func TestActionFor(t *testing.T) {
	cases := map[State]Action{
		StateAbsent:    ActionInstall,
		StateUnmanaged: ActionRefuse,
		StateLocked:    ActionUnlock,
		StateFailed:    ActionUpgrade,
		StateOutOfSync: ActionUpgrade,
		StateInSync:    ActionNothing,
		"":             ActionRefuse,
		"Unheard":      ActionRefuse,
	}
	for state, want := range cases {
		t.Run(string(state), func(t *testing.T) {
			assert.Equal(t, want, actionFor(state))
		})
	}
}

func TestStatusOf(t *testing.T) {
	digest := "sha256:0123456789012345678901234567890123456789012345678901234567890123"
	want := Release{
		Name:   "oauth2-proxy",
		Chart:  &Chart{Name: "oauth2-proxy", Version: "10.7.0", Digest: digest},
		Values: map[string]any{"replicaCount": 2},
	}
	stored := func(change func(*release.Release)) *release.Release {
		rel := &release.Release{
			Version: 3,
			Info:    &release.Info{Status: release.StatusDeployed},
			Chart:   &chart.Chart{Metadata: &chart.Metadata{Name: "oauth2-proxy", Version: "10.7.0"}},
			Labels:  map[string]string{ownerLabel: "us", digestLabel: want.Chart.label()},
			Config:  map[string]any{"replicaCount": float64(2)},
		}
		change(rel)
		return rel
	}
	status := func(s release.Status) *release.Release {
		return stored(func(r *release.Release) { r.Info.Status = s })
	}
	cases := map[string]struct {
		last *release.Release
		want State
	}{
		"no revision":         {nil, StateAbsent},
		"as wanted":           {status(release.StatusDeployed), StateInSync},
		"pending-install":     {status(release.StatusPendingInstall), StateLocked},
		"pending-upgrade":     {status(release.StatusPendingUpgrade), StateLocked},
		"pending-rollback":    {status(release.StatusPendingRollback), StateLocked},
		"uninstalling":        {status(release.StatusUninstalling), StateLocked},
		"uninstalled, kept":   {status(release.StatusUninstalled), StateLocked},
		"failed":              {status(release.StatusFailed), StateFailed},
		"superseded by none":  {status(release.StatusSuperseded), StateFailed},
		"unknown":             {status(release.StatusUnknown), StateFailed},
		"another chart":       {stored(func(r *release.Release) { r.Chart.Metadata.Name = "x" }), StateOutOfSync},
		"another version":     {stored(func(r *release.Release) { r.Chart.Metadata.Version = "10.6.0" }), StateOutOfSync},
		"another archive":     {stored(func(r *release.Release) { r.Labels[digestLabel] = "x" }), StateOutOfSync},
		"other values":        {stored(func(r *release.Release) { r.Config["replicaCount"] = 3 }), StateOutOfSync},
		"no mark":             {stored(func(r *release.Release) { r.Labels = nil }), StateUnmanaged},
		"another owner":       {stored(func(r *release.Release) { r.Labels[ownerLabel] = "them" }), StateUnmanaged},
		"foreign and pending": {stored(func(r *release.Release) { r.Labels, r.Info.Status = nil, release.StatusPendingInstall }), StateUnmanaged},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, statusOf(tc.last, want, "us").State)
		})
	}
}
