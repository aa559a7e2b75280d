// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package helm

import (
	"errors"
	"io"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	kubefake "helm.sh/helm/v3/pkg/kube/fake"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"

	"github.com/extauth-guard/extauth-guard/test/harness/testcharts"
)

// fixture is a Client over Helm's memory driver and a Kubernetes client that does
// nothing or fails.
type fixture struct {
	*Client
	kube *kubefake.FailingKubeClient
	want Release
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	kube := &kubefake.FailingKubeClient{PrintingKubeClient: kubefake.PrintingKubeClient{Out: io.Discard, LogOutput: io.Discard}}
	lines := newTail(logr.Discard())
	store := driver.NewMemory()
	store.SetNamespace("auth")
	config := &action.Configuration{
		Releases:     storage.Init(store),
		KubeClient:   kube,
		Capabilities: chartutil.DefaultCapabilities,
		Log:          lines.printf,
	}
	chart, err := Load(t.Context(), Source{Repository: testcharts.Folder(t), Name: testcharts.Name, Version: testcharts.Version}, Fetcher{})
	require.NoError(t, err)
	return &fixture{
		Client: newClient(config, "auth", "us", lines),
		kube:   kube,
		want:   Release{Name: "proxy", Chart: chart, Values: map[string]any{"config": map[string]any{"existingSecret": "creds"}}},
	}
}

func (f *fixture) state(t *testing.T) State {
	t.Helper()
	status, err := f.Observe(f.want)
	require.NoError(t, err)
	return status.State
}

func TestEnsureInstallsOnceAndThenDoesNothing(t *testing.T) {
	f := newFixture(t)
	require.Equal(t, StateAbsent, f.state(t))
	for range 2 {
		status, err := f.Ensure(t.Context(), f.want)
		require.NoError(t, err)
		assert.Equal(t, Status{State: StateInSync, Revision: 1, Message: "chart oauth2-proxy 10.7.0, revision 1"}, status)
	}
}

func TestEnsureUpgradesWhenTheValuesChange(t *testing.T) {
	f := newFixture(t)
	_, err := f.Ensure(t.Context(), f.want)
	require.NoError(t, err)
	f.want.Values["replicaCount"] = 2
	require.Equal(t, StateOutOfSync, f.state(t))
	status, err := f.Ensure(t.Context(), f.want)
	require.NoError(t, err)
	assert.Equal(t, 2, status.Revision)
	delete(f.want.Values, "replicaCount")
	require.Equal(t, StateOutOfSync, f.state(t), "a value that is gone is a difference, too")
}

func TestEnsureHealsWhatAKilledProcessLeft(t *testing.T) {
	for _, left := range []release.Status{
		release.StatusPendingInstall, release.StatusPendingUpgrade, release.StatusPendingRollback,
		release.StatusFailed, release.StatusUninstalling, release.StatusUninstalled,
	} {
		t.Run(left.String(), func(t *testing.T) {
			f := newFixture(t)
			_, err := f.Ensure(t.Context(), f.want)
			require.NoError(t, err)
			last, err := f.config.Releases.Last("proxy")
			require.NoError(t, err)
			last.Info.Status = left
			require.NoError(t, f.config.Releases.Update(last))

			status, err := f.Ensure(t.Context(), f.want)
			require.NoError(t, err)
			assert.Equal(t, StateInSync, status.State)
			assert.Equal(t, 2, status.Revision)
		})
	}
}

func TestEnsureReportsAFailureOnceAndHealsItNextTime(t *testing.T) {
	f := newFixture(t)
	_, err := f.Ensure(t.Context(), f.want)
	require.NoError(t, err)
	f.want.Values["replicaCount"] = 2
	f.kube.UpdateError = errors.New("quota exceeded")
	_, err = f.Ensure(t.Context(), f.want)
	require.ErrorContains(t, err, "upgrade of release auth/proxy: ")
	require.ErrorContains(t, err, "quota exceeded")
	require.ErrorContains(t, err, "Helm's last lines: ")
	require.Equal(t, StateFailed, f.state(t))

	f.kube.UpdateError = nil
	status, err := f.Ensure(t.Context(), f.want)
	require.NoError(t, err)
	assert.Equal(t, StateInSync, status.State)
}

func TestForeignReleasesAreNeverTouched(t *testing.T) {
	f := newFixture(t)
	_, err := f.Ensure(t.Context(), f.want)
	require.NoError(t, err)
	f.owner = "somebody else"

	_, err = f.Ensure(t.Context(), f.want)
	var unmanaged *UnmanagedError
	require.ErrorAs(t, err, &unmanaged)
	assert.EqualError(t, err, "release auth/proxy exists and was not installed by this job; it is never adopted: "+
		"uninstall it with `helm uninstall proxy --namespace auth`, or choose another release name or namespace")
	_, err = f.Uninstall("proxy")
	require.ErrorAs(t, err, &unmanaged)
	last, err := f.config.Releases.Last("proxy")
	require.NoError(t, err)
	assert.Equal(t, 1, last.Version)
}

func TestUninstall(t *testing.T) {
	f := newFixture(t)
	_, err := f.Ensure(t.Context(), f.want)
	require.NoError(t, err)
	removed, err := f.Uninstall("proxy")
	require.NoError(t, err)
	assert.True(t, removed)
	removed, err = f.Uninstall("proxy")
	require.NoError(t, err)
	assert.False(t, removed)
	assert.Equal(t, StateAbsent, f.state(t))
}

func TestTheValuesAreNotModified(t *testing.T) {
	f := newFixture(t)
	_, err := f.Ensure(t.Context(), f.want)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"config": map[string]any{"existingSecret": "creds"}}, f.want.Values)
}
