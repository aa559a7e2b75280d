// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package helm

import (
	"bytes"
	"encoding/json"
	"fmt"

	"helm.sh/helm/v3/pkg/release"
)

// State names what a release looks like, compared with what is wanted.
type State string

// The states, in the words of Flux's helm-controller.
const (
	// StateAbsent: there is no such release.
	StateAbsent State = "Absent"
	// StateUnmanaged: there is one, and it is not ours.
	StateUnmanaged State = "Unmanaged"
	// StateLocked: an earlier process ended in the middle of an operation.
	StateLocked State = "Locked"
	// StateFailed: the last operation failed.
	StateFailed State = "Failed"
	// StateOutOfSync: chart or values are not the wanted ones.
	StateOutOfSync State = "OutOfSync"
	// StateInSync: nothing is to be done.
	StateInSync State = "InSync"
)

// Action is what is done about a state.
type Action string

// The actions.
const (
	// ActionNothing leaves the release as it is.
	ActionNothing Action = "nothing"
	// ActionRefuse leaves it too, and says so to the user.
	ActionRefuse Action = "refuse"
	// ActionInstall makes the first revision.
	ActionInstall Action = "install"
	// ActionUpgrade makes another revision.
	ActionUpgrade Action = "upgrade"
	// ActionUnlock marks the last revision as failed.
	ActionUnlock Action = "unlock"
)

// actionFor chooses. A failed release is upgraded, also when its very first
// revision failed: Helm takes that for the current one if none was ever
// deployed. What cannot be named is refused.
func actionFor(state State) Action {
	switch state {
	case StateAbsent:
		return ActionInstall
	case StateLocked:
		return ActionUnlock
	case StateFailed, StateOutOfSync:
		return ActionUpgrade
	case StateInSync:
		return ActionNothing
	default:
		return ActionRefuse
	}
}

// statusOf compares the newest revision, nil for none, with what is wanted.
func statusOf(last *release.Release, want Release, owner string) Status {
	if last == nil {
		return Status{State: StateAbsent, Message: "no release of that name"}
	}
	status := Status{Revision: last.Version}
	switch {
	case last.Labels[ownerLabel] != owner:
		status.State, status.Message = StateUnmanaged, "the release does not carry our mark"
	case last.Info.Status.IsPending(),
		last.Info.Status == release.StatusUninstalling,
		last.Info.Status == release.StatusUninstalled:
		status.State, status.Message = StateLocked, fmt.Sprintf("revision %d was left %s", last.Version, last.Info.Status)
	case last.Info.Status != release.StatusDeployed:
		status.State, status.Message = StateFailed, fmt.Sprintf("revision %d is %s: %s", last.Version, last.Info.Status, last.Info.Description)
	default:
		status.State, status.Message = compare(last, want)
	}
	return status
}

func compare(last *release.Release, want Release) (State, string) {
	metadata := last.Chart.Metadata
	switch {
	case metadata.Name != want.Chart.Name || metadata.Version != want.Chart.Version:
		return StateOutOfSync, fmt.Sprintf("chart is %s %s, wanted %s %s", metadata.Name, metadata.Version, want.Chart.Name, want.Chart.Version)
	case last.Labels[digestLabel] != want.Chart.label():
		return StateOutOfSync, fmt.Sprintf("chart %s %s was made from another archive", want.Chart.Name, want.Chart.Version)
	case !sameJSON(last.Config, want.Values):
		return StateOutOfSync, "values differ"
	default:
		return StateInSync, fmt.Sprintf("chart %s %s, revision %d", metadata.Name, metadata.Version, last.Version)
	}
}

// sameJSON compares what Helm stored, which has been through JSON, with what we
// have, which may not have been. No values and empty values are the same.
func sameJSON(a, b map[string]any) bool {
	if len(a) == 0 && len(b) == 0 {
		return true
	}
	rawA, errA := json.Marshal(a)
	rawB, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(rawA, rawB)
}
