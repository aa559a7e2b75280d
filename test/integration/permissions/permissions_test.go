// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package permissions_test takes each permission of the chart away and shows what
// then fails, and asks the API server's authorizer whether anything is allowed
// that the chart does not grant.
package permissions_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard()) // refusals are what is wanted here
	// A client that knows WatchList needs no list from an API server that does, so
	// the permission is for the others: API servers below 1.34, and any that is too
	// busy (KEP-3157). Without the feature the client does what it does there.
	if err := os.Setenv("KUBE_FEATURE_WatchListClient", "false"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// The server with all its controllers, once with everything that the chart grants
// and once for each permission without it. Taken away means that the API server
// refuses what the server wants to do, exactly that, and that something does not
// come about.
//
// Of the kinds of reports a cluster needs one, so each has a cluster.
func TestEachPermissionIsNeeded(t *testing.T) {
	newest := func(one permission) bool { return one.group == "openreports.io" }
	t.Run("with the older kind of report", func(t *testing.T) {
		eachIsNeeded(t, newStage(t, policyReports()), func(one permission) bool { return !newest(one) })
	})
	t.Run("with the newest kind of report", func(t *testing.T) { eachIsNeeded(t, newStage(t, openReports()), newest) })
}

func eachIsNeeded(t *testing.T, s *stage, wanted func(permission) bool) {
	t.Helper()
	granted := s.granted(t, "extauth-guard")
	require.True(t, slices.ContainsFunc(granted, wanted))
	s.accounts(t, "extauth-guard", granted)

	for _, all := range [][]scene{scenes(), lateScenes()} {
		got := s.play(t, account("extauth-guard", -1), permission{}, all)
		require.Empty(t, got.refused, "all of them are enough")
		require.Empty(t, got.missing)
	}
	for _, one := range granted {
		if one.verb == "watch" {
			require.Empty(t, s.play(t, account("extauth-guard", -1), permission{}, watchScenes(one)).missing, "%s", one)
			break // the others differ by name only
		}
	}
	var table []string
	for i, taken := range granted {
		if !wanted(taken) {
			continue
		}
		t.Run("without "+taken.String(), func(t *testing.T) {
			got := s.play(t, account("extauth-guard", i), taken, scenesFor(taken))
			assert.Equal(t, []string{taken.what()}, got.refused, "this is refused, and nothing else")
			assert.NotEmpty(t, got.missing, "the chart grants what nothing needs: it is refused, and everything comes about")
			table = append(table, fmt.Sprintf("%-90s %s", taken, got.missing))
		})
	}
	t.Logf("taken away, and what is then missing:\n%s", strings.Join(table, "\n"))
}

// The commands that the hooks of the chart run.
func TestEachPermissionOfTheHooksIsNeeded(t *testing.T) {
	s := newStage(t, policyReports())
	for _, tc := range []struct {
		account string
		args    []string
	}{
		{"extauth-guard-test", []string{"selfcheck", "--namespace", "shop"}},
	} {
		granted := s.granted(t, tc.account)
		require.NotEmpty(t, granted, tc.account)
		s.accounts(t, tc.account, granted)
		for i, taken := range granted {
			t.Run(tc.account+" without "+taken.String(), func(t *testing.T) {
				err := s.command(t, account(tc.account, i), tc.args...)
				require.Error(t, err)
				verb, resource := taken.verb, taken.resource
				assert.ErrorContains(t, err, fmt.Sprintf("cannot %s resource %q", verb, resource))
			})
		}
	}
}

// Every resource that the API server has, with every verb, in the namespace of
// the release, in another one and in none, by its own name and another.
func TestNothingElseIsAllowed(t *testing.T) {
	s := newStage(t, policyReports())
	for _, name := range []string{"extauth-guard", "extauth-guard-test", "extauth-guard-bootstrap"} {
		t.Run(name, func(t *testing.T) {
			granted := s.granted(t, name)
			require.NotEmpty(t, granted)
			s.accounts(t, name, granted)
			asked, allowed := 0, 0
			for _, question := range s.questions(t, granted) {
				asked++
				want := slices.ContainsFunc(granted, func(one permission) bool { return one.covers(question) })
				got := s.may(t, account(name, -1), question)
				if got {
					allowed++
				}
				// What everybody may, such as asking for one's own permissions, says nothing.
				if got != want && (!got || !s.may(t, "nobody", question)) {
					assert.Fail(t, "the authorizer disagrees with the chart", "%s: allowed %v, granted %v", question, got, want)
				}
			}
			assert.Greater(t, asked, 1000)
			t.Logf("%d questions, %d allowed", asked, allowed)
		})
	}
}
